//! RETURNING: what a statement gives back of the rows it has written.
//!
//! ```text
//! RETURNING a, t.b         columns of the row, as it is written
//! RETURNING a + s.b, ..    all written rows as a local relation, and the rows of FROM they were joined with; then one query
//! ```
//!
//! 1. Rows come in the order they were written.
//! 2. A subquery in RETURNING sees the tables as they were before the statement.

use std::sync::Arc;

use analytic::{AnalyticPlan, Kept};
use arrow::array::RecordBatch;
use catalog::Table;
use sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, OrderByExpr, OrderByKind, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins,
};
use types::{Datum, SqlError, SqlState, SqlType};

use crate::locals::{self, ROW_NUMBER};
use crate::parameters;
use crate::parse::Statement;
use crate::prepare::OutputColumn;
use crate::query::output_columns;
use crate::reading::LocalRows;
use crate::session::Session;

/// What a statement gives back, under which names.
pub(crate) struct Returning {
    pub(crate) output: Arc<[OutputColumn]>,
    form: Form,
}

enum Form {
    /// SQL columns of the row that is written.
    Columns(Vec<usize>),
    Query(Box<Computed>),
}

struct Computed {
    plan: AnalyticPlan,
    /// The rows: number, SQL columns.
    rows: Arc<Table>,
    /// What each was joined with, by relation: number, columns.
    others: Vec<Arc<Table>>,
}

/// A relation of FROM or USING.
#[derive(Clone)]
pub(crate) struct Other {
    pub(crate) alias: Ident,
    columns: Vec<(String, SqlType)>,
}

impl Other {
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| name == column)
    }

    /// What the query behind the statement must give for them, in the order [`Returning::row`] wants.
    pub(crate) fn values(others: &[Other]) -> impl Iterator<Item = Expr> {
        others.iter().flat_map(|other| {
            other.columns.iter().map(|(name, _)| Expr::CompoundIdentifier(vec![other.alias.clone(), quoted(name)]))
        })
    }
}

/// What RETURNING is about.
pub(crate) struct Written<'a> {
    pub(crate) table: &'a Arc<Table>,
    /// What the statement calls the table.
    pub(crate) alias: &'a Ident,
    /// The other relations it may name.
    pub(crate) from: &'a [TableWithJoins],
}

impl Returning {
    /// What it computes, if it is not only columns.
    pub(crate) fn query(&self) -> Option<&AnalyticPlan> {
        match &self.form {
            Form::Columns(_) => None,
            Form::Query(computed) => Some(&computed.plan),
        }
    }

    /// Whether queries of the statement must be kept from seeing its changes.
    pub(crate) fn reads_tables(&self) -> bool {
        match &self.form {
            Form::Columns(_) => false,
            Form::Query(computed) => computed.plan.relations().iter().any(|id| !locals::is_local(*id)),
        }
    }

    /// What is to be kept of a row with these SQL columns, joined with these values of the other relations.
    pub(crate) fn row(&self, values: &[Datum], others: impl Iterator<Item = Datum>) -> Vec<Datum> {
        match &self.form {
            Form::Columns(columns) => columns.iter().filter_map(|&column| values.get(column).cloned()).collect(),
            Form::Query(_) => values.iter().cloned().chain(others).collect(),
        }
    }

    /// A list of nothing but columns of the table. `None`: anything else, or something wrong.
    fn columns(items: &[SelectItem], written: &Written<'_>) -> Option<Returning> {
        let (table, known) = (written.table, &written.alias.value);
        let mut found: Vec<(usize, Option<&str>)> = Vec::new();
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(_) if written.from.is_empty() => {
                    found.extend((0..table.columns.len()).map(|column| (column, None)));
                    continue;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
                    if name.to_string() == *known =>
                {
                    found.extend((0..table.columns.len()).map(|column| (column, None)));
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.as_str())),
                _ => return None,
            };
            let column = match expr {
                Expr::Identifier(ident) if written.from.is_empty() => table.column(&ident.value)?,
                Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                    [qualifier, ident] if qualifier.value == *known => table.column(&ident.value)?,
                    _ => return None,
                },
                _ => return None,
            };
            found.push((column, name));
        }
        let output = found.iter().map(|&(column, name)| of_column(table, column, name));
        Some(Returning { output: output.collect(), form: Form::Columns(found.iter().map(|(column, _)| *column).collect()) })
    }
}

fn of_column(table: &Table, column: usize, name: Option<&str>) -> OutputColumn {
    let definition = &table.columns[column];
    OutputColumn {
        name: name.unwrap_or(&definition.name).to_owned(),
        data_type: definition.data_type,
        type_oid: definition.data_type.oid(),
        type_modifier: definition.data_type.typmod(),
        table_oid: table.id.0,
        attnum: i16::try_from(definition.id.0).unwrap_or(0),
    }
}

