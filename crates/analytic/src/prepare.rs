//! A query's syntax made ready for DataFusion's planner: names given, PostgreSQL's special forms rewritten, what would be silently
//! ignored refused.
//!
//! DataFusion ignores FOR UPDATE, refuses FETCH FIRST, takes every number for a bigint; see `expr::syntax` for expressions.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, JoinConstraint, JoinOperator,
    LimitClause, ObjectName, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use expr::syntax;
use types::{SqlError, SqlState, SqlType};

use crate::names;
use crate::resolve::Names;

pub(crate) mod aggregates;
mod array;
pub(crate) mod cte;
mod from;
mod group_key;
mod grouping;
pub(crate) mod inner_with;
mod lateral;
mod limits;
mod natural;
mod order;
pub(crate) mod outer_alias;
mod own;
mod predicates;
mod series;
pub(crate) mod size;
mod using;
mod values;
mod windows;

/// Rewrites a query and everything in it. `text` is what it was parsed from, for the positions of errors.
///
/// `names`: what it can ask about tables, views and expressions.
///
/// Errors: 0A000 for what cannot be done, 42601 for what makes no sense, those of constants that are none of their type.
pub(crate) fn query(query: &mut Query, text: &str, names: &Names<'_>) -> Result<(), SqlError> {
    finish(VisitMut::visit(query, &mut Preparation { text, depth: 0, names, ctes: vec![], is_copy: false }))
}

fn finish(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Preparation<'a> {
    text: &'a str,
    /// How many queries are around.
    depth: usize,
    names: &'a Names<'a>,
    /// What the queries around, and this one, name in WITH.
    ctes: Vec<Named>,
    /// Whether this is a copy's, for its type: VALUES in VALUES are looked at once.
    is_copy: bool,
}

/// The names of one WITH.
#[derive(Clone)]
struct Named {
    names: Vec<String>,
    /// Of a WITH that is not recursive: its queries, each of which sees those before it.
    bodies: Vec<*const Query>,
    /// How many are seen where the walk is.
    seen: usize,
}

impl Named {
    fn of(query: &Query) -> Named {
        let names: Vec<String> = cte::names_of(query).collect();
        let with = query.with.iter().filter(|with| !with.recursive);
        let bodies = with.flat_map(|with| &with.cte_tables).map(|cte| std::ptr::from_ref(cte.query.as_ref())).collect();
        Named { seen: names.len(), names, bodies }
    }

    fn place_of(&self, query: &Query) -> Option<usize> {
        self.bodies.iter().position(|body| *body == std::ptr::from_ref(query))
    }
}

