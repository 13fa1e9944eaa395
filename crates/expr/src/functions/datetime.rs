//! Functions of dates and times.

use std::borrow::Cow;

use types::calendar::{self, DAY};
use types::zone::Abbreviation;
use types::{Datum, DatumRef, Interval, SqlError, SqlState, SqlType, coerce, zone};

use super::fields::{self, Field};
use super::temporal::{self, TruncateTo};
use super::{fits, float_of, int_of, mismatch, template, template_interval, text, text_of};
use crate::decimal;
use crate::function::{Arg, Call, Function, Signature};
use crate::syntax::singular;

use SqlType::{Date, Float8, Int4, Int8, Text, Time, Timestamp, TimestampTz};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("now", |args, _| fits(args, &[], TimestampTz), |call, _| now(call).map(Datum::TimestampTz)).stable(),
    Function::new("current_timestamp", |args, _| fits(args, &[], TimestampTz), |call, _| now(call).map(Datum::TimestampTz))
        .stable(),
    Function::new("transaction_timestamp", |args, _| fits(args, &[], TimestampTz), |call, _| now(call).map(Datum::TimestampTz))
        .stable(),
    Function::new("statement_timestamp", |args, _| fits(args, &[], TimestampTz), |call, _| now(call).map(Datum::TimestampTz))
        .stable(),
    Function::new("localtimestamp", |args, _| fits(args, &[], Timestamp), |call, _| local(call, Timestamp)).stable(),
    Function::new("current_date", |args, _| fits(args, &[], Date), |call, _| local(call, Date)).stable(),
    Function::new("current_time", |args, _| fits(args, &[], Time), |call, _| local(call, Time)).stable(),
    Function::new("localtime", |args, _| fits(args, &[], Time), |call, _| local(call, Time)).stable(),
    Function::new("extract", extract_signature, extract),
    Function::new("date_part", date_part_signature, date_part),
    Function::new("date_trunc", truncate_signature, truncate),
    Function::new("date_bin", bin_signature, bin),
    Function::new("age", age_signature, age).stable(),
    Function::new("timezone", timezone_signature, timezone).stable(),
    Function::new(
        "isfinite",
        |args, _| one_moment(args).map(|t| of(&[t], SqlType::Bool)),
        |_, args| {
            Ok(Datum::Bool(match args {
                [DatumRef::Date(v)] => !calendar::is_infinite_date(*v),
                [DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)] => !calendar::is_infinite_timestamp(*v),
                _ => true,
            }))
        },
    ),
    Function::new(
        "justify_days",
        |args, _| fits(args, &[SqlType::Interval], SqlType::Interval),
        |_, args| justify(args, false, true),
    ),
    Function::new(
        "justify_hours",
        |args, _| fits(args, &[SqlType::Interval], SqlType::Interval),
        |_, args| justify(args, true, false),
    ),
    Function::new(
        "justify_interval",
        |args, _| fits(args, &[SqlType::Interval], SqlType::Interval),
        |_, args| justify(args, true, true),
    ),
    Function::new(
        "interval_order",
        |args, _| fits(args, &[SqlType::Interval], WIDE),
        |_, args| match args {
            [DatumRef::Interval(v)] => Ok(Datum::Numeric(types::Decimal { unscaled: temporal::interval_order(*v), scale: 0 })),
            _ => Err(mismatch("interval_order")),
        },
    ),
    Function::new("make_date", |args, _| fits(args, &[Int4; 3], Date), make_date),
    Function::new(
        "make_time",
        |args, _| fits(args, &[Int4, Int4, Float8], Time),
        |_, args| clock(int_of(args, 0)?, int_of(args, 1)?, float_of(args, 2)?).map(Datum::Time),
    ),
    Function::new(
        "make_timestamp",
        |args, _| fits(args, &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp),
        |call, args| {
            let Datum::Date(days) = make_date(call, &args[..3])? else { return Err(mismatch("make_timestamp")) };
            let time = clock(int_of(args, 3)?, int_of(args, 4)?, float_of(args, 5)?)?;
            temporal::at_time(days, time).map(Datum::Timestamp)
        },
    ),
    Function::new("to_timestamp", to_timestamp_signature, to_timestamp).stable(),
    Function::new(
        "to_date",
        |args, _| fits(args, &[Text, Text], Date),
        |_, args| template::parse(text_of(args, 0)?, text_of(args, 1)?).map(|at| Datum::Date(calendar::split_timestamp(at).0)),
    ),
    Function::new("to_char", to_char_signature, to_char).stable(),
];

