//! INSERT.

use std::sync::Arc;

use analytic::{AnalyticPlan, Kept};
use env::{BLOCKING_STEPS_MIN, blocking_if};
use sqlparser::ast::{self, Expr, Insert, OnInsert, Query, SetExpr, TableObject};
use types::text::Session as Dates;
use types::{Datum, SqlError, SqlState, SqlType};

use crate::column::ColumnReader;
use crate::dml::assignments::defined_always;
use crate::dml::bulk::Loader;
use crate::dml::cell::{Cell, Cells, check_assignable, is_default};
use crate::dml::conflict::Conflict;
use crate::dml::defaults::{Default, default_of};
use crate::dml::outcome::Outcome;
use crate::dml::returning::{Returning, Written, quoted};
use crate::dml::row_bytes;
use crate::dml::target::Target;
use crate::evaluate::{self, used};
use crate::names::Name;
use crate::parameters;
use crate::parse::{Overriding, Statement, alias_of, overriding};
use crate::prepare::{Kind, Planned};
use crate::session::Session;

enum Source {
    /// One cell per column of the table, row by row.
    Values(Vec<Vec<Cell>>),
    /// A query, whose columns go to these columns of the table.
    Query { plan: AnalyticPlan, columns: Vec<usize> },
}

/// How an INSERT is run.
pub(crate) struct InsertPlan {
    target: Target,
    source: Source,
    /// The expressions of VALUES that are no simple ones, as one row.
    computed: Option<AnalyticPlan>,
    /// What the columns get that a query does not give: by column.
    defaults: Vec<(usize, Default)>,
    conflict: Option<Conflict>,
    returning: Option<Returning>,
}

impl InsertPlan {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The parameters that are arrays, and the type of their elements.
    pub(crate) fn arrays(&self) -> Vec<(usize, SqlType)> {
        let conflict = self.conflict.as_ref().and_then(Conflict::query);
        let returning = self.returning.as_ref().and_then(Returning::query);
        let plans = [self.query(), self.computed.as_ref(), conflict, returning];
        plans.into_iter().flatten().flat_map(AnalyticPlan::arrays).copied().collect()
    }

    pub(crate) fn table_name(&self) -> &str {
        &self.target.table.name
    }

    /// EXPLAIN's lines on ON CONFLICT.
    pub(crate) fn conflict_lines(&self) -> Vec<String> {
        self.conflict.as_ref().map_or_else(Vec::new, |conflict| conflict.lines(&self.target.table))
    }

    /// The query the rows come from, if they do.
    pub(crate) fn query(&self) -> Option<&AnalyticPlan> {
        match &self.source {
            Source::Query { plan, .. } => Some(plan),
            Source::Values(_) => None,
        }
    }

    /// How many rows VALUES has.
    pub(crate) fn values(&self) -> usize {
        match &self.source {
            Source::Values(rows) => rows.len(),
            Source::Query { .. } => 0,
        }
    }
}

