//! From syntax to a program.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalog::Table;
use expr::row::{Binder, RowExpr};
use sqlparser::ast::{
    self, Assignment, AssignmentTarget, BinaryOperator, Expr, FromTable, GroupByExpr, ObjectName, Query, Select, SelectItem,
    SetExpr, TableFactor, TableWithJoins,
};
use types::{RowLayout, Shown, SqlType};

use crate::aggregate::Aggregates;
use crate::insert::ColumnDefault;
use crate::key::KeyExpr;
use crate::locking::LockClause;
use crate::range::Range;
use crate::{Access, Column, Program, Source, Verb, aggregate, join, range, unique};

/// What names mean where a statement is compiled.
pub struct Scope<'a> {
    /// The table a name stands for; `None` for anything else.
    pub table: &'a dyn Fn(&ObjectName) -> Option<Arc<Table>>,
    /// The type a cast names.
    pub data_type: &'a dyn Fn(&ast::DataType) -> Option<SqlType>,
    /// What a column gets that an INSERT does not give, of the column's type; `None` if it is another one each time.
    pub default: &'a dyn Fn(&catalog::Column) -> Option<ColumnDefault>,
}

/// A table under the name its columns are qualified with.
pub(crate) struct Named {
    pub(crate) table: Arc<Table>,
    pub(crate) name: String,
    /// Its place in FROM, from 0.
    pub(crate) relation: usize,
    /// Columns of a row that is there before one of this table is looked for, see `join`.
    pub(crate) earlier: BTreeSet<usize>,
}

impl Named {
    pub(crate) fn new(table: Arc<Table>, name: String) -> Named {
        Named { table, name, relation: 0, earlier: BTreeSet::new() }
    }

    /// Its SQL column at `column`.
    pub(crate) fn source(&self, column: usize) -> Source {
        Source { relation: self.relation, column }
    }

    /// Its SQL column that is stored at `stored`.
    pub(crate) fn source_of(&self, stored: usize) -> Option<Source> {
        Some(self.source(stored.checked_sub(self.table.hidden())?))
    }

    /// The stored column a name of one or two parts stands for.
    pub(crate) fn column(&self, parts: &[&str]) -> Option<(usize, SqlType)> {
        let name = match parts {
            [name] => name,
            [qualifier, name] if *qualifier == self.name => name,
            _ => return None,
        };
        let column = self.table.column(name)?;
        Some((column + self.table.hidden(), self.table.columns[column].data_type))
    }
}

/// Compiles `SELECT outputs FROM table WHERE key = value AND ...`, or a SELECT of expressions without FROM. `params` are the
/// declared types of parameters. `None`: not of this form.
pub fn compile_query(query: &Query, scope: &Scope<'_>, params: &[Option<SqlType>]) -> Option<Program> {
    let plain = query.with.is_none()
        && query.fetch.is_none()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if !plain || !is_plain_select(select) {
        return None;
    }
    let named = match select.from.as_slice() {
        [] => None,
        [from] if from.joins.is_empty() => Some(named_table(from, scope)?),
        from => return join::compile(query, select, from, scope, params),
    };
    let column = |parts: &[&str]| named.as_ref()?.column(parts);
    let mut binder = Binder { column: &column, data_type: scope.data_type, params: params.to_vec() };
    let bare = query.order_by.is_none() && query.limit_clause.is_none();
    let before = binder.params.clone();
    let clauses = LockClause::of(query);
    let lock = named.as_ref().and_then(|named| LockClause::lock_of(&clauses, &named.name));
    let concerns = |of: &ast::Ident| named.as_ref().is_some_and(|named| named.name == of.value);
    if !clauses.iter().flat_map(|clause| &clause.of).all(concerns) {
        return None;
    }
    let by_key = match (&named, &select.selection) {
        (Some(named), Some(selection)) if bare => access(named, selection, &mut binder),
        (Some(_), _) => None,
        (None, None) if bare => None,
        _ => return None,
    };
    let is_range = by_key.is_none() && named.is_some();
    if is_range {
        binder.params = before;
    }
    let mut parts = Vec::new();
    select.selection.iter().for_each(|selection| conjuncts(selection, &mut parts));
    // In the order of the text, as PostgreSQL settles parameter types; those of a range follow with its key.
    let source = |stored: usize| named.as_ref()?.source_of(stored);
    // Rows that are added up cannot be locked.
    let can_aggregate = bare && query.locks.is_empty();
    let (aggregates, outputs, columns) = list_of(&select.projection, named.as_slice(), &source, can_aggregate, &mut binder)?;
    let (access, range) = match (by_key, &named) {
        (None, Some(named)) => {
            let (access, range) = range::of_query(named, query, &parts, &columns, &mut binder)?;
            (Some(access), Some(range))
        }
        (by_key, _) => (by_key, None),
    };
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    let mut reads: BTreeSet<usize> = match &aggregates {
        Some(aggregates) => aggregates.columns().collect(),
        None => outputs.iter().flat_map(RowExpr::columns).collect(),
    };
    reads.extend(access.iter().flat_map(|access| &access.condition).flat_map(RowExpr::columns));
    let reads = reads.into_iter().collect();
    let can_show = aggregates.is_none() && lock.is_none();
    let shown = access.as_ref().filter(|_| can_show).and_then(|access| shown(access, &outputs));
    Some(Program {
        params,
        columns,
        verb: Verb::Select,
        access,
        range,
        join: None,
        aggregates,
        outputs,
        shown,
        reads,
        assignments: vec![],
        rows: vec![],
        conflict: None,
        lock,
    })
}