/// What orders of intervals need.
const WIDE: SqlType = SqlType::Numeric { precision: 38, scale: 0 };

fn of(args: &[SqlType], result: SqlType) -> Signature {
    Signature { args: args.to_vec(), result }
}

fn one_moment(args: &[Arg]) -> Option<SqlType> {
    match *args {
        [Some(t @ (Date | Time | Timestamp | TimestampTz | SqlType::Interval))] => Some(t),
        [None] => Some(Timestamp),
        _ => None,
    }
}

fn now(call: &Call<'_>) -> Result<i64, SqlError> {
    call.session.now.ok_or_else(|| SqlError::unsupported("there is no clock here"))
}

/// The transaction's time on the zone's clocks.
fn local(call: &Call<'_>, to: SqlType) -> Result<Datum, SqlError> {
    coerce::assign_in(Datum::TimestampTz(now(call)?), to, call.session)
}

fn extract_signature(args: &[Arg], special: Option<&str>) -> Option<Signature> {
    let t = one_moment(args)?;
    let result = special.and_then(Field::named).map_or(SqlType::NUMERIC, |field| field.result(t));
    Some(of(&[t], result))
}

fn field(call: &Call<'_>, name: &str) -> Result<Field, SqlError> {
    Field::named(name).ok_or_else(|| fields::unknown(name, call.signature.args.last().copied().unwrap_or(Timestamp)))
}

fn extract(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let [value] = *args else { return Err(mismatch("extract")) };
    let SqlType::Numeric { scale, .. } = call.signature.result else { return Err(mismatch("extract")) };
    let field = field(call, call.special.unwrap_or("?"))?;
    if fields::infinity(field, value).is_some() {
        return Err(
            SqlError::unsupported("numeric infinity is not supported").hint("Use date_part, which gives double precision.")
        );
    }
    match fields::extract(field, value, |at| zone::offset_at(&call.session.zone, at))? {
        Some(found) => Ok(Datum::Numeric(types::Decimal { unscaled: decimal::rescale(found, scale)?, scale })),
        None => Ok(Datum::Null),
    }
}

fn date_part_signature(args: &[Arg], special: Option<&str>) -> Option<Signature> {
    match (special, args) {
        (None, [unit, value]) if is_text(unit) => Some(of(&[Text, one_moment(&[*value])?], Float8)),
        _ => Some(Signature { result: Float8, ..extract_signature(args, special)? }),
    }
}

fn date_part(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (name, args) = unit(call, args)?;
    let [value] = *args else { return Err(mismatch("date_part")) };
    let field = field(call, &name)?;
    if let Some(infinity) = fields::infinity(field, value) {
        return Ok(Datum::Float8(infinity));
    }
    Ok(fields::extract(field, value, |at| zone::offset_at(&call.session.zone, at))?
        .map_or(Datum::Null, |found| Datum::Float8(decimal::to_f64(found))))
}

fn is_text(arg: &Arg) -> bool {
    arg.is_none_or(|t| t.is_string())
}

