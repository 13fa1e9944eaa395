//! `INSERT INTO table (columns) VALUES (...), ...`: each row's values, then the row.

use std::sync::Arc;

use catalog::{Sequence, Table};
use engine::Transaction;
use expr::row::{Binder, RowExpr};
use expr::syntax::OURS;
use sqlparser::ast::{Expr, Insert, OnInsert, SetExpr, TableObject};
use types::{Datum, RowLayout, SqlError, SqlType, coerce};

use crate::compile::{Named, Scope, assignable, is_default, returning};
use crate::upsert::OnConflict;
use crate::write::{Inserted, TableWriter};
use crate::{Access, Outcome, Program, Verb};

/// What a column gets when a statement says nothing about it.
#[derive(Clone, Debug)]
pub enum ColumnDefault {
    /// A value of the column's type.
    Value(Datum),
    /// The next value of a sequence.
    Next(Arc<Sequence>),
}

/// What a row's column gets.
#[derive(Debug)]
pub(crate) enum Cell {
    Expr(RowExpr),
    Next(Arc<Sequence>),
}

/// Compiles an INSERT of VALUES, with or without ON CONFLICT and RETURNING. `None`: not of this form, or something in it is wrong.
pub fn compile_insert(insert: &Insert, scope: &Scope<'_>, params: &[Option<SqlType>]) -> Option<Program> {
    // An alias no client can write says more than a name.
    let is_marked = insert.table_alias.as_ref().is_some_and(|alias| alias.alias.value.starts_with(OURS));
    let plain = !is_marked
        && insert.output.is_none()
        && insert.or.is_none()
        && !insert.ignore
        && insert.into
        && !insert.overwrite
        && !insert.replace_into
        && insert.assignments.is_empty()
        && insert.partitioned.is_none()
        && insert.after_columns.is_empty()
        && !insert.has_table_keyword
        && insert.priority.is_none()
        && insert.insert_alias.is_none()
        && insert.settings.is_none()
        && insert.format_clause.is_none()
        && insert.multi_table_insert_type.is_none();
    let (TableObject::TableName(name), true) = (&insert.table, plain) else { return None };
    let query = insert.source.as_deref()?;
    let bare = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let (SetExpr::Values(values), true) = (query.body.as_ref(), bare) else { return None };
    let table = (scope.table)(name)?;
    let columns = target_columns(insert, &table)?;
    let no_column = |_: &[&str]| None;
    let mut binder = Binder { column: &no_column, data_type: scope.data_type, params: params.to_vec() };
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        let fits = row.content.len() == columns.len() || insert.columns.is_empty() && row.content.len() < columns.len();
        if !fits || row.content.len() != values.rows.first()?.content.len() {
            return None;
        }
        rows.push(row_values(&table, &columns, &row.content, scope, &mut binder)?);
    }
    let name = insert.table_alias.as_ref().map_or_else(|| table.name.clone(), |alias| alias.alias.value.clone());
    let named = Named::new(Arc::clone(&table), name);
    let mut params = binder.params;
    let conflict = match &insert.on {
        None => None,
        Some(OnInsert::OnConflict(on)) => Some(OnConflict::compile(on, &named, scope, &mut params)?),
        Some(_) => return None,
    };
    let column = |parts: &[&str]| named.column(parts);
    let mut binder = Binder { column: &column, data_type: scope.data_type, params };
    let (outputs, columns) = returning(insert.returning.as_deref(), &named, &mut binder)?;
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    let layout = RowLayout::new(&table.stored_types());
    let access = Some(Access { table, layout, key: vec![], unique: None, condition: None });
    Some(Program {
        params,
        columns,
        verb: Verb::Insert,
        access,
        range: None,
        join: None,
        aggregates: None,
        outputs,
        shown: None,
        reads: vec![],
        assignments: vec![],
        rows,
        conflict,
        lock: None,
    })
}

/// The columns a statement names, by position; all of them if it names none.
fn target_columns(insert: &Insert, table: &Table) -> Option<Vec<usize>> {
    if insert.columns.is_empty() {
        return Some((0..table.columns.len()).collect());
    }
    let mut columns = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let [part] = name.0.as_slice() else { return None };
        let column = table.column(&part.as_ident()?.value)?;
        if columns.contains(&column) {
            return None;
        }
        columns.push(column);
    }
    Some(columns)
}

/// The value of every column of the table.
fn row_values(table: &Table, columns: &[usize], exprs: &[Expr], scope: &Scope<'_>, binder: &mut Binder<'_>) -> Option<Vec<Cell>> {
    let mut values: Vec<Option<RowExpr>> = vec![None; table.columns.len()];
    // In the order of the text, as PostgreSQL settles parameter types.
    for (&column, expr) in columns.iter().zip(exprs) {
        if !is_default(expr) {
            // An error about it comes from the general way.
            if table.columns[column].is_generated_always() {
                return None;
            }
            values[column] = Some(assignable(expr, table.columns[column].data_type, binder)?);
        }
    }
    let complete = |(value, column): (Option<RowExpr>, &catalog::Column)| match value {
        Some(value) => Some(Cell::Expr(value)),
        None => Some(match (scope.default)(column)? {
            ColumnDefault::Value(value) => Cell::Expr(RowExpr::constant(value, column.data_type)),
            ColumnDefault::Next(sequence) => Cell::Next(sequence),
        }),
    };
    values.into_iter().zip(&table.columns).map(complete).collect()
}

impl Program {
    /// Adds the rows one by one, up to the first that is in conflict with another where ON CONFLICT says nothing about that.
    pub(crate) fn insert(
        &self,
        transaction: &mut Transaction,
        params: &[Datum],
        writer: &TableWriter,
    ) -> Result<Outcome, SqlError> {
        let mut upsert = self.conflict.as_ref().map(|conflict| conflict.begin(self.rows.len()));
        let sequences = transaction.sequences();
        let (mut changed, mut returned) = (0, Vec::new());
        for row in &self.rows {
            let mut values = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(&writer.table().columns) {
                let value = match value {
                    Cell::Expr(value) => value.evaluate(None, params)?,
                    Cell::Next(sequence) => Datum::Int8(sequences.next(sequence)?),
                };
                values.push(coerce::assign_column(value, column.data_type, &column.name)?);
            }
            writer.generate(&mut values)?;
            let written = match &mut upsert {
                Some(upsert) => upsert.row(transaction, writer, values, params)?,
                None => match writer.insert(transaction, &values)? {
                    Inserted::Done(_) => Some(values),
                    Inserted::Conflict(conflict) => return Err(writer.conflict(&conflict, &values)),
                },
            };
            if let Some(values) = written {
                changed += 1;
                if !self.outputs.is_empty() {
                    returned.push(self.output_of(writer, &values, params)?);
                }
            }
        }
        Ok(if self.columns.is_empty() { Outcome::Changed(changed) } else { Outcome::Returned(returned) })
    }

    /// RETURNING of a row given by its SQL columns.
    fn output_of(&self, writer: &TableWriter, values: &[Datum], params: &[Datum]) -> Result<Vec<Datum>, SqlError> {
        let hidden = writer.table().hidden();
        let column = |output: &RowExpr| output.as_column().and_then(|at| values.get(at.checked_sub(hidden)?)).cloned();
        if let Some(row) = self.outputs.iter().map(column).collect::<Option<Vec<Datum>>>() {
            return Ok(row);
        }
        let row = writer.unnumbered(values);
        let row = writer.layout().read(&row);
        self.outputs.iter().map(|output| output.evaluate(Some(row), params)).collect()
    }
}