/// What a SELECT of these outputs shows, if they are columns as they are.
fn shown(access: &Access, outputs: &[RowExpr]) -> Option<Arc<Shown>> {
    let columns = outputs.iter().map(RowExpr::as_column).collect::<Option<Vec<usize>>>()?;
    Some(Arc::new(Shown::new(access.layout.clone(), columns)))
}

/// The outputs of a SELECT, or its aggregates and what is put out of their values. `can_aggregate`: nothing else is done with the rows.
#[allow(clippy::type_complexity, reason = "parts of a program")]
pub(crate) fn list_of(
    items: &[SelectItem],
    relations: &[Named],
    source: &dyn Fn(usize) -> Option<Source>,
    can_aggregate: bool,
    binder: &mut Binder<'_>,
) -> Option<(Option<Aggregates>, Vec<RowExpr>, Vec<Column>)> {
    let declared = binder.params.clone();
    if can_aggregate
        && !relations.is_empty()
        && let Some((aggregates, outputs, columns)) = aggregate::compile(items, binder)
    {
        return Some((Some(aggregates), outputs, columns));
    }
    binder.params = declared;
    let (outputs, columns) = outputs_of(items, relations, source, binder)?;
    Some((None, outputs, columns))
}

/// The values and columns of RETURNING.
pub(crate) fn returning(
    items: Option<&[SelectItem]>,
    named: &Named,
    binder: &mut Binder<'_>,
) -> Option<(Vec<RowExpr>, Vec<Column>)> {
    outputs_of(items.unwrap_or_default(), std::slice::from_ref(named), &|stored| named.source_of(stored), binder)
}

/// The values and columns of a list; `source`: what a column of the row that the expressions read is.
fn outputs_of(
    items: &[SelectItem],
    relations: &[Named],
    source: &dyn Fn(usize) -> Option<Source>,
    binder: &mut Binder<'_>,
) -> Option<(Vec<RowExpr>, Vec<Column>)> {
    let mut outputs = Vec::new();
    let mut columns = Vec::new();
    for item in items {
        let (expr, alias) = match item {
            SelectItem::Wildcard(options) if options == &ast::WildcardAdditionalOptions::default() && !relations.is_empty() => {
                for named in relations {
                    for column in &named.table.columns {
                        let (at, data_type) = (binder.column)(&[&named.name, &column.name])?;
                        outputs.push(RowExpr::column(at, data_type));
                        columns.push(Column { name: column.name.clone(), data_type, source: source(at) });
                    }
                }
                continue;
            }
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(&alias.value)),
            _ => return None,
        };
        let bound = binder.bind(expr)?;
        // A string constant or parameter that stands alone is text.
        let value = binder.settle(bound, SqlType::Text)?;
        let source = value.as_column().and_then(source);
        let name = match (alias, source) {
            (Some(alias), _) => alias.clone(),
            (None, Some(source)) => relations.get(source.relation)?.table.columns.get(source.column)?.name.clone(),
            (None, None) => name_of(expr)?,
        };
        // Arithmetic has no precision of its own.
        let data_type = match (value.data_type, source) {
            (SqlType::Numeric { .. }, None) if !value.has_precision() => return None,
            (data_type, _) => data_type,
        };
        columns.push(Column { name, data_type, source });
        outputs.push(value);
    }
    Some((outputs, columns))
}