/// The unit that the first argument names, where it is no constant, and the arguments behind it.
fn unit<'a>(call: &'a Call<'_>, args: &'a [DatumRef<'a>]) -> Result<(Cow<'a, str>, &'a [DatumRef<'a>]), SqlError> {
    match (call.special, args) {
        (Some(name), args) => Ok((Cow::Borrowed(name), args)),
        (None, [DatumRef::Text(name), rest @ ..]) => Ok((Cow::Owned(singular(&name.to_ascii_lowercase()).to_owned()), rest)),
        _ => Err(mismatch("a unit")),
    }
}

fn truncate_signature(args: &[Arg], special: Option<&str>) -> Option<Signature> {
    match (special, args) {
        (Some(_), [Some(Date)]) => Some(of(&[TimestampTz], TimestampTz)),
        (Some(_), [Some(t @ (Timestamp | TimestampTz | SqlType::Interval))]) => Some(of(&[*t], *t)),
        (Some(_), [None]) => Some(of(&[Timestamp], Timestamp)),
        (None, [unit, value]) if is_text(unit) => {
            let Signature { args, result, .. } = truncate_signature(&[*value], Some(""))?;
            Some(of(&[Text, args[0]], result))
        }
        (None, [unit, None | Some(Date | TimestampTz), zone]) if is_text(unit) && is_text(zone) => {
            Some(of(&[Text, TimestampTz, Text], TimestampTz))
        }
        _ => None,
    }
}

fn truncate(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (name, args) = unit(call, args)?;
    let unit = TruncateTo::named(&name)?;
    Ok(match *args {
        [at @ DatumRef::TimestampTz(_), zone] => {
            let Datum::Timestamp(here) = timezone(call, &[zone, at])? else { return Err(mismatch("date_trunc")) };
            timezone(call, &[zone, DatumRef::Timestamp(temporal::truncate_timestamp(unit, here)?)])?
        }
        [DatumRef::Timestamp(v)] => Datum::Timestamp(temporal::truncate_timestamp(unit, v)?),
        [DatumRef::TimestampTz(v)] => {
            let here = coerce::assign_in(Datum::TimestampTz(v), Timestamp, call.session)?;
            let Datum::Timestamp(here) = here else { return Err(mismatch("date_trunc")) };
            let start = Datum::Timestamp(temporal::truncate_timestamp(unit, here)?);
            coerce::assign_in(start, TimestampTz, call.session)?
        }
        [DatumRef::Interval(v)] => Datum::Interval(temporal::truncate_interval(unit, v)?),
        _ => return Err(mismatch("date_trunc")),
    })
}

fn bin_signature(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let t = if args.contains(&Some(TimestampTz)) { TimestampTz } else { Timestamp };
    fits(args, &[SqlType::Interval, t, t], t)
}

/// `date_bin(stride, timestamp, origin)`: the start of the stride, counted from the origin, that the timestamp is in.
fn bin(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (stride, at, origin) = match *args {
        [DatumRef::Interval(stride), DatumRef::Timestamp(at), DatumRef::Timestamp(origin)]
        | [DatumRef::Interval(stride), DatumRef::TimestampTz(at), DatumRef::TimestampTz(origin)] => (stride, at, origin),
        _ => return Err(mismatch("date_bin")),
    };
    let of_its_type = |v| if matches!(args[1], DatumRef::TimestampTz(_)) { Datum::TimestampTz(v) } else { Datum::Timestamp(v) };
    if calendar::is_infinite_timestamp(at) {
        return Ok(of_its_type(at));
    }
    let out_of_range = |what: &str| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"));
    if calendar::is_infinite_timestamp(origin) {
        return Err(out_of_range("origin"));
    }
    if stride.months != 0 {
        return Err(SqlError::unsupported("timestamps cannot be binned into intervals containing months or years"));
    }
    let days = i64::from(stride.days).checked_mul(DAY);
    let stride = days.and_then(|days| days.checked_add(stride.micros)).ok_or_else(|| out_of_range("interval"))?;
    if stride <= 0 {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"));
    }
    let since = at.checked_sub(origin).ok_or_else(|| out_of_range("interval"))?;
    let start = at.checked_sub(since.rem_euclid(stride)).map(calendar::split_timestamp);
    let start = start.and_then(|(days, micros)| calendar::join_timestamp(days.into(), micros));
    start.map(of_its_type).ok_or_else(|| out_of_range("timestamp"))
}

