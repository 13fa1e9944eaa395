use ::arrow::array::{ArrayRef, DictionaryArray, Int64Array, NullArray, RecordBatch, StringArray, UInt32Array};
use ::arrow::datatypes::{Field, Int32Type, Schema};
use types::{ByteList, Decimal, Interval, RowImages, RowLayout, Shown, arrow_form};

use super::*;

fn columns(types: &[SqlType]) -> Arc<[OutputColumn]> {
    let column = |data_type: &SqlType| OutputColumn {
        name: "c".into(),
        data_type: *data_type,
        type_oid: data_type.oid(),
        type_modifier: -1,
        table_oid: 0,
        attnum: 0,
    };
    types.iter().map(column).collect()
}

fn encoder(types: &[SqlType], format: Format) -> Encoder {
    Encoder::new(&columns(types), &vec![format; types.len()], FormatOptions::default())
}

fn batch(arrays: Vec<ArrayRef>) -> RowBatch {
    let fields: Vec<Field> = arrays.iter().map(|array| Field::new("c", array.data_type().clone(), true)).collect();
    RowBatch::Arrow(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
}

fn encoded(encoder: &Encoder, batch: &RowBatch) -> Vec<u8> {
    let mut out = Output::default();
    assert_eq!(encoder.encode(batch, 0..batch.rows(), &mut out, usize::MAX).unwrap(), batch.rows());
    out.bytes
}

/// Values of every type, the awkward ones among them.
fn samples() -> Vec<(SqlType, Vec<Datum>)> {
    let numeric = |unscaled, scale| Datum::Numeric(Decimal { unscaled, scale });
    let text = |text: &str| Datum::Text(text.into());
    vec![
        (SqlType::Bool, vec![Datum::Bool(true), Datum::Bool(false)]),
        (SqlType::Int2, vec![Datum::Int2(i16::MIN), Datum::Int2(7)]),
        (SqlType::Int4, vec![Datum::Int4(i32::MIN), Datum::Int4(0)]),
        (SqlType::Int8, vec![Datum::Int8(i64::MIN), Datum::Int8(i64::MAX)]),
        (SqlType::Float4, vec![Datum::Float4(0.1), Datum::Float4(f32::NEG_INFINITY)]),
        (SqlType::Float8, vec![Datum::Float8(1e300), Datum::Float8(-0.0)]),
        (SqlType::Numeric { precision: 15, scale: 2 }, vec![numeric(-12345, 2), numeric(0, 2)]),
        (SqlType::Numeric { precision: 38, scale: 10 }, vec![numeric(10i128.pow(37), 10), numeric(1, 10)]),
        (SqlType::Text, vec![text("säule"), text(""), text("longer than the twelve bytes a view holds itself")]),
        (SqlType::Varchar(9), vec![text("abc")]),
        (SqlType::Char(4), vec![text("ab  ")]),
        (SqlType::Bytea, vec![Datum::Bytea([0, 255].into()), Datum::Bytea([].into())]),
        (SqlType::Date, vec![Datum::Date(-1), Datum::Date(20000), Datum::Date(i32::MAX)]),
        (SqlType::Time, vec![Datum::Time(1), Datum::Time(86_400_000_000)]),
        (SqlType::Timestamp, vec![Datum::Timestamp(1_700_000_000_123_456), Datum::Timestamp(i64::MAX)]),
        (SqlType::TimestampTz, vec![Datum::TimestampTz(-1), Datum::TimestampTz(i64::MIN)]),
        (SqlType::Interval, vec![Datum::Interval(Interval { months: 14, days: -3, micros: 1_000_001 })]),
        (SqlType::Uuid, vec![Datum::Uuid([7; 16])]),
    ]
}

#[test]
fn rows_and_columns_give_the_same_bytes() {
    for (data_type, mut values) in samples() {
        values.push(Datum::Null);
        let mut builder = arrow_form::ColumnBuilder::new(data_type, values.len());
        values.iter().for_each(|value| builder.append(value.as_ref()));
        let column_wise = batch(vec![builder.finish()]);
        let layout = RowLayout::new(&[data_type]);
        let mut images = ByteList::default();
        values.iter().for_each(|value| images.push(&layout.encode(std::slice::from_ref(value)).0));
        let row_wise = RowBatch::Datums(values.into_iter().map(|value| vec![value]).collect());
        let images = RowBatch::Images(RowImages::new(Arc::new(Shown::new(layout, vec![0])), images));
        for format in [Format::Text, Format::Binary] {
            let encoder = encoder(&[data_type], format);
            let expected = encoded(&encoder, &row_wise);
            assert_eq!(encoded(&encoder, &column_wise), expected, "{data_type} as {format:?}");
            assert_eq!(encoded(&encoder, &images), expected, "{data_type} as {format:?}");
        }
    }
}

#[test]
fn a_row_looks_as_postgresql_sends_it() {
    let types = [SqlType::Int4, SqlType::Text, SqlType::Bool];
    let rows = RowBatch::Datums(vec![vec![Datum::Int4(-12), Datum::Null, Datum::Bool(true)]]);
    let text = encoded(&encoder(&types, Format::Text), &rows);
    assert_eq!(text, b"D\0\0\0\x16\0\x03\0\0\0\x03-12\xff\xff\xff\xff\0\0\0\x01t");
    let binary = encoded(&encoder(&types, Format::Binary), &rows);
    assert_eq!(binary, b"D\0\0\0\x17\0\x03\0\0\0\x04\xff\xff\xff\xf4\xff\xff\xff\xff\0\0\0\x01\x01");
    let empty = encoded(&encoder(&[], Format::Text), &RowBatch::Datums(vec![vec![]]));
    assert_eq!(empty, b"D\0\0\0\x06\0\0", "a row without columns is a row");
}

#[test]
fn arrays_of_other_types_are_read_as_what_they_mean() {
    let keys: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let plain = StringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
    let text = encoder(&[SqlType::Text], Format::Text);
    assert_eq!(encoded(&text, &batch(vec![Arc::new(keys)])), encoded(&text, &batch(vec![Arc::new(plain)])));
    for format in [Format::Text, Format::Binary] {
        let bigint = encoder(&[SqlType::Int8], format);
        let unsigned = batch(vec![Arc::new(UInt32Array::from(vec![u32::MAX]))]);
        let signed = batch(vec![Arc::new(Int64Array::from(vec![i64::from(u32::MAX)]))]);
        assert_eq!(encoded(&bigint, &unsigned), encoded(&bigint, &signed));
    }
    let nothing = encoded(&encoder(&[SqlType::Int4], Format::Binary), &batch(vec![Arc::new(NullArray::new(1))]));
    assert_eq!(nothing, b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff");
}

#[test]
fn a_batch_that_is_not_what_was_described_is_an_error() {
    let mut out = Output::default();
    for (types, rows) in [
        (vec![SqlType::Int4], batch(vec![Arc::new(Int64Array::from(vec![1]))])),
        (vec![SqlType::Int8, SqlType::Int8], batch(vec![Arc::new(Int64Array::from(vec![1]))])),
        (vec![SqlType::Int8], RowBatch::Datums(vec![vec![Datum::Int8(1), Datum::Int8(2)]])),
    ] {
        let error = encoder(&types, Format::Binary).encode(&rows, 0..1, &mut out, 100).unwrap_err();
        assert_eq!(error.state.as_str(), "XX000", "{error}");
    }
    assert!(out.bytes.is_empty());
}

#[test]
fn a_batch_is_encoded_in_pieces() {
    let rows = batch(vec![Arc::new(Int64Array::from_iter_values(0..1000))]);
    let encoder = encoder(&[SqlType::Int8], Format::Binary);
    let whole = encoded(&encoder, &rows);
    let mut out = Output::default();
    let (mut next, mut pieces) = (0, vec![]);
    while next < 1000 {
        let reached = encoder.encode(&rows, next..1000, &mut out, 100).unwrap();
        assert!(reached > next && out.bytes.len() < 100 + 19, "a piece ends at the limit");
        pieces.append(&mut out.bytes);
        next = reached;
    }
    assert_eq!(pieces, whole);
}