/// PostgreSQL's name for a column that is an expression (`FigureColname`).
pub(crate) fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => name_of(inner),
        Expr::Value(_) => Some("?column?".into()),
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Between { .. } => {
            Some("?column?".into())
        }
        Expr::Function(function) => Some(function.name.0.last()?.as_ident()?.value.to_lowercase()),
        // Named after the column or the type: the general way knows how.
        _ => None,
    }
}

/// Compiles `UPDATE table SET column = value, ... WHERE key = value AND ... RETURNING outputs`, of one row or of those between two
/// keys.
pub fn compile_update(update: &ast::Update, scope: &Scope<'_>, params: &[Option<SqlType>]) -> Option<Program> {
    let plain = update.from.is_none()
        && update.output.is_none()
        && update.or.is_none()
        && update.order_by.is_empty()
        && update.limit.is_none();
    if !plain {
        return None;
    }
    let named = named_table(&update.table, scope)?;
    let column = |parts: &[&str]| named.column(parts);
    let mut binder = Binder { column: &column, data_type: scope.data_type, params: params.to_vec() };
    // In the order of the text, as PostgreSQL settles parameter types: SET before WHERE.
    let assignments = assignments(&update.assignments, &named.table, &mut binder)?;
    let (access, range) = one_or_range(&named, update.selection.as_ref()?, &mut binder)?;
    let reads = range.iter().flat_map(|_| access.condition.iter()).flat_map(RowExpr::columns).collect();
    let (outputs, columns) = returning(update.returning.as_deref(), &named, &mut binder)?;
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Program {
        params,
        columns,
        verb: Verb::Update,
        access: Some(access),
        range,
        join: None,
        aggregates: None,
        outputs,
        shown: None,
        reads,
        assignments,
        rows: vec![],
        conflict: None,
        lock: None,
    })
}

/// Compiles `DELETE FROM table WHERE key = value AND ... RETURNING outputs`, of one row or of those between two keys.
pub fn compile_delete(delete: &ast::Delete, scope: &Scope<'_>, params: &[Option<SqlType>]) -> Option<Program> {
    let plain = delete.tables.is_empty()
        && delete.using.is_none()
        && delete.output.is_none()
        && delete.order_by.is_empty()
        && delete.limit.is_none();
    let (FromTable::WithFromKeyword(tables), true) = (&delete.from, plain) else { return None };
    let [from] = tables.as_slice() else { return None };
    let named = named_table(from, scope)?;
    let column = |parts: &[&str]| named.column(parts);
    let mut binder = Binder { column: &column, data_type: scope.data_type, params: params.to_vec() };
    let (access, range) = one_or_range(&named, delete.selection.as_ref()?, &mut binder)?;
    let reads = range.iter().flat_map(|_| access.condition.iter()).flat_map(RowExpr::columns).collect();
    let (outputs, columns) = returning(delete.returning.as_deref(), &named, &mut binder)?;
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Program {
        params,
        columns,
        verb: Verb::Delete,
        access: Some(access),
        range,
        join: None,
        aggregates: None,
        outputs,
        shown: None,
        reads,
        assignments: vec![],
        rows: vec![],
        conflict: None,
        lock: None,
    })
}