fn age_signature(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let with_zone = args.contains(&Some(TimestampTz));
    let t = if with_zone { TimestampTz } else { Timestamp };
    match args.len() {
        1 | 2 => fits(args, &vec![t; args.len()], SqlType::Interval),
        _ => None,
    }
}

fn age(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let at = |value: &DatumRef<'_>| match *value {
        DatumRef::Timestamp(v) => Ok(v),
        DatumRef::TimestampTz(v) if calendar::is_infinite_timestamp(v) => Ok(v),
        DatumRef::TimestampTz(v) => Ok(v + i64::from(zone::offset_at(&call.session.zone, v)) * calendar::SECOND),
        _ => Err(mismatch("age")),
    };
    let (a, b) = match args {
        [a, b] => (at(a)?, at(b)?),
        [b] => {
            let today = now(call)?;
            (today - today.rem_euclid(DAY), at(b)?)
        }
        _ => return Err(mismatch("age")),
    };
    temporal::age(a, b).map(Datum::Interval)
}

fn timezone_signature(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let first = match args.first()? {
        None => Text,
        Some(t) if t.is_string() => Text,
        Some(SqlType::Interval) => SqlType::Interval,
        _ => return None,
    };
    match *args.get(1)? {
        Some(Timestamp) => Some(of(&[first, Timestamp], TimestampTz)),
        Some(TimestampTz | Date) | None => Some(of(&[first, TimestampTz], Timestamp)),
        _ => None,
    }
}

fn timezone(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let out = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let offset = |at: i64, local: bool| match args.first() {
        Some(DatumRef::Text(name)) => {
            // An abbreviation is looked for before a zone: EST is not America's summer time.
            match zone::abbreviation(name) {
                Some((Abbreviation::Fixed(offset), _)) => Ok(offset),
                Some((Abbreviation::In(zone), _)) => Ok(zone::offset_of_abbreviation(&zone, name, at)),
                None => {
                    let zone = zone::named(name)?;
                    Ok(if local { zone::offset_of_local(&zone, at) } else { zone::offset_at(&zone, at) })
                }
            }
        }
        Some(DatumRef::Interval(Interval { months: 0, days: 0, micros })) => Ok((micros / 1_000_000) as i32),
        Some(DatumRef::Interval(_)) => {
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "interval time zone must not include months or days"))
        }
        _ => Err(mismatch("timezone")),
    };
    let micros = |seconds: i32| i64::from(seconds) * 1_000_000;
    let moved = |at: i64, seconds: i32| {
        let moved = at.checked_add(micros(seconds));
        moved.filter(|v| (calendar::TIMESTAMP_MIN..=calendar::TIMESTAMP_MAX).contains(v)).ok_or_else(out)
    };
    Ok(match args.get(1) {
        Some(DatumRef::Timestamp(v)) if calendar::is_infinite_timestamp(*v) => Datum::TimestampTz(*v),
        Some(DatumRef::TimestampTz(v)) if calendar::is_infinite_timestamp(*v) => Datum::Timestamp(*v),
        Some(DatumRef::Timestamp(v)) => Datum::TimestampTz(moved(*v, -offset(*v, true)?)?),
        Some(DatumRef::TimestampTz(v)) => Datum::Timestamp(moved(*v, offset(*v, false)?)?),
        _ => return Err(mismatch("timezone")),
    })
}

