//! The tables of the simulated workload and how their rows are made.

use arrow::array::{ArrayRef, RecordBatch};
use catalog::{Column, PrimaryKey, Table};
use types::arrow_form::ColumnBuilder;
use types::{ColumnId, Datum, Decimal, Key, Oid, Row, RowLayout, SchemaId, SqlType, TableId};

/// A row of a table, without its key: what an update changes.
pub(crate) type Content = Vec<Datum>;

/// What kind of key a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One bigint.
    Number,
    /// A text and an integer, the integer first among the columns.
    Pair,
    /// None: the hidden row id.
    RowId,
}

/// Tables by number.
pub(crate) const KINDS: [Kind; 3] = [Kind::Number, Kind::Pair, Kind::RowId];

const NUMERIC: SqlType = SqlType::Numeric { precision: 15, scale: 2 };

pub(crate) fn definition(number: usize, id: u32) -> Table {
    let columns: &[(&str, SqlType)] = match KINDS[number] {
        Kind::Number => &[("k", SqlType::Int8), ("amount", SqlType::Int8), ("note", SqlType::Text), ("price", NUMERIC)],
        Kind::Pair => &[("n", SqlType::Int4), ("name", SqlType::Text), ("amount", SqlType::Int8), ("note", SqlType::Text)],
        Kind::RowId => &[("amount", SqlType::Int8), ("note", SqlType::Text)],
    };
    let key: Option<Vec<usize>> = match KINDS[number] {
        Kind::Number => Some(vec![0]),
        Kind::Pair => Some(vec![1, 0]),
        Kind::RowId => None,
    };
    let columns = columns.iter().enumerate().map(|(at, (name, data_type))| Column {
        id: ColumnId(at as u16 + 1),
        name: (*name).into(),
        data_type: *data_type,
        not_null: key.as_ref().is_some_and(|key| key.contains(&at)),
        default: None,
        identity: None,
        generated: None,
    });
    Table {
        id: TableId(id),
        schema: SchemaId(2200),
        name: format!("t{number}"),
        columns: columns.collect(),
        primary_key: key.map(|columns| PrimaryKey { id: Oid(id + 1), name: format!("t{number}_pkey"), columns }),
        ..Table::default()
    }
}

/// The key columns' values of the `n`th key of a table.
pub(crate) fn key_values(number: usize, n: i64) -> Vec<Datum> {
    match KINDS[number] {
        Kind::Number | Kind::RowId => vec![Datum::Int8(n)],
        Kind::Pair => vec![Datum::Text(format!("name {}", n % 7).into()), Datum::Int4(n as i32)],
    }
}

/// The columns of a row that are not its key, from a number that can be recognized in all of them.
pub(crate) fn content(number: usize, amount: i64) -> Content {
    let note = match amount % 5 {
        0 => Datum::Null,
        1 => Datum::Text("".into()),
        2 => Datum::Text(format!("{amount}").into()),
        _ => Datum::Text(format!("a longer note about {amount}, {}", "x".repeat((amount.unsigned_abs() % 90) as usize)).into()),
    };
    let mut content = vec![Datum::Int8(amount), note];
    if KINDS[number] == Kind::Number {
        let price = Decimal { unscaled: i128::from(amount) * 7, scale: 2 };
        content.push(if amount % 11 == 0 { Datum::Null } else { Datum::Numeric(price) });
    }
    content
}

/// All stored columns from a key's values and a content.
pub(crate) fn stored(number: usize, key: &[Datum], content: &[Datum]) -> Vec<Datum> {
    let mut key = key.to_vec();
    if KINDS[number] == Kind::Pair {
        key.reverse();
    }
    key.into_iter().chain(content.iter().cloned()).collect()
}

pub(crate) fn row(table: &Table, number: usize, key: &[Datum], content: &[Datum]) -> Row {
    RowLayout::new(&table.stored_types()).encode(&stored(number, key, content))
}

/// Splits the stored columns of a row into its key and its content.
pub(crate) fn split(table: &Table, number: usize, stored: &[Datum]) -> (Key, Content) {
    let values: Vec<Datum> = table.key_columns().iter().map(|&c| stored[c].clone()).collect();
    let key_len = if KINDS[number] == Kind::Pair { 2 } else { 1 };
    (table.key_from(&values), stored[key_len..].to_vec())
}

/// SQL columns of rows as a batch for a bulk load.
pub(crate) fn batch(table: &Table, rows: &[Vec<Datum>]) -> RecordBatch {
    let columns: Vec<ArrayRef> = (0..table.columns.len())
        .map(|column| {
            let mut builder = ColumnBuilder::new(table.columns[column].data_type, rows.len());
            for row in rows {
                builder.append(row[column].as_ref());
            }
            builder.finish()
        })
        .collect();
    let fields = table.columns.iter().map(|c| types::arrow_form::field(&c.name, c.data_type, !c.not_null));
    let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(std::sync::Arc::new(schema), columns).unwrap()
}