fn is_plain_select(select: &Select) -> bool {
    let no_groups =
        matches!(&select.group_by, GroupByExpr::Expressions(exprs, modifiers) if exprs.is_empty() && modifiers.is_empty());
    no_groups
        && select.distinct.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.prewhere.is_none()
        && select.lateral_views.is_empty()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.named_window.is_empty()
        && select.value_table_mode.is_none()
        && !select.projection.is_empty()
}

fn named_table(from: &TableWithJoins, scope: &Scope<'_>) -> Option<Named> {
    if from.joins.is_empty() { named_relation(&from.relation, scope) } else { None }
}

/// A table of FROM, without what is joined to it.
pub(crate) fn named_relation(relation: &TableFactor, scope: &Scope<'_>) -> Option<Named> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints,
        version: None,
        with_ordinality: false,
        partitions,
        sample: None,
        ..
    } = relation
    else {
        return None;
    };
    if !with_hints.is_empty() || !partitions.is_empty() {
        return None;
    }
    let table = (scope.table)(name)?;
    // By the hidden row id nothing can be asked for.
    table.primary_key.as_ref()?;
    let name = match alias {
        Some(alias) if alias.columns.is_empty() => alias.name.value.clone(),
        Some(_) => return None,
        None => table.name.clone(),
    };
    Some(Named::new(table, name))
}

pub(crate) fn assignments(list: &[Assignment], table: &Table, binder: &mut Binder<'_>) -> Option<Vec<(usize, RowExpr)>> {
    let mut found: Vec<(usize, RowExpr)> = Vec::new();
    let key: &[usize] = table.primary_key.as_ref().map_or(&[], |key| &key.columns);
    // Any change may give the row another key.
    if key.iter().any(|column| table.columns[*column].generated.is_some()) {
        return None;
    }
    for assignment in list {
        let AssignmentTarget::ColumnName(ObjectName(parts)) = &assignment.target else { return None };
        let [part] = parts.as_slice() else { return None };
        let column = table.column(&part.as_ident()?.value)?;
        if key.contains(&column) || found.iter().any(|(other, _)| *other == column) {
            return None;
        }
        if is_default(&assignment.value) || table.columns[column].is_generated_always() {
            return None;
        }
        found.push((column, assignable(&assignment.value, table.columns[column].data_type, binder)?));
    }
    Some(found)
}

/// Whether a value is the word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value == "default")
}

/// A value that can be assigned to a column of type `to` by rules that need no session.
pub(crate) fn assignable(expr: &Expr, to: SqlType, binder: &mut Binder<'_>) -> Option<RowExpr> {
    let bound = binder.bind(expr)?;
    let value = binder.settle(bound, to)?;
    let from = value.data_type;
    let fits = from == to || from.is_number() && to.is_number() || from.is_string() && to.is_string();
    fits.then_some(value)
}

/// How an UPDATE or DELETE finds its row, or its rows.
fn one_or_range(named: &Named, condition: &Expr, binder: &mut Binder<'_>) -> Option<(Access, Option<Range>)> {
    let before = binder.params.clone();
    if let Some(access) = access(named, condition, binder) {
        return Some((access, None));
    }
    binder.params = before;
    let mut parts = Vec::new();
    conjuncts(condition, &mut parts);
    let (access, range) = range::access(named, None, None, &parts, &[], binder)?;
    Some((access, Some(range)))
}

fn access(named: &Named, condition: &Expr, binder: &mut Binder<'_>) -> Option<Access> {
    let mut parts = Vec::new();
    conjuncts(condition, &mut parts);
    one_row(named, &parts, binder)
}

/// By the primary key, or a unique index.
pub(crate) fn one_row(named: &Named, parts: &[&Expr], binder: &mut Binder<'_>) -> Option<Access> {
    let before = binder.params.clone();
    by_primary_key(named, parts, binder).or_else(|| {
        binder.params = before;
        unique::access(named, parts, binder)
    })
}