impl Session {
    pub(crate) fn plan_insert(
        &mut self,
        statement: &Statement,
        insert: &Insert,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        check_supported(insert)?;
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function or a query is not supported"));
        };
        let name = Name::of(name, statement.source())?;
        self.check_no_local(&name)?;
        let catalog = self.catalog();
        let table = Arc::clone(self.scope(&catalog).table(&name)?);
        let target = self.target(&table)?;
        let columns = target_columns(insert, &table)?;
        let alias = alias_of(insert).cloned().unwrap_or_else(|| quoted(&table.name));
        let dates = self.dates();
        let overriding = overriding(insert)?;
        let mut cells = Cells { catalog: &catalog, dates: &dates, params: declared.to_vec(), general: vec![] };
        let mut volatile = false;
        let source = match insert.source.as_deref() {
            None => {
                let row = table.columns.iter().map(|column| cells.default(column)).collect::<Result<_, _>>()?;
                Source::Values(vec![row])
            }
            Some(query) => match plain_values(query) {
                Some(values) => {
                    let columns = columns.unwrap_or_else(|| (0..table.columns.len()).collect());
                    let explicit = !insert.columns.is_empty();
                    let mut rows = Vec::with_capacity(values.rows.len());
                    for row in &values.rows {
                        rows.push(row_of_cells(&table, &columns, explicit, &row.content, overriding, &mut cells)?);
                    }
                    if values.rows.iter().any(|row| row.content.len() != values.rows.first().map_or(0, |r| r.content.len())) {
                        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
                    }
                    Source::Values(rows)
                }
                None => {
                    let (plan, uses_system) = self.analytic_plan(Some(statement), query, declared)?;
                    volatile |= uses_system;
                    parameters::settle(&mut cells.params, plan.params(), query);
                    let all: Vec<usize> = (0..table.columns.len()).collect();
                    let columns = check_query_columns(query, &plan, columns, &all, &table)?;
                    for at in &columns {
                        check_takes_value(&table.columns[*at], overriding)?;
                    }
                    Source::Query { plan, columns }
                }
            },
        };
        let mut defaults = Vec::new();
        if let Source::Query { columns, .. } = &source {
            for (at, column) in table.columns.iter().enumerate().filter(|(at, _)| !columns.contains(at)) {
                defaults.push((at, default_of(&catalog, column, &dates)?));
            }
        }
        let Cells { mut params, general, .. } = cells;
        let computed = match general.as_slice() {
            [] => None,
            exprs => {
                let query = evaluate::select(exprs, None)?;
                let (plan, uses_system) = self.analytic_plan(Some(statement), &query, &params)?;
                volatile |= uses_system;
                parameters::settle(&mut params, plan.params(), &query);
                Some(plan)
            }
        };
        let conflict = match &insert.on {
            Some(OnInsert::OnConflict(on)) => Some(self.plan_conflict(statement, on, &table, &alias, &mut params)?),
            _ => None,
        };
        let written = Written { table: &table, alias: &alias, from: &[] };
        let returning = self.plan_returning(statement, insert.returning.as_deref(), &written, &[], &mut params)?;
        let planning = Arc::clone(&self.settings.active().planning);
        Ok(Planned {
            planning,
            params: parameters::settled(params),
            columns: returning.as_ref().map(|r| Arc::clone(&r.output)),
            kind: Kind::Insert(InsertPlan { target, source, computed, defaults, conflict, returning }),
            volatile,
            catalog,
        })
    }

    pub(crate) async fn run_insert(&mut self, plan: &InsertPlan, params: &[Datum]) -> Result<Outcome, SqlError> {
        let dates = self.dates();
        let reads = plan.returning.as_ref().is_some_and(Returning::reads_tables);
        if reads || plan.conflict.as_ref().is_some_and(Conflict::reads_tables) {
            self.hide_changes();
        }
        let mut upserts = plan.conflict.as_ref().map(|conflict| self.upserts(conflict, &plan.target));
        let mut returned = Vec::new();
        let mut room = self.instance.analytic().keep("rows to write");
        let mut rows = match &plan.source {
            Source::Values(rows) => {
                let computed = match &plan.computed {
                    None => vec![],
                    Some(computed) => self.one_row(computed, params).await?,
                };
                let sequences = self.open_transaction()?.sequences();
                blocking_if(self.is_large || rows.len() >= BLOCKING_STEPS_MIN, || {
                    rows.iter().try_for_each(|row| {
                        let mut values = Vec::with_capacity(row.len());
                        for (cell, column) in row.iter().zip(&plan.target.table.columns) {
                            let computed = |at: usize| computed.get(at).cloned().unwrap_or(Datum::Null);
                            values.push(cell.value(column, params, computed, &dates, &sequences)?);
                        }
                        plan.target.writer.generate(&mut values)?;
                        match &mut upserts {
                            Some(upserts) => self.upsert(upserts, values)?,
                            None => {
                                self.writer()?.insert(&plan.target, &values)?;
                                returned.extend(plan.returning.as_ref().map(|r| r.row(&values, std::iter::empty())));
                            }
                        }
                        Ok::<(), SqlError>(())
                    })
                })?;
                rows.len() as u64
            }
            Source::Query { plan: query, columns } => match &mut upserts {
                Some(upserts) => {
                    let rows = self.query_rows(plan, query, columns, params, &dates, &mut room).await?;
                    let many = rows.len() >= BLOCKING_STEPS_MIN;
                    blocking_if(many, || rows.into_iter().try_for_each(|values| self.upsert(upserts, values)))?;
                    0
                }
                // Of what was loaded in bulk there are no rows to note.
                None if self.locals.held.before.is_some() => {
                    let rows = self.query_rows(plan, query, columns, params, &dates, &mut room).await?;
                    blocking_if(self.is_large || rows.len() >= BLOCKING_STEPS_MIN, || {
                        rows.iter().try_for_each(|values| {
                            self.writer()?.insert(&plan.target, values)?;
                            returned.extend(plan.returning.as_ref().map(|r| r.row(values, std::iter::empty())));
                            Ok::<(), SqlError>(())
                        })
                    })?;
                    rows.len() as u64
                }
                None => {
                    let (rows, kept) = self.insert_query(plan, query, columns, params, &dates, &mut returned).await?;
                    room = kept.unwrap_or(room);
                    rows
                }
            },
        };
        if let Some(upserts) = upserts {
            let written = self.finish_upserts(upserts, params, &dates, &mut room).await?;
            rows = written.len() as u64;
            let kept = plan.returning.iter().flat_map(|r| written.iter().map(|values| r.row(values, std::iter::empty())));
            returned.extend(kept);
        }
        self.outcome("INSERT", rows, plan.returning.as_ref(), returned, params, room).await
    }

    /// The rows of a query, all of them, as rows of the table.
    async fn query_rows(
        &mut self,
        plan: &InsertPlan,
        query: &AnalyticPlan,
        columns: &[usize],
        params: &[Datum],
        dates: &Dates,
        room: &mut Kept,
    ) -> Result<Vec<Vec<Datum>>, SqlError> {
        let from: Vec<SqlType> = query.columns().iter().map(|c| c.data_type).collect();
        let mut rows = Vec::new();
        for batch in self.collect(query, params, room).await? {
            let filled = self.fill(&batch, &from, columns, &plan.defaults, &plan.target, dates).await?;
            let readers: Vec<ColumnReader<'_>> = (filled.columns().iter().zip(&plan.target.table.columns))
                .map(|(array, column)| ColumnReader::new(array, column.data_type))
                .collect();
            for row in 0..filled.num_rows() {
                let values: Vec<Datum> = readers.iter().map(|reader| reader.get(row).to_owned()).collect();
                room.add(row_bytes(&values))?;
                rows.push(values);
            }
        }
        Ok(rows)
    }

    /// Adds the rows of a query. They are collected first if the statement may not see them, and loaded in bulk if they are many.
    async fn insert_query(
        &mut self,
        plan: &InsertPlan,
        query: &AnalyticPlan,
        columns: &[usize],
        params: &[Datum],
        dates: &Dates,
        returned: &mut Vec<Vec<Datum>>,
    ) -> Result<(u64, Option<Kept>), SqlError> {
        let mut loader = Loader::new(plan.target.clone());
        if plan.returning.is_some() {
            loader.keep_rows(self.instance.analytic().keep("rows to return"));
        }
        let from: Vec<SqlType> = query.columns().iter().map(|c| c.data_type).collect();
        // A table that reads itself must not see its new rows; its rows wait until the query is done.
        let reads_itself = query.relations().contains(&plan.target.table.id);
        let mut waiting = Vec::new();
        let mut room = self.instance.analytic().keep("rows to write");
        let mut stream = query.execute(self.execution(used(query, params), Arc::default())?)?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if reads_itself {
                waiting.push(room.batch(&batch)?);
            } else {
                let filled = self.fill(&batch, &from, columns, &plan.defaults, &plan.target, dates).await?;
                loader.add(self.open_transaction()?, filled, &[])?;
            }
        }
        drop(stream);
        for batch in waiting {
            let filled = self.fill(&batch, &from, columns, &plan.defaults, &plan.target, dates).await?;
            loader.add(self.open_transaction()?, filled, &[])?;
        }
        let (rows, kept) = loader.finish(self.open_transaction()?)?;
        let Some((values, mut room)) = kept else { return Ok((rows, None)) };
        if let Some(returning) = &plan.returning {
            for values in &values {
                let row = returning.row(values, std::iter::empty());
                room.add(row_bytes(&row))?;
                returned.push(row);
            }
        }
        Ok((rows, Some(room)))
    }

    /// The engine's transaction of the statement that runs.
    pub(crate) fn open_transaction(&mut self) -> Result<&mut engine::Transaction, SqlError> {
        self.transaction.inner().ok_or_else(|| SqlError::bug("a statement that writes outside of a transaction"))
    }
}

