//! Every value survives every form: text, binary, Arrow, a row image.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use types::arrow_form::{ColumnBuilder, datum_at};
use types::{Datum, Decimal, Interval, RowLayout, SqlType, binary, calendar, coerce, text, zone};

fn numeric(precision: u8, scale: u8) -> BoxedStrategy<(SqlType, Datum)> {
    let bound = 10i128.pow(precision.into()) - 1;
    // Few digits are as common as many.
    let unscaled = (-bound..=bound, 0..u32::from(precision)).prop_map(|(v, digits)| v / 10i128.pow(digits));
    let t = SqlType::Numeric { precision, scale };
    unscaled.prop_map(move |unscaled| (t, Datum::Numeric(Decimal { unscaled, scale }))).boxed()
}

fn timestamp() -> BoxedStrategy<i64> {
    prop_oneof![
        calendar::TIMESTAMP_MIN..=calendar::TIMESTAMP_MAX,
        -5_000_000_000_000_000..5_000_000_000_000_000i64,
        (0..20_000i64).prop_map(|days| days * calendar::DAY),
        Just(calendar::TIMESTAMP_MIN),
        Just(calendar::TIMESTAMP_MAX),
        Just(calendar::TIMESTAMP_INFINITY),
        Just(calendar::TIMESTAMP_NEG_INFINITY),
    ]
    .boxed()
}

fn part() -> BoxedStrategy<i32> {
    prop_oneof![Just(0), -30..30, any::<i32>()].boxed()
}

fn string() -> BoxedStrategy<String> {
    prop_oneof!["[a-z '\"\\\\]{0,20}", "\\PC{0,12}"].boxed()
}

fn value() -> impl Strategy<Value = (SqlType, Datum)> {
    let floats =
        prop_oneof![any::<f64>(), (-1000..1000i32).prop_map(|v| f64::from(v) / 8.0), any::<i64>().prop_map(|v| v as f64)];
    let micros = prop_oneof![Just(0), -calendar::DAY..calendar::DAY, -Interval::MICROS_MAX..=Interval::MICROS_MAX];
    prop_oneof![
        any::<bool>().prop_map(|v| (SqlType::Bool, Datum::Bool(v))),
        any::<i16>().prop_map(|v| (SqlType::Int2, Datum::Int2(v))),
        any::<i32>().prop_map(|v| (SqlType::Int4, Datum::Int4(v))),
        any::<i64>().prop_map(|v| (SqlType::Int8, Datum::Int8(v))),
        any::<f32>().prop_map(|v| (SqlType::Float4, Datum::Float4(v))),
        floats.prop_map(|v| (SqlType::Float8, Datum::Float8(v))),
        prop_oneof![numeric(15, 2), numeric(18, 18), numeric(19, 5), numeric(38, 0), numeric(38, 37), numeric(38, 38)],
        string().prop_map(|v| (SqlType::Text, Datum::Text(v.into()))),
        string().prop_map(|v| (SqlType::Varchar(20), Datum::Text(v.chars().take(20).collect::<String>().into()))),
        string().prop_map(|v| {
            let padded = text::fit_string(SqlType::Char(20), &v).unwrap().into_owned();
            (SqlType::Char(20), Datum::Text(padded.into()))
        }),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| (SqlType::Bytea, Datum::Bytea(v.into()))),
        prop_oneof![
            calendar::DATE_MIN..=calendar::DATE_MAX,
            -800_000..800_000i32,
            Just(calendar::DATE_INFINITY),
            Just(calendar::DATE_NEG_INFINITY)
        ]
        .prop_map(|v| (SqlType::Date, Datum::Date(v))),
        (0..=calendar::DAY).prop_map(|v| (SqlType::Time, Datum::Time(v))),
        timestamp().prop_map(|v| (SqlType::Timestamp, Datum::Timestamp(v))),
        timestamp().prop_map(|v| (SqlType::TimestampTz, Datum::TimestampTz(v))),
        (part(), part(), micros)
            .prop_map(|(months, days, micros)| { (SqlType::Interval, Datum::Interval(Interval { months, days, micros })) }),
        any::<[u8; 16]>().prop_map(|v| (SqlType::Uuid, Datum::Uuid(v))),
    ]
}