/// Splits a condition into values for all key columns and the rest.
fn by_primary_key(named: &Named, parts: &[&Expr], binder: &mut Binder<'_>) -> Option<Access> {
    let key_columns = named.table.key_columns();
    let mut key: Vec<Option<KeyExpr>> = key_columns.iter().map(|_| None).collect();
    let mut rest: Option<RowExpr> = None;
    for part in parts {
        if let Some((at, value)) = key_equality(named, part, &key_columns, binder)
            && key[at].is_none()
        {
            key[at] = Some(value);
            continue;
        }
        let test = binder.bind_as(part, SqlType::Bool)?;
        rest = Some(match rest {
            None => test,
            Some(rest) => rest.and(test),
        });
    }
    let key = key.into_iter().collect::<Option<Vec<_>>>()?;
    let layout = RowLayout::new(&named.table.stored_types());
    Some(Access { table: Arc::clone(&named.table), layout, key, unique: None, condition: rest })
}

pub(crate) fn conjuncts<'a>(expr: &'a Expr, out: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, out),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        other => out.push(other),
    }
}

/// `column = value` or `value = column`, for a column of the key and a value that is known before.
pub(crate) fn key_equality(
    named: &Named,
    expr: &Expr,
    key_columns: &[usize],
    binder: &mut Binder<'_>,
) -> Option<(usize, KeyExpr)> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr else { return None };
    let of_key = |expr: &Expr| {
        let (stored, data_type) = column_of(named, expr)?;
        Some((key_columns.iter().position(|c| *c == stored)?, data_type))
    };
    let ((at, data_type), value) = match (of_key(left), of_key(right)) {
        (Some(column), None) => (column, right),
        (None, Some(column)) => (column, left),
        _ => return None,
    };
    Some((at, key_value(named, value, data_type, binder)?))
}

/// The stored column that an expression is.
pub(crate) fn column_of(named: &Named, expr: &Expr) -> Option<(usize, SqlType)> {
    let parts: Vec<&str> = match expr {
        Expr::Nested(inner) => return column_of(named, inner),
        Expr::Identifier(ident) => vec![&ident.value],
        Expr::CompoundIdentifier(parts) => parts.iter().map(|p| p.value.as_str()).collect(),
        _ => return None,
    };
    named.column(&parts)
}

/// `column < value` and its kin, either way round, and BETWEEN, for a stored column and values that are known before; the operators
/// with the column on their left.
pub(crate) fn key_comparisons(
    named: &Named,
    expr: &Expr,
    stored: usize,
    binder: &mut Binder<'_>,
) -> Vec<(BinaryOperator, KeyExpr)> {
    let column = |expr: &Expr| column_of(named, expr).filter(|(found, _)| *found == stored).map(|(_, data_type)| data_type);
    let found = match expr {
        Expr::Nested(inner) => return key_comparisons(named, inner, stored, binder),
        Expr::Between { expr, negated: false, low, high } => {
            column(expr).map(|data_type| vec![(BinaryOperator::GtEq, low, data_type), (BinaryOperator::LtEq, high, data_type)])
        }
        Expr::BinaryOp { left, op, right } => {
            let turned = match op {
                BinaryOperator::Lt => BinaryOperator::Gt,
                BinaryOperator::LtEq => BinaryOperator::GtEq,
                BinaryOperator::Gt => BinaryOperator::Lt,
                BinaryOperator::GtEq => BinaryOperator::LtEq,
                _ => return vec![],
            };
            match (column(left), column(right)) {
                (Some(data_type), None) => Some(vec![(op.clone(), right, data_type)]),
                (None, Some(data_type)) => Some(vec![(turned, left, data_type)]),
                _ => None,
            }
        }
        _ => None,
    };
    let found = found.into_iter().flatten();
    found.filter_map(|(op, value, data_type)| Some((op, key_value(named, value, data_type, binder)?))).collect()
}

fn key_value(named: &Named, value: &Expr, data_type: SqlType, binder: &mut Binder<'_>) -> Option<KeyExpr> {
    let bound = binder.bind(value)?;
    let wanted = match data_type {
        SqlType::Varchar(_) => SqlType::Text,
        SqlType::Numeric { .. } => SqlType::NUMERIC,
        other => other,
    };
    let value = binder.settle(bound, wanted)?;
    if !value.columns().is_subset(&named.earlier) {
        return None;
    }
    KeyExpr::new(value, data_type)
}