impl Preparation<'_> {
    /// The type of an expression that is not prepared yet; `None` if it cannot be told.
    fn type_of(&self, expr: &Expr) -> Option<SqlType> {
        if self.is_copy {
            return None;
        }
        let mut expr = expr.clone();
        let mut preparation =
            Preparation { text: self.text, depth: self.depth, names: self.names, ctes: self.ctes.clone(), is_copy: true };
        finish(VisitMut::visit(&mut expr, &mut preparation)).ok()?;
        self.names.type_of(expr)
    }

    fn is_cte(&self, name: &ObjectName) -> bool {
        name.0.len() == 1
            && names::last(name).is_some_and(|name| self.ctes.iter().any(|with| with.names[..with.seen].contains(&name)))
    }

    /// Rewrites by what tables have, in each SELECT of a query that is no query of its own.
    fn begin_selects(&self, body: &mut SetExpr, mut order_by: Option<&mut OrderBy>) -> Result<(), SqlError> {
        match body {
            SetExpr::Select(select) => {
                let stored = |name: &ObjectName| if self.is_cte(name) { None } else { self.names.stored(name) };
                natural::to_using(select, &|name| if self.is_cte(name) { None } else { self.names.columns(name) })?;
                aggregates::count_rows_of(select, order_by.as_deref_mut(), &stored)?;
                group_key::add_determined(select, order_by.as_deref(), &stored);
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.begin_selects(left, None)?;
                self.begin_selects(right, None)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl VisitorMut for Preparation<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        if let Some(with) = self.ctes.last_mut()
            && let Some(place) = with.place_of(query)
        {
            with.seen = place;
        }
        self.ctes.push(Named::of(query));
        if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
            with.cte_tables.iter_mut().for_each(|cte| first_term(&mut cte.query.body));
        }
        flow(self.begin_selects(&mut query.body, query.order_by.as_mut()))?;
        if let SetExpr::Values(rows) = query.body.as_mut() {
            for expr in rows.rows.iter().flat_map(|row| &row.content) {
                flow(aggregates::refuse(expr, "VALUES"))?;
            }
            flow(values::unify(rows, |expr| self.type_of(expr)))?;
            if let Some(selects) = flow(values::to_selects(rows))? {
                *query.body = selects;
            }
        }
        flow(refuse(query, self.text).and_then(|()| windows::in_order(query, self.text)).and_then(|()| using::order(query)))?;
        flow(order::bind(query, self.depth == 1, self.text))?;
        flow(limits::bind(query, self.text))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        self.ctes.pop();
        if let Some(with) = self.ctes.last_mut()
            && with.place_of(query).is_some()
        {
            with.seen = with.names.len();
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
            items.iter_mut().for_each(|item| syntax::unwrap_number(&mut item.expr));
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            let bounds = limit.iter_mut().chain(offset.as_mut().map(|offset| &mut offset.value));
            bounds.filter(|bound| limits::is_integer(bound)).for_each(syntax::unwrap_number);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if select.into.is_some() {
            return ControlFlow::Break(SqlError::unsupported("SELECT INTO is not supported").hint("Use CREATE TABLE AS."));
        }
        if let Some(condition) = &mut select.selection {
            flow(aggregates::refuse(condition, "WHERE"))?;
            flow(predicates::in_condition(condition))?;
        }
        flow(refuse_aggregates_in(select))?;
        flow(grouping::to_sets(select))?;
        flow(windows::in_list(select, self.text))?;
        flow(using::select(select))?;
        flow(series::to_from(select))?;
        order::distinct_columns(select);
        names::name_columns(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                flow(predicates::as_values(expr))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// A function in FROM is known without its schema. The alias of one with one column names that column too.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::Table { with_ordinality: true, .. } = factor {
            return ControlFlow::Break(SqlError::unsupported("WITH ORDINALITY is not supported"));
        }
        flow(lateral::refuse(factor))?;
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && let [schema, _] = name.0.as_slice()
            && schema.as_ident().is_some_and(|schema| names::folded(schema) == "pg_catalog")
        {
            name.0.remove(0);
        }
        if let TableFactor::UNNEST { array_exprs, alias, with_ordinality: false, .. } = factor
            && array_exprs.len() == 1
        {
            let name = alias.as_ref().map_or_else(|| Ident::new("unnest"), |alias| alias.name.clone());
            let alias = alias.get_or_insert_with(|| TableAlias { explicit: true, name: name.clone(), columns: vec![], at: None });
            if alias.columns.is_empty() {
                alias.columns.push(TableAliasColumnDef { name, data_type: None });
            }
        }
        if let TableFactor::Table { name, args: Some(_), alias: Some(alias), .. } = factor
            && alias.columns.is_empty()
            && names::last(name).is_some_and(|name| name == "generate_series")
        {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(syntax::unwrap_number);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        flow(array::of_query(expr))?;
        aggregates::count_rows(expr);
        aggregates::distinct_in_order(expr);
        bare_sequence(expr);
        flow(predicates::of_row(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        crate::sleep::take_type(expr);
        flow(returns_one_row(expr).and_then(|()| constant(expr, self.text)).and_then(|()| syntax::rewrite(expr)))
    }
}

/// `nextval('s'::regclass)` as `nextval('s')`: the function finds the sequence by its name or its oid.
fn bare_sequence(call: &mut Expr) {
    if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = call
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(sequence))) = list.args.first_mut()
        && let Expr::Cast { expr, data_type: DataType::Regclass, .. } = sequence
        && names::last(name).is_some_and(|name| matches!(name.as_str(), "nextval" | "currval" | "setval"))
    {
        *sequence = expr.as_ref().clone();
    }
}

fn flow<T>(result: Result<T, SqlError>) -> ControlFlow<SqlError, T> {
    match result {
        Ok(value) => ControlFlow::Continue(value),
        Err(error) => ControlFlow::Break(error),
    }
}

fn refuse(query: &Query, text: &str) -> Result<(), SqlError> {
    if !query.locks.is_empty() {
        return Err(SqlError::unsupported("FOR UPDATE and its kin are not supported in a subquery, view or WITH query"));
    }
    if query.with.as_ref().is_some_and(|with| with.cte_tables.len() > CTES_MAX) {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, format!("WITH of more than {CTES_MAX} queries")));
    }
    let mut named = HashSet::new();
    for name in query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| &cte.alias.name) {
        if !named.insert(names::folded(name)) {
            let message = format!("WITH query name \"{}\" specified more than once", names::folded(name));
            return Err(crate::errors::at(SqlError::new(SqlState::DUPLICATE_ALIAS, message), text, name.span));
        }
    }
    match query.body.as_ref() {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) => Ok(()),
        SetExpr::Table(_) => Err(SqlError::unsupported("TABLE is not supported").hint("Use SELECT * FROM.")),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(SqlError::unsupported("INSERT, UPDATE and DELETE inside a query are not supported"))
        }
    }
}

