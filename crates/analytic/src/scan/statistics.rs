//! What is known of a table's rows, for choosing plans: never exact, never an answer.
//!
//! Rows come from delta and segments; distinct values, smallest and greatest value, and NULLs of a column from the segments'
//! sketches. Without segments a key is taken to be unique and everything else to repeat.

use catalog::Table;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::logical_expr::Expr;
use types::{Datum, SqlType, arrow_form};

use crate::selectivity::{ColumnEstimates, remaining, selectivity};
use crate::source::TableSource;

/// Average bytes of a string.
const STRING_BYTES: f64 = 32.0;

/// Estimates of one table at one moment.
#[derive(Debug)]
pub(crate) struct TableEstimates {
    rows: f64,
    names: Vec<String>,
    columns: Vec<ColumnEstimates>,
}

impl TableEstimates {
    pub(crate) fn new(definition: &Table, table: &dyn TableSource) -> TableEstimates {
        let rows = table.rows_estimate() as f64;
        let hidden = definition.hidden();
        let key = definition.primary_key.as_ref().map(|key| key.columns.as_slice()).unwrap_or_default();
        let columns = definition.columns.iter().enumerate().map(|(at, column)| {
            let known = table.column_statistics(at + hidden);
            let is_key = key == [at];
            let distinct = match &known {
                _ if is_key => rows,
                Some(known) => (known.distinct as f64).min(rows),
                None => rows.sqrt() * 4.0,
            };
            let distinct = distinct.clamp(1.0, rows.max(1.0));
            ColumnEstimates {
                sql_type: column.data_type,
                distinct,
                domain: distinct,
                null_share: known.as_ref().map_or(0.0, |k| if rows > 0.0 { (k.null_count as f64 / rows).min(1.0) } else { 0.0 }),
                min: known.as_ref().and_then(|k| k.min.clone()),
                max: known.as_ref().and_then(|k| k.max.clone()),
                bytes: width(column.data_type),
            }
        });
        let columns = columns.collect();
        TableEstimates { rows, names: definition.columns.iter().map(|column| column.name.clone()).collect(), columns }
    }

    /// Rows, before any condition.
    pub(crate) fn rows(&self) -> f64 {
        self.rows
    }

    /// What is known of a column, before any condition.
    pub(crate) fn column(&self, name: &str) -> Option<&ColumnEstimates> {
        self.columns.get(self.names.iter().position(|known| known == name)?)
    }

    /// The share of rows that satisfies all conditions, over 0 up to 1.
    pub(crate) fn selectivity(&self, conditions: &[Expr]) -> f64 {
        selectivity(conditions, self.rows, &|column| self.column(&column.name))
    }

    /// For DataFusion: of the columns at `projection`, when `selectivity` of the rows are left. Everything inexact.
    pub(crate) fn statistics(&self, projection: &[usize], selectivity: f64) -> Statistics {
        let rows = (self.rows * selectivity).ceil();
        let known: Vec<Option<&ColumnEstimates>> = projection.iter().map(|at| self.columns.get(*at)).collect();
        let bytes: f64 = known.iter().map(|c| c.map_or(STRING_BYTES, |c| c.bytes)).sum::<f64>() * rows;
        let value = |datum: &Option<Datum>, t: SqlType| match datum {
            Some(datum) => Precision::Inexact(expr::arrow_driver::scalar(datum, t)),
            None => Precision::Absent,
        };
        let column_statistics = known
            .iter()
            .map(|column| match column {
                Some(c) => ColumnStatistics {
                    null_count: Precision::Inexact((c.null_share * rows) as usize),
                    min_value: value(&c.min, c.sql_type),
                    max_value: value(&c.max, c.sql_type),
                    sum_value: Precision::Absent,
                    distinct_count: Precision::Inexact(remaining(c.distinct, self.rows, rows) as usize),
                    byte_size: Precision::Inexact((c.bytes * rows) as usize),
                },
                None => ColumnStatistics::new_unknown(),
            })
            .collect();
        Statistics {
            num_rows: Precision::Inexact(rows as usize),
            total_byte_size: Precision::Inexact(bytes as usize),
            column_statistics,
        }
    }
}

/// Bytes of a value in Arrow form.
fn width(t: SqlType) -> f64 {
    match arrow_form::data_type(t).primitive_width() {
        Some(bytes) => bytes as f64,
        None if t == SqlType::Bool => 0.125,
        None if t == SqlType::Uuid => 16.0,
        None => match t {
            SqlType::Varchar(n) | SqlType::Char(n) if n <= 12 => 16.0,
            _ => STRING_BYTES,
        },
    }
}