/// Equal, and with the same sign of zero; every NaN is one.
fn same(a: &Datum, b: &Datum) -> bool {
    match (a, b) {
        (Datum::Float4(a), Datum::Float4(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Datum::Float8(a), Datum::Float8(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (a, b) => a == b,
    }
}

fn written(v: &Datum, zone: &jiff::tz::TimeZone) -> String {
    let mut out = Vec::new();
    text::format_in(v.as_ref(), zone, &mut out);
    String::from_utf8(out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_survives_every_form((t, value) in value()) {
        let shown = text::to_string(value.as_ref());
        let read = text::parse(t, &shown).unwrap();
        prop_assert!(same(&read, &value), "{t} {value:?} is written {shown:?} and read {read:?}");

        let mut bytes = Vec::new();
        binary::format(value.as_ref(), t, &mut bytes);
        prop_assert!(t.wire_len() < 0 || bytes.len() == t.wire_len() as usize);
        let read = binary::parse(t, &bytes).unwrap();
        prop_assert!(same(&read, &value), "{t} {value:?} is sent {bytes:?} and read {read:?}");

        let mut builder = ColumnBuilder::new(t, 1);
        builder.append(value.as_ref());
        prop_assert!(same(&datum_at(&builder.finish(), 0, t), &value));

        let layout = RowLayout::new(&[t]);
        let row = layout.encode(std::slice::from_ref(&value));
        prop_assert!(same(&layout.read(&row).get(0).to_owned(), &value));

        prop_assert!(same(&coerce::assign(value.clone(), t).unwrap(), &value), "assigning {t} to itself");
        let as_text = coerce::assign(value.clone(), SqlType::Text).unwrap();
        prop_assert!(same(&coerce::assign(as_text, t).unwrap(), &value), "{t} {value:?} by way of text");
    }

    #[test]
    fn a_moment_survives_every_zone(micros in timestamp(), at in 0..5usize) {
        let name = ["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Dublin", "FOO-3:30"][at];
        let session = text::Session { zone: zone::named(name).unwrap(), now: None };
        let value = Datum::TimestampTz(micros);
        let shown = written(&value, &session.zone);
        // What is shown at the ends of the range may lie beyond it in local time.
        if shown.starts_with("4714-11-2") || shown.starts_with("294247-") {
            return Ok(());
        }
        let read = text::parse_in(SqlType::TimestampTz, &shown, &session).unwrap();
        prop_assert!(same(&read, &value), "{micros} is written {shown:?} and read {read:?}");
    }

    #[test]
    fn any_text_is_read_or_refused(s in "\\PC{0,30}|[-+0-9:./ eETZPYMDHSa-z]{0,30}") {
        for t in [
            SqlType::Bool, SqlType::Int4, SqlType::Float4, SqlType::Float8, SqlType::NUMERIC, SqlType::Numeric { precision: 5, scale: 2 },
            SqlType::Varchar(3), SqlType::Char(3), SqlType::Bytea, SqlType::Date, SqlType::Time, SqlType::Timestamp,
            SqlType::TimestampTz, SqlType::Interval, SqlType::Uuid,
        ] {
            if let Ok(value) = text::parse(t, &s) {
                let shown = text::to_string(value.as_ref());
                let read = text::parse(t, &shown).unwrap();
                prop_assert!(same(&read, &value), "{t} {s:?} is {value:?}, written {shown:?} and read {read:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        for t in [
            SqlType::Bool, SqlType::Int2, SqlType::Int8, SqlType::Float8, SqlType::NUMERIC, SqlType::Text, SqlType::Char(3), SqlType::Date,
            SqlType::Time, SqlType::Timestamp, SqlType::Interval, SqlType::Uuid,
        ] {
            if let Ok(value) = binary::parse(t, &bytes) {
                let shown = text::to_string(value.as_ref());
                prop_assert!(same(&text::parse(t, &shown).unwrap(), &value), "{t} {bytes:?} is {value:?}");
            }
        }
    }
}