fn check_supported(insert: &Insert) -> Result<(), SqlError> {
    let other = insert.or.is_some()
        || matches!(insert.on, Some(OnInsert::DuplicateKeyUpdate(_)))
        || insert.ignore
        || insert.overwrite
        || !insert.assignments.is_empty()
        || !insert.after_columns.is_empty()
        || insert.has_table_keyword
        || insert.output.is_some()
        || insert.replace_into
        || insert.priority.is_some()
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some();
    if other || !insert.into {
        return Err(SqlError::unsupported("this form of INSERT is not supported"));
    }
    Ok(())
}

/// The columns a statement names, by position. Errors: 42703, 42701.
fn target_columns(insert: &Insert, table: &catalog::Table) -> Result<Option<Vec<usize>>, SqlError> {
    if insert.columns.is_empty() {
        return Ok(None);
    }
    let mut columns = Vec::new();
    for name in &insert.columns {
        let [part] = name.0.as_slice() else {
            return Err(SqlError::unsupported("INSERT into a part of a column is not supported"));
        };
        let name = part.as_ident().map_or("", |ident| ident.value.as_str());
        let column = table.column(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if columns.contains(&column) {
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        columns.push(column);
    }
    Ok(Some(columns))
}

/// A query that is a list of rows and nothing else.
fn plain_values(query: &Query) -> Option<&ast::Values> {
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain => Some(values),
        _ => None,
    }
}

/// The cells of one row of VALUES, for every column of the table.
pub(crate) fn row_of_cells(
    table: &catalog::Table,
    columns: &[usize],
    explicit: bool,
    exprs: &[Expr],
    overriding: Option<Overriding>,
    cells: &mut Cells<'_>,
) -> Result<Vec<Cell>, SqlError> {
    if exprs.len() > columns.len() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns"));
    }
    if explicit && exprs.len() < columns.len() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INSERT has more target columns than expressions"));
    }
    let mut row = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let expr = columns.iter().position(|&c| c == at).and_then(|position| exprs.get(position));
        row.push(match expr {
            None => cells.default(column)?,
            Some(_) if column.identity.is_some() && overriding == Some(Overriding::User) => cells.default(column)?,
            Some(expr) => {
                if !is_default(expr) {
                    check_takes_value(column, overriding)?;
                }
                analytic::refuse_aggregates(expr, "VALUES")?;
                cells.cell(expr, column)?
            }
        });
    }
    Ok(row)
}