impl Session {
    /// Plans RETURNING. `params`: what is known of the parameters' types, and afterwards more. Errors: what is wrong with the list.
    pub(crate) fn plan_returning(
        &mut self,
        statement: &Statement,
        items: Option<&[SelectItem]>,
        written: &Written<'_>,
        others: &[Other],
        params: &mut Vec<Option<SqlType>>,
    ) -> Result<Option<Returning>, SqlError> {
        let Some(items) = items else { return Ok(None) };
        if let Some(columns) = Returning::columns(items, written) {
            return Ok(Some(columns));
        }
        for item in items {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                analytic::refuse_aggregates(expr, "RETURNING")?;
            }
        }
        let expanded = expand(items, written, others)?;
        let of_table = written.table.columns.iter().map(|c| (c.name.clone(), c.data_type));
        let rows = self.locals.define("\u{1}written", true, of_table);
        let relations: Vec<Arc<Table>> = (others.iter().enumerate())
            .map(|(at, other)| self.locals.define(&format!("\u{1}joined{at}"), true, other.columns.iter().cloned()))
            .collect();
        let named: Vec<(&Arc<Table>, &Ident)> =
            std::iter::once((&rows, written.alias)).chain(relations.iter().zip(others.iter().map(|o| &o.alias))).collect();
        let query = numbered_query(expanded, &named, None)?;
        let mark = self.locals.show(named.iter().map(|(table, _)| Arc::clone(table)).collect::<Vec<_>>());
        let planned = self.analytic_plan(Some(statement), &query, params);
        self.locals.hide(mark);
        let (plan, _) = planned.map_err(|error| other_name(error, written.table, written.alias))?;
        parameters::settle(params, plan.params(), &query);
        // The first column of the relation is the number.
        let origin = |column: &OutputColumn| match usize::try_from(column.attnum - 2) {
            Ok(at) if column.table_oid == rows.id.0 => written.table.columns.get(at),
            _ => None,
        };
        let output: Vec<OutputColumn> = (output_columns(&plan).iter())
            .map(|column| OutputColumn {
                table_oid: origin(column).map_or(0, |_| written.table.id.0),
                attnum: origin(column).map_or(0, |definition| i16::try_from(definition.id.0).unwrap_or(0)),
                ..column.clone()
            })
            .collect();
        let computed = Computed { plan, rows, others: relations };
        Ok(Some(Returning { output: output.into(), form: Form::Query(Box::new(computed)) }))
    }

    /// The relations of FROM with their columns, if RETURNING needs more than columns of the table.
    pub(crate) fn returning_others(
        &mut self,
        statement: &Statement,
        items: Option<&[SelectItem]>,
        written: &Written<'_>,
        params: &[Option<SqlType>],
    ) -> Result<Vec<Other>, SqlError> {
        if items.is_none_or(|items| Returning::columns(items, written).is_some()) {
            return Ok(vec![]);
        }
        self.relations_of(statement, written.from, params)
    }

    /// The relations of FROM with their columns.
    pub(crate) fn relations_of(
        &mut self,
        statement: &Statement,
        from: &[TableWithJoins],
        params: &[Option<SqlType>],
    ) -> Result<Vec<Other>, SqlError> {
        let mut aliases = Vec::new();
        for one in from {
            collect_aliases(&one.relation, &mut aliases)?;
            for join in &one.joins {
                collect_aliases(&join.relation, &mut aliases)?;
            }
        }
        let mut others = Vec::with_capacity(aliases.len());
        for alias in aliases {
            let mut query = crate::parse::parse_query("select 1")?;
            let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("SELECT is not a select")) };
            let kind = SelectItemQualifiedWildcardKind::ObjectName(alias.clone().into());
            select.projection = vec![SelectItem::QualifiedWildcard(kind, sqlparser::ast::WildcardAdditionalOptions::default())];
            select.from = from.to_vec();
            let (plan, _) = self.analytic_plan(Some(statement), &query, params)?;
            let columns = plan.columns().iter().map(|c| (c.name.clone(), c.data_type)).collect();
            others.push(Other { alias, columns });
        }
        Ok(others)
    }

    /// The answer of a statement from what [`Returning::row`] kept of each row.
    pub(crate) async fn returned(
        &mut self,
        returning: &Returning,
        rows: Vec<Vec<Datum>>,
        params: &[Datum],
        room: &mut Kept,
    ) -> Result<Returned, SqlError> {
        let computed = match &returning.form {
            Form::Columns(_) => return Ok(Returned::Datums(rows)),
            Form::Query(computed) => computed,
        };
        let mut from = 0;
        for table in std::iter::once(&computed.rows).chain(&computed.others) {
            let columns = table.columns.len() - 1;
            self.locals.fill(table, numbered_rows(table, &rows, from..from + columns), room)?;
            from += columns;
        }
        let batches = self.collect(&computed.plan, params, room).await;
        for table in std::iter::once(&computed.rows).chain(&computed.others) {
            self.locals.held.rows.remove(&table.id);
        }
        Ok(Returned::Batches(batches?))
    }
}

/// Rows that a statement gives back.
pub(crate) enum Returned {
    Datums(Vec<Vec<Datum>>),
    Batches(Vec<RecordBatch>),
}

