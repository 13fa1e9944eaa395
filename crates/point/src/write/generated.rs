//! Columns that are computed of the row's other columns: GENERATED ALWAYS AS (..) STORED.
//!
//! 1. Whoever makes a row computes them, with [`TableWriter::generate`] or for many rows [`TableWriter::generate_batch`], before
//!    anything is asked of the row: its key, NOT NULL, CHECK, an index's entry, RETURNING.
//! 2. They read no generated column, so that their order does not matter.
//!
//! Source: PostgreSQL 15 `ExecComputeStoredGenerated`.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use catalog::{Column, Table};
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, SqlError, coerce};

use super::TableWriter;
use super::batch::{StoredBatch, arrow_bug};
use super::expression::{Compile, Expression};

/// One of them.
#[derive(Debug)]
pub(super) struct GeneratedRule {
    /// Its SQL column.
    at: usize,
    expression: Expression,
}

impl GeneratedRule {
    /// Those of a table.
    pub(super) fn all(table: &Table, compile: &mut dyn Compile) -> Result<Vec<GeneratedRule>, SqlError> {
        let generated = table.columns.iter().enumerate().filter_map(|(at, column)| Some((at, column.generated.as_ref()?)));
        generated.map(|(at, text)| Ok(GeneratedRule { at, expression: compile.expression(text)? })).collect()
    }
}

impl TableWriter {
    /// Puts their values into a row given by its SQL columns, whatever is in their places. Errors: those of the expressions, and of
    /// assigning their values (22001, 22003).
    pub fn generate(&self, values: &mut [Datum]) -> Result<(), SqlError> {
        if self.generated.is_empty() {
            return Ok(());
        }
        let row = self.unnumbered(values);
        for rule in &self.generated {
            values[rule.at] = assigned(rule.expression.evaluate(self.layout.read(&row))?, &self.table.columns[rule.at])?;
        }
        Ok(())
    }

    /// As [`TableWriter::generate`], of rows as a batch of the SQL columns.
    pub fn generate_batch(&self, batch: RecordBatch) -> Result<RecordBatch, SqlError> {
        if self.generated.is_empty() {
            return Ok(batch);
        }
        let numbers = (self.table.hidden() == 1).then_some(0);
        let rows = StoredBatch::of_sql_columns(&self.layout, &batch, numbers);
        let mut columns = batch.columns().to_vec();
        for rule in &self.generated {
            columns[rule.at] = computed(&rule.expression, &rows, &self.table.columns[rule.at])?;
        }
        RecordBatch::try_new(batch.schema(), columns).map_err(arrow_bug)
    }
}

fn computed(expression: &Expression, rows: &StoredBatch<'_>, column: &Column) -> Result<ArrayRef, SqlError> {
    let mut builder = ColumnBuilder::new(column.data_type, rows.len());
    if let Expression::Other(function) = expression {
        let array = function.evaluate_batch(rows.sql())?;
        let field = Field::new(&column.name, array.data_type().clone(), true);
        if let Some(from) = arrow_form::sql_type_of(&field) {
            for at in 0..rows.len() {
                builder.append(assigned(arrow_form::datum_at(&array, at, from), column)?.as_ref());
            }
            return Ok(builder.finish());
        }
    }
    for at in 0..rows.len() {
        let row = rows.row(at);
        builder.append(assigned(expression.evaluate(rows.layout().read(&row))?, column)?.as_ref());
    }
    Ok(builder.finish())
}

fn assigned(value: Datum, column: &Column) -> Result<Datum, SqlError> {
    coerce::assign_column(value, column.data_type, &column.name)
}
