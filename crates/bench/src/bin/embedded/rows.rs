//! The two shapes of the table, and its rows.
//!
//! ```text
//!   mixed   id bigint, 5 numbers and dates, 4 short texts      about 100 bytes a row
//!   wide    id bigint, 10 texts of 100 characters              about 1 KB
//! ```
//!
//! Row `id` is made from `id` alone. Ids are 0, 1, 2, ..; a read fetches every column behind the id.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use clap::ValueEnum;
use colonnade::arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringViewBuilder};
use colonnade::arrow::error::ArrowError;
use serde::Serialize;

/// Of which columns the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Numbers, a date and short texts: about 100 bytes.
    Mixed,
    /// Ten texts of 100 characters.
    Wide,
}

/// Columns behind the id.
pub(crate) const COLUMNS: usize = 10;
const TEXT_CHARS: usize = 100;

impl Shape {
    pub(crate) fn create(self) -> String {
        let columns = match self {
            Shape::Mixed => {
                "a bigint not null, b integer not null, c integer not null, d numeric(15,2) not null, e date not null, \
                 f text not null, g varchar(10) not null, h char(1) not null, i text not null, j bigint not null"
                    .to_owned()
            }
            Shape::Wide => Vec::from(Self::NAMES.map(|name| format!("{name} text not null"))).join(", "),
        };
        // SQLite's own kind of key is the integer; ours is as good by either name.
        format!("create table t (id integer_key primary key, {columns})")
    }

    const NAMES: [&str; COLUMNS] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

    /// With `mark` before a parameter's number: `$` or `?`.
    pub(crate) fn read(mark: char) -> String {
        format!("select {} from t where id = {mark}1", Self::NAMES.join(", "))
    }

    /// Writes one column of a row; the second parameter is a number, or a text for `wide`.
    pub(crate) fn update(self, mark: char) -> String {
        match self {
            Shape::Mixed => format!("update t set a = a + {mark}2 where id = {mark}1"),
            Shape::Wide => format!("update t set d = {mark}2 where id = {mark}1"),
        }
    }

    /// What an update writes.
    pub(crate) fn text(number: u64) -> String {
        format!("{number:0TEXT_CHARS$}")
    }

    /// The column values of a row.
    pub(crate) fn values(self, id: u64, out: &mut [Field; COLUMNS]) {
        let number = |modulo: u64| Field::Number((id % modulo).cast_signed());
        match self {
            Shape::Mixed => {
                let [a, b, c, d, e, f, g, h, i, j] = out;
                *a = Field::Number((id * 3).cast_signed());
                *b = number(7);
                *c = number(100_000);
                *d = Field::Cents((id % 100_000_000).cast_signed());
                *e = Field::Day((id % 10_000) as i32);
                f.write(format_args!("Customer#{id:010}"));
                g.write(format_args!("BUILDING"));
                h.write(format_args!("{}", if id.is_multiple_of(3) { 'F' } else { 'O' }));
                i.write(format_args!("{}-{:03}-{:03}-{:04}", 10 + id % 25, id % 997, id % 991, id % 9973));
                *j = Field::Number((id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20).cast_signed());
            }
            Shape::Wide => {
                for (field, column) in out.iter_mut().zip(1..) {
                    let mut word = (id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(column));
                    field.write(format_args!(""));
                    let Field::Text(text) = field else { continue };
                    while text.len() < TEXT_CHARS {
                        word ^= word >> 29;
                        word = word.wrapping_mul(0xBF58_476D_1CE4_E5B9);
                        write!(text, "{word:016x}").expect("writing to a string does not fail");
                    }
                    text.truncate(TEXT_CHARS);
                }
            }
        }
    }

    /// Rows as columns. Errors: none that a caller could cause.
    pub(crate) fn batch(self, ids: Range<u64>) -> Result<RecordBatch, ArrowError> {
        let rows = ids.clone().count();
        let mut numbers: [Vec<i64>; COLUMNS] = std::array::from_fn(|_| Vec::new());
        let mut texts: [StringViewBuilder; COLUMNS] = std::array::from_fn(|_| StringViewBuilder::new());
        let mut values = <[Field; COLUMNS]>::default();
        for id in ids.clone() {
            self.values(id, &mut values);
            for (column, value) in values.iter().enumerate() {
                match value {
                    Field::Number(v) | Field::Cents(v) => numbers[column].push(*v),
                    Field::Day(v) => numbers[column].push(i64::from(*v)),
                    Field::Text(text) => texts[column].append_value(text),
                }
            }
        }
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("id".into(), Arc::new(Int64Array::from_iter_values(ids.map(u64::cast_signed))))];
        for (column, value) in values.iter().enumerate() {
            let these = std::mem::take(&mut numbers[column]);
            let narrow = |v: i64| v as i32;
            let array: ArrayRef = match value {
                Field::Text(_) => Arc::new(texts[column].finish()),
                Field::Cents(_) => {
                    let cents = Decimal128Array::from_iter_values(these.into_iter().map(i128::from));
                    Arc::new(cents.with_precision_and_scale(15, 2)?)
                }
                Field::Day(_) => Arc::new(Date32Array::from_iter_values(these.into_iter().map(narrow))),
                Field::Number(_) if matches!(Self::NAMES[column], "b" | "c") => {
                    Arc::new(Int32Array::from_iter_values(these.into_iter().map(narrow)))
                }
                Field::Number(_) => Arc::new(Int64Array::from_iter_values(these)),
            };
            debug_assert_eq!(array.len(), rows);
            columns.push((Self::NAMES[column].to_owned(), array));
        }
        RecordBatch::try_from_iter(columns)
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Number(i64),
    /// A number with two digits behind the point, without the point.
    Cents(i64),
    /// Days since 1970.
    Day(i32),
    Text(String),
}

impl Default for Field {
    fn default() -> Field {
        Field::Number(0)
    }
}

impl Field {
    /// Makes it this text, in the memory it has.
    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        if !matches!(self, Field::Text(_)) {
            *self = Field::Text(String::new());
        }
        if let Field::Text(old) = self {
            old.clear();
            old.write_fmt(text).expect("writing to a string does not fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_rows_and_they_are_of_their_size() {
        for (shape, bytes) in [(Shape::Mixed, 80..120), (Shape::Wide, 1000..1020)] {
            let batch = shape.batch(5_000_000..5_002_000).unwrap();
            assert_eq!((batch.num_rows(), batch.num_columns()), (2000, COLUMNS + 1));
            let mut values = <[Field; COLUMNS]>::default();
            let size = |field: &Field| match field {
                Field::Text(text) => text.len(),
                Field::Day(_) => 4,
                _ => 8,
            };
            shape.values(5_000_001, &mut values);
            let row: usize = 8 + values.iter().map(size).sum::<usize>();
            assert!(bytes.contains(&row), "{row} bytes a row");
        }
    }
}