/// Errors: aggregates and window functions where groups are made, or before.
fn refuse_aggregates_in(select: &Select) -> Result<(), SqlError> {
    if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
        for expr in exprs {
            aggregates::refuse(expr, "GROUP BY")?;
            if let Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) = expr
                && let Some(at) = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1))
                && let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = select.projection.get(at)
            {
                aggregates::refuse(expr, "GROUP BY")?;
            }
        }
    }
    for join in select.from.iter().flat_map(|from| &from.joins) {
        match natural::constraint(&join.join_operator) {
            Some(JoinConstraint::On(condition)) => aggregates::refuse(condition, "JOIN conditions")?,
            // The parser takes it for a product.
            Some(JoinConstraint::None) if !matches!(join.join_operator, JoinOperator::CrossJoin(_)) => {
                let message = format!("JOIN with {} has neither ON nor USING", join.relation);
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).hint("Write CROSS JOIN for a product."));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The constants in quotes and NULLs of a recursive query's first side are text.
fn first_term(body: &mut SetExpr) {
    let SetExpr::SetOperation { left, .. } = body else { return };
    let as_text = |expr: &mut Expr| {
        if let Expr::Value(value) = expr
            && matches!(value.value, Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::Null)
        {
            *expr = syntax::cast(Expr::Value(value.clone()), DataType::Text);
        }
    };
    match left.as_mut() {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    as_text(expr);
                }
            }
        }
        SetExpr::Values(values) if values.rows.len() == 1 => {
            values.rows.iter_mut().flat_map(|row| &mut row.content).for_each(as_text);
        }
        _ => {}
    }
}

/// Each may read the one before.
const CTES_MAX: usize = 200;

/// Errors: a constant that is none of the type it is cast to, with its position. What depends on the session is left for later.
fn constant(expr: &Expr, text: &str) -> Result<(), SqlError> {
    use types::SqlType::{Bool, Float4, Float8, Int2, Int4, Int8, Numeric, Uuid};
    let (value, data_type) = match expr {
        Expr::Cast { expr, data_type, .. } => match expr.as_ref() {
            Expr::Value(value) => (value, data_type),
            _ => return Ok(()),
        },
        Expr::TypedString(typed) => (&typed.value, &typed.data_type),
        _ => return Ok(()),
    };
    let (Value::SingleQuotedString(constant), Ok(t @ (Bool | Float4 | Float8 | Int2 | Int4 | Int8 | Numeric { .. } | Uuid))) =
        (&value.value, expr::arrow_driver::sql_type(data_type))
    else {
        return Ok(());
    };
    // `regclass` and its kin are names.
    if matches!(data_type, DataType::Regclass | DataType::Custom(..)) {
        return Ok(());
    }
    types::text::parse(t, constant).map(drop).map_err(|error| crate::errors::at(error, text, value.span))
}

/// Errors: the function gives rows. In FROM it is no expression.
fn returns_one_row(expr: &Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Function(function) if names::last(&function.name).is_some_and(|name| name == "generate_series") => {
            Err(SqlError::unsupported("generate_series is not supported inside an expression").hint("Use it in FROM."))
        }
        _ => Ok(()),
    }
}