fn justify(args: &[DatumRef<'_>], hours: bool, days: bool) -> Result<Datum, SqlError> {
    match args {
        [DatumRef::Interval(v)] => temporal::justify(*v, hours, days).map(Datum::Interval),
        _ => Err(mismatch("justify")),
    }
}

fn make_date(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (year, month, day) = (int_of(args, 0)?, int_of(args, 1)?, int_of(args, 2)?);
    let bad = || {
        let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
        SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    };
    // A negative year is before Christ, and there is no year 0.
    let astronomical = if year < 0 { year + 1 } else { year };
    let (Ok(astronomical), Ok(month), Ok(day)) = (i32::try_from(astronomical), u32::try_from(month), u32::try_from(day)) else {
        return Err(bad());
    };
    let exists = year != 0
        && (1..=12).contains(&month)
        && (1..=calendar::days_in_month(astronomical, month)).contains(&day)
        && (-4713..=5_874_897).contains(&astronomical);
    if !exists {
        return Err(bad());
    }
    let days = i32::try_from(calendar::days_from_civil(astronomical, month, day)).ok();
    days.filter(|days| (calendar::DATE_MIN..=calendar::DATE_MAX).contains(days)).map(Datum::Date).ok_or_else(bad)
}

fn clock(hour: i64, minute: i64, second: f64) -> Result<i64, SqlError> {
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=60.0).contains(&second) {
        let message = format!("time field value out of range: {hour}:{minute:02}:{second}");
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    let time = (hour * 60 + minute) * 60_000_000 + (second * 1e6).round_ties_even() as i64;
    if time > DAY {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "time field value out of range"));
    }
    Ok(time)
}

fn to_timestamp_signature(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    match args.len() {
        1 => fits(args, &[Float8], TimestampTz),
        _ => fits(args, &[Text, Text], TimestampTz),
    }
}

fn to_timestamp(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    if let [DatumRef::Float8(seconds)] = *args {
        let micros = (seconds * 1e6).round_ties_even();
        let in_range = micros > calendar::TIMESTAMP_MIN as f64 && micros < i64::MAX as f64;
        return if in_range {
            Ok(Datum::TimestampTz(micros as i64))
        } else {
            Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{seconds}\"")))
        };
    }
    let at = template::parse(text_of(args, 0)?, text_of(args, 1)?)?;
    coerce::assign_in(Datum::Timestamp(at), TimestampTz, call.session)
}

fn to_char_signature(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let first = match *args.first()? {
        Some(Date | Timestamp) => Timestamp,
        Some(TimestampTz) => TimestampTz,
        Some(t @ (SqlType::Interval | Time)) => t,
        Some(SqlType::Int2 | Int4 | Int8) => SqlType::Numeric { precision: 19, scale: 0 },
        Some(t @ SqlType::Numeric { .. }) => t,
        Some(SqlType::Float4 | Float8) => SqlType::NUMERIC,
        _ => return None,
    };
    fits(args, &[first, Text], Text).or_else(|| Some(of(&[first, Text], Text)).filter(|_| args.len() == 2))
}

fn to_char(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let infinite = match args.first() {
        Some(DatumRef::Date(v)) => calendar::is_infinite_date(*v),
        Some(DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)) => calendar::is_infinite_timestamp(*v),
        _ => false,
    };
    if infinite {
        return Ok(Datum::Null);
    }
    let pattern = text_of(args, 1)?;
    text(match args.first() {
        Some(DatumRef::Timestamp(v)) => template::format(*v, None, pattern)?,
        Some(DatumRef::TimestampTz(v)) => {
            let Datum::Timestamp(here) = coerce::assign_in(Datum::TimestampTz(*v), Timestamp, call.session)? else {
                return Err(mismatch("to_char"));
            };
            template::format(here, Some((zone::offset_at(&call.session.zone, *v), &call.session.zone)), pattern)?
        }
        Some(DatumRef::Interval(v)) => template_interval::format_interval(*v, pattern)?,
        Some(DatumRef::Time(v)) => template_interval::format_interval(Interval { months: 0, days: 0, micros: *v }, pattern)?,
        Some(DatumRef::Numeric(v)) => template::format_number(*v, pattern)?,
        _ => return Err(mismatch("to_char")),
    })
}
