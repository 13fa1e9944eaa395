use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, DurationSecondArray, Int8Array, IntervalYearMonthArray, LargeBinaryArray,
    LargeStringArray, NullArray, StringArray, Time32SecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::Int32Type;

use super::*;
use crate::datum::{Datum, DatumRef, Decimal, Interval};

fn every_type() -> Vec<(SqlType, Datum)> {
    vec![
        (SqlType::Bool, Datum::Bool(true)),
        (SqlType::Int2, Datum::Int2(-2)),
        (SqlType::Int4, Datum::Int4(i32::MIN)),
        (SqlType::Int8, Datum::Int8(i64::MAX)),
        (SqlType::Float4, Datum::Float4(1.5)),
        (SqlType::Float8, Datum::Float8(-0.25)),
        (SqlType::Numeric { precision: 15, scale: 2 }, Datum::Numeric(Decimal { unscaled: -12345, scale: 2 })),
        (SqlType::NUMERIC, Datum::Numeric(Decimal { unscaled: 10i128.pow(37), scale: 16 })),
        (SqlType::Text, Datum::Text("säule, longer than a view's twelve bytes".into())),
        (SqlType::Varchar(3), Datum::Text("".into())),
        (SqlType::Char(2), Datum::Text("a ".into())),
        (SqlType::Bytea, Datum::Bytea([0, 255].into())),
        (SqlType::Date, Datum::Date(i32::MAX)),
        (SqlType::Time, Datum::Time(86_400_000_000)),
        (SqlType::Timestamp, Datum::Timestamp(i64::MIN)),
        (SqlType::TimestampTz, Datum::TimestampTz(3)),
        (SqlType::Interval, Datum::Interval(Interval { months: 1, days: -2, micros: -Interval::MICROS_MAX })),
        (SqlType::Uuid, Datum::Uuid([7; 16])),
    ]
}

#[test]
fn an_array_gives_back_its_values() {
    for (t, value) in every_type() {
        let mut builder = ColumnBuilder::new(t, 4);
        for v in [value.as_ref(), DatumRef::Null, value.as_ref()] {
            builder.append(v);
        }
        assert_eq!(builder.len(), 3);
        let array = builder.finish();
        assert_eq!(*array.data_type(), data_type(t));
        assert_eq!((0..3).map(|row| datum_at(&array, row, t)).collect::<Vec<_>>(), [value.clone(), Datum::Null, value]);
        assert!(builder.is_empty());
        assert_eq!(builder.finish().data_type(), &data_type(t), "a builder keeps its type after finish");
    }
}

#[test]
fn a_field_keeps_its_sql_type() {
    for (t, _) in every_type() {
        assert_eq!(sql_type_of(&field("c", t, true)), Some(t));
        let plain = Field::new("c", data_type(t), true);
        let expected = if t.is_string() { SqlType::Text } else { t };
        assert_eq!(sql_type_of(&plain), Some(expected));
    }
}

#[test]
fn metadata_that_does_not_fit_the_array_is_ignored() {
    let wrong = field("c", SqlType::Uuid, true).with_data_type(DataType::Int32);
    assert_eq!(sql_type_of(&wrong), Some(SqlType::Int4));
    let utf8 = field("c", SqlType::Varchar(3), true).with_data_type(DataType::Utf8);
    assert_eq!(sql_type_of(&utf8), Some(SqlType::Varchar(3)));
}

#[test]
fn foreign_arrays_are_read_by_their_sql_type() {
    let dictionary: DictionaryArray<Int32Type> = [Some("b"), None, Some("a"), Some("b")].into_iter().collect();
    let cases: Vec<(ArrayRef, usize, Datum)> = vec![
        (Arc::new(StringArray::from(vec!["x"])), 0, Datum::Text("x".into())),
        (Arc::new(LargeStringArray::from(vec!["x"])), 0, Datum::Text("x".into())),
        (Arc::new(dictionary.clone()), 3, Datum::Text("b".into())),
        (Arc::new(dictionary), 1, Datum::Null),
        (Arc::new(LargeBinaryArray::from(vec![b"x".as_slice()])), 0, Datum::Bytea([b'x'].into())),
        (Arc::new(Int8Array::from(vec![-1])), 0, Datum::Int2(-1)),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), 0, Datum::Int8(4_294_967_295)),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), 0, Datum::Numeric(Decimal { unscaled: u64::MAX.into(), scale: 0 })),
        (
            Arc::new(Decimal128Array::from(vec![7]).with_precision_and_scale(3, -2).unwrap()),
            0,
            Datum::Numeric(Decimal { unscaled: 700, scale: 0 }),
        ),
        (Arc::new(TimestampNanosecondArray::from(vec![-1])), 0, Datum::Timestamp(-1)),
        (Arc::new(TimestampMillisecondArray::from(vec![2]).with_timezone("+02:00")), 0, Datum::TimestampTz(2000)),
        (Arc::new(Time32SecondArray::from(vec![61])), 0, Datum::Time(61_000_000)),
        (Arc::new(IntervalYearMonthArray::from(vec![14])), 0, Datum::Interval(Interval { months: 14, ..Interval::default() })),
        (Arc::new(DurationSecondArray::from(vec![3])), 0, Datum::Interval(Interval { micros: 3_000_000, ..Interval::default() })),
        (Arc::new(NullArray::new(1)), 0, Datum::Null),
    ];
    for (array, row, expected) in cases {
        let t = sql_type(array.data_type()).unwrap();
        assert_eq!(datum_at(&array, row, t), expected, "{}", array.data_type());
    }
}

#[test]
fn nested_types_have_no_sql_type() {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    assert_eq!(sql_type(&DataType::List(item)), None);
}

#[test]
fn values_of_another_type_are_refused() {
    for (t, value) in [
        (SqlType::Int4, DatumRef::Int8(1)),
        (SqlType::Timestamp, DatumRef::TimestampTz(1)),
        (SqlType::Numeric { precision: 5, scale: 2 }, DatumRef::Numeric(Decimal { unscaled: 1, scale: 1 })),
        (SqlType::Interval, DatumRef::Interval(Interval { micros: i64::MAX, ..Interval::default() })),
    ] {
        let mut builder = ColumnBuilder::new(t, 1);
        assert!(catch_unwind(AssertUnwindSafe(|| builder.append(value))).is_err(), "{t} took {value:?}");
    }
}
