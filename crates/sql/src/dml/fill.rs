//! A query's batch as rows of a table: columns where they belong, assigned to their types, the others by default or computed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::Table;
use types::arrow_form::{self, ColumnBuilder};
use types::text::Session as Dates;
use types::{Datum, DatumRef, SqlError, SqlType, coerce};

use crate::column::ColumnReader;
use crate::dml::defaults::Default;
use crate::dml::target::Target;
use crate::evaluate;
use crate::session::Session;

impl Session {
    /// All SQL columns of a table from a batch whose columns, of types `from`, go to `columns`; the others from `defaults`.
    pub(crate) async fn fill(
        &mut self,
        batch: &RecordBatch,
        from: &[SqlType],
        columns: &[usize],
        defaults: &[(usize, Default)],
        target: &Target,
        dates: &Dates,
    ) -> Result<RecordBatch, SqlError> {
        let rows = batch.num_rows();
        let mut filled: Vec<Option<ArrayRef>> = vec![None; target.table.columns.len()];
        for ((array, from), to) in batch.columns().iter().zip(from).zip(columns) {
            filled[*to] = Some(assigned(array, *from, &target.table.columns[*to], dates)?);
        }
        let mut computed = Vec::new();
        for (at, default) in defaults {
            let column = &target.table.columns[*at];
            let value = match default {
                Default::Constant(value) => value.clone(),
                Default::Simple(simple) => simple.assign(column.data_type, &column.name, dates)?.unwrap_or(Datum::Null),
                Default::Next(sequence) => {
                    let sequences = self.open_transaction()?.sequences();
                    let mut builder = ColumnBuilder::new(column.data_type, rows);
                    for _ in 0..rows {
                        let value = Datum::Int8(sequences.next(sequence)?);
                        builder.append(coerce::assign_column_in(value, column.data_type, &column.name, dates)?.as_ref());
                    }
                    filled[*at] = Some(builder.finish());
                    continue;
                }
                Default::Computed(expr) => {
                    computed.push((*at, expr.clone()));
                    continue;
                }
            };
            filled[*at] = Some(repeated(value.as_ref(), column.data_type, rows));
        }
        if !computed.is_empty() && rows > 0 {
            let exprs: Vec<_> = computed.iter().map(|(_, expr)| expr.clone()).collect();
            let (plan, _) = self.analytic_plan(None, &evaluate::select(&exprs, Some(rows))?, &[])?;
            let mut kept = self.instance.analytic().keep("rows to write");
            let batches = self.collect(&plan, &[], &mut kept).await?;
            for (k, (at, _)) in computed.iter().enumerate() {
                let column = &target.table.columns[*at];
                let mut builder = ColumnBuilder::new(column.data_type, rows);
                for batch in &batches {
                    let reader = ColumnReader::new(batch.column(k), plan.columns()[k].data_type);
                    for row in 0..batch.num_rows() {
                        let value = coerce::assign_column_in(reader.get(row).to_owned(), column.data_type, &column.name, dates)?;
                        builder.append(value.as_ref());
                    }
                }
                filled[*at] = Some(builder.finish());
            }
        }
        let arrays = filled.into_iter().zip(&target.table.columns);
        let arrays = arrays.map(|(array, column)| array.unwrap_or_else(|| repeated(DatumRef::Null, column.data_type, rows)));
        let filled = RecordBatch::try_new(schema_of(&target.table), arrays.collect());
        target.writer.generate_batch(filled.map_err(|e| SqlError::bug(format!("rows to load: {e}")))?)
    }
}

/// A table's SQL columns in Arrow. Nullable all of them: NOT NULL is checked with a better message than Arrow's.
pub(crate) fn schema_of(table: &Table) -> SchemaRef {
    let fields = table.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A column's values as values of another column's type.
fn assigned(array: &ArrayRef, from: SqlType, to: &catalog::Column, dates: &Dates) -> Result<ArrayRef, SqlError> {
    let same = from == to.data_type || (from.is_string() && holds_all(array, to.data_type));
    if same && *array.data_type() == arrow_form::data_type(to.data_type) {
        return Ok(Arc::clone(array));
    }
    let reader = ColumnReader::new(array, from);
    let mut builder = ColumnBuilder::new(to.data_type, array.len());
    for row in 0..array.len() {
        let value = coerce::assign_column_in(reader.get(row).to_owned(), to.data_type, &to.name, dates)?;
        builder.append(value.as_ref());
    }
    Ok(builder.finish())
}

/// Whether every string of an array is a value of a type of strings as it is. False where that takes a closer look.
fn holds_all(array: &ArrayRef, t: SqlType) -> bool {
    let chars_max = match t {
        SqlType::Text => return true,
        SqlType::Varchar(chars) => chars,
        _ => return false,
    };
    // No more bytes are no more characters. A view begins with how many bytes its string has.
    array.as_string_view_opt().is_some_and(|array| array.views().iter().all(|view| *view as u32 <= chars_max))
}

fn repeated(value: DatumRef<'_>, t: SqlType, rows: usize) -> ArrayRef {
    let mut builder = ColumnBuilder::new(t, rows);
    (0..rows).for_each(|_| builder.append(value));
    builder.finish()
}
