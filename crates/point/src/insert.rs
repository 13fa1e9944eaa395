//! `INSERT INTO table (columns) VALUES (...), ...`: each row's values, then the row.

use catalog::Table;
use engine::Transaction;
use expr::row::{Binder, RowExpr};
use sqlparser::ast::{Expr, Insert, SetExpr, TableObject};
use types::{Datum, RowLayout, SqlError, SqlType, coerce};

use crate::compile::{Scope, assignable, is_default};
use crate::write::{Inserted, TableWriter};
use crate::{Access, Outcome, Program, Verb};

/// Compiles an INSERT of VALUES without RETURNING. `None`: not of this form, or something in it is wrong.
pub fn compile_insert(insert: &Insert, scope: &Scope<'_>, params: &[Option<SqlType>]) -> Option<Program> {
    let plain = insert.on.is_none()
        && insert.returning.is_none()
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
    let mut binder = Binder { column: &|_| None, data_type: scope.data_type, params: params.to_vec() };
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        let fits = row.content.len() == columns.len() || insert.columns.is_empty() && row.content.len() < columns.len();
        if !fits || row.content.len() != values.rows.first()?.content.len() {
            return None;
        }
        rows.push(row_values(&table, &columns, &row.content, scope, &mut binder)?);
    }
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    let layout = RowLayout::new(&table.stored_types());
    let access = Some(Access { table, layout, key: vec![], unique: None, condition: None });
    Some(Program {
        params,
        columns: vec![],
        verb: Verb::Insert,
        access,
        outputs: vec![],
        reads: vec![],
        assignments: vec![],
        rows,
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
fn row_values(
    table: &Table,
    columns: &[usize],
    exprs: &[Expr],
    scope: &Scope<'_>,
    binder: &mut Binder<'_>,
) -> Option<Vec<RowExpr>> {
    let mut values: Vec<Option<RowExpr>> = vec![None; table.columns.len()];
    // In the order of the text, as PostgreSQL settles parameter types.
    for (&column, expr) in columns.iter().zip(exprs) {
        if !is_default(expr) {
            values[column] = Some(assignable(expr, table.columns[column].data_type, binder)?);
        }
    }
    let complete = |(value, column): (Option<RowExpr>, &catalog::Column)| match value {
        Some(value) => Some(value),
        None => Some(RowExpr::constant((scope.default)(column)?, column.data_type)),
    };
    values.into_iter().zip(&table.columns).map(complete).collect()
}

impl Program {
    /// Adds the rows one by one, up to the first that is in conflict with another.
    pub(crate) fn insert(
        &self,
        transaction: &mut Transaction,
        params: &[Datum],
        writer: &TableWriter,
    ) -> Result<Outcome, SqlError> {
        for row in &self.rows {
            let mut values = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(&writer.table().columns) {
                values.push(coerce::assign_column(value.evaluate(None, params)?, column.data_type, &column.name)?);
            }
            if let Inserted::Conflict(conflict) = writer.insert(transaction, &values)? {
                return Err(writer.conflict(&conflict, &values));
            }
        }
        Ok(Outcome::Changed(self.rows.len() as u64))
    }
}