/// Rows with their numbers in front, of the columns in `range`.
pub(crate) fn numbered_rows(table: &Table, rows: &[Vec<Datum>], range: std::ops::Range<usize>) -> LocalRows {
    let numbered: Vec<Vec<Datum>> = (rows.iter().enumerate())
        .map(|(number, row)| {
            let values = row.get(range.clone()).unwrap_or_default();
            std::iter::once(Datum::Int8(i64::try_from(number).unwrap_or_default())).chain(values.iter().cloned()).collect()
        })
        .collect();
    LocalRows::of_datums(table, numbered.iter().map(Vec::as_slice))
}

/// `SELECT items FROM relations WHERE their numbers are the same ORDER BY number`
pub(crate) fn numbered_query(
    items: Vec<SelectItem>,
    relations: &[(&Arc<Table>, &Ident)],
    first: Option<Expr>,
) -> Result<sqlparser::ast::Query, SqlError> {
    let mut query = crate::parse::parse_query("select 1 from t order by 1")?;
    let number = |alias: &Ident| Expr::CompoundIdentifier(vec![alias.clone(), quoted(ROW_NUMBER)]);
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order.kind
        && let ([OrderByExpr { expr, .. }], Some((_, alias))) = (exprs.as_mut_slice(), relations.first())
    {
        *expr = number(alias);
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("SELECT is not a select")) };
    select.projection = first.into_iter().map(SelectItem::UnnamedExpr).chain(items).collect();
    let template = select.from.pop().ok_or_else(|| SqlError::bug("FROM t is not a table"))?;
    for (at, (table, alias)) in relations.iter().enumerate() {
        let mut from = template.clone();
        if let TableFactor::Table { name, alias: known, .. } = &mut from.relation {
            *name = locals::name(table);
            *known = Some(TableAlias { explicit: true, name: (*alias).clone(), columns: vec![], at: None });
        }
        select.from.push(from);
        if at > 0 {
            let same =
                Expr::BinaryOp { left: Box::new(number(relations[0].1)), op: BinaryOperator::Eq, right: Box::new(number(alias)) };
            select.selection = Some(match select.selection.take() {
                None => same,
                Some(all) => Expr::BinaryOp { left: Box::new(all), op: BinaryOperator::And, right: Box::new(same) },
            });
        }
    }
    Ok(*query)
}

/// What is said about a table that is named though the statement calls it otherwise.
pub(crate) fn other_name(error: SqlError, table: &Table, alias: &Ident) -> SqlError {
    let missing = format!("missing FROM-clause entry for table \"{}\"", table.name);
    if error.state != SqlState::UNDEFINED_TABLE || alias.value == table.name || error.message != missing {
        return error;
    }
    let message = format!("invalid reference to FROM-clause entry for table \"{}\"", table.name);
    SqlError { message, ..error }.hint(format!("Perhaps you meant to reference the table alias \"{}\".", alias.value))
}

pub(crate) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// The list with every `*` spelled out: the relations have a column more than they show.
fn expand(items: &[SelectItem], written: &Written<'_>, others: &[Other]) -> Result<Vec<SelectItem>, SqlError> {
    let of_table = || {
        let names = written.table.columns.iter().map(|c| c.name.as_str());
        names.map(|name| SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![written.alias.clone(), quoted(name)])))
    };
    let of_other = |other: &Other| {
        let column = |name: &str| SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![other.alias.clone(), quoted(name)]));
        other.columns.iter().map(|(name, _)| column(name)).collect::<Vec<_>>()
    };
    let mut expanded = Vec::with_capacity(items.len());
    for item in items {
        match item {
            SelectItem::Wildcard(_) => {
                if merges_columns(written.from) {
                    return Err(SqlError::unsupported("RETURNING * with JOIN .. USING or NATURAL JOIN is not supported")
                        .hint("Name the columns."));
                }
                expanded.extend(of_table());
                others.iter().for_each(|other| expanded.extend(of_other(other)));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let name = name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
                if name == written.alias.value {
                    expanded.extend(of_table());
                } else if let Some(other) = others.iter().find(|other| other.alias.value == name) {
                    expanded.extend(of_other(other));
                } else {
                    let message = format!("missing FROM-clause entry for table \"{name}\"");
                    return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                }
            }
            other => expanded.push(other.clone()),
        }
    }
    Ok(expanded)
}

/// Whether `*` of a FROM has fewer columns than its relations together.
fn merges_columns(from: &[TableWithJoins]) -> bool {
    from.iter().flat_map(|one| &one.joins).any(|join| match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural),
        _ => false,
    })
}

/// What the relations of FROM are called.
fn collect_aliases(factor: &TableFactor, out: &mut Vec<Ident>) -> Result<(), SqlError> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(|ident| quoted(&ident.value));
            out.extend(alias.as_ref().map(|alias| alias.name.clone()).or(name));
        }
        TableFactor::Derived { alias: Some(alias), .. } => out.push(alias.name.clone()),
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            collect_aliases(&table_with_joins.relation, out)?;
            for join in &table_with_joins.joins {
                collect_aliases(&join.relation, out)?;
            }
        }
        _ => return Err(SqlError::unsupported("this form of FROM or USING is not supported in a statement that writes")),
    }
    Ok(())
}