/// Errors for a value of a column that takes none: 428C9.
fn check_takes_value(column: &catalog::Column, overriding: Option<Overriding>) -> Result<(), SqlError> {
    let refused = || {
        let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
        SqlError::new(SqlState::GENERATED_ALWAYS, message).detail(defined_always(column))
    };
    match overriding {
        _ if column.generated.is_some() => Err(refused()),
        None if column.is_generated_always() => Err(refused().hint("Use OVERRIDING SYSTEM VALUE to override.")),
        Some(Overriding::User) if column.identity.is_some() => {
            Err(SqlError::unsupported("OVERRIDING USER VALUE with a query is not supported").hint("Leave the column out."))
        }
        _ => Ok(()),
    }
}

/// The columns a query's columns go to. Errors: 42601 for a wrong number, 42804 for types that do not go together.
fn check_query_columns(
    query: &Query,
    plan: &AnalyticPlan,
    columns: Option<Vec<usize>>,
    all: &[usize],
    table: &catalog::Table,
) -> Result<Vec<usize>, SqlError> {
    let given = plan.columns().len();
    let explicit = columns.is_some();
    let mut columns = columns.unwrap_or_else(|| all.to_vec());
    if given > columns.len() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns"));
    }
    if explicit && given < columns.len() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INSERT has more target columns than expressions"));
    }
    columns.truncate(given);
    for (at, (from, to)) in plan.columns().iter().zip(&columns).enumerate() {
        if !is_untyped(query, at) {
            check_assignable(from.data_type, &table.columns[*to])?;
        }
    }
    Ok(columns)
}

/// Whether a query's column is a constant without a type: a string or NULL.
pub(crate) fn is_untyped(query: &Query, column: usize) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    match select.projection.get(column) {
        Some(ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) => is_untyped_expr(expr),
        _ => false,
    }
}

/// Whether an expression is a constant without a type: a string or NULL, or a parameter, whose type is settled by its use.
pub(crate) fn is_untyped_expr(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_untyped_expr(inner),
        Expr::Value(value) => {
            matches!(
                value.value,
                ast::Value::Null
                    | ast::Value::Placeholder(_)
                    | ast::Value::SingleQuotedString(_)
                    | ast::Value::EscapedStringLiteral(_)
                    | ast::Value::DollarQuotedString(_)
            )
        }
        _ => false,
    }
}
