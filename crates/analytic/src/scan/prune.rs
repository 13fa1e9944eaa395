//! Conditions that zone maps can judge, out of physical expressions.

use std::sync::Arc;

use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, Literal,
};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::scalar::ScalarValue;
use segments::{Op, Predicate};
use types::{Datum, SqlType};

/// A column of the expressions' schema: its position among the stored columns, and its type. `None`: no zone maps.
pub(super) type StoredColumn<'a> = &'a dyn Fn(usize) -> Option<(usize, SqlType)>;

/// The conditions that every row satisfying `filters` satisfies too, as far as zone maps understand them. A dynamic filter
/// counts as it is now.
pub(super) fn predicates(filters: &[Arc<dyn PhysicalExpr>], stored: StoredColumn<'_>) -> Vec<Predicate> {
    let mut found = Vec::new();
    for filter in filters {
        for part in split_conjunction(filter) {
            collect(part, stored, &mut found);
        }
    }
    found
}

fn collect(part: &Arc<dyn PhysicalExpr>, stored: StoredColumn<'_>, found: &mut Vec<Predicate>) {
    if let Some(dynamic) = part.downcast_ref::<DynamicFilterPhysicalExpr>() {
        if let Ok(current) = dynamic.current() {
            found.extend(predicates(&[current], stored));
        }
    } else if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
        comparison(binary, stored, found);
    } else if let Some(list) = part.downcast_ref::<InListExpr>() {
        in_list(list, stored, found);
    } else if let Some(test) = part.downcast_ref::<IsNullExpr>() {
        null_test(test.arg(), Op::IsNull, stored, found);
    } else if let Some(test) = part.downcast_ref::<IsNotNullExpr>() {
        null_test(test.arg(), Op::IsNotNull, stored, found);
    } else if let Some(case) = part.downcast_ref::<CaseExpr>() {
        found.extend(hull(case, stored));
    }
}

fn column(expr: &Arc<dyn PhysicalExpr>, stored: StoredColumn<'_>) -> Option<(usize, SqlType)> {
    stored(expr.downcast_ref::<Column>()?.index())
}

fn comparison(binary: &BinaryExpr, stored: StoredColumn<'_>, found: &mut Vec<Predicate>) {
    let (column, op, literal) = match (column(binary.left(), stored), binary.right().downcast_ref::<Literal>()) {
        (Some(column), Some(literal)) => (column, *binary.op(), literal),
        _ => match (column(binary.right(), stored), binary.left().downcast_ref::<Literal>(), binary.op().swap()) {
            (Some(column), Some(literal), Some(op)) => (column, op, literal),
            _ => return,
        },
    };
    let op = match op {
        Operator::Eq => Op::Eq,
        Operator::NotEq => Op::NotEq,
        Operator::Lt => Op::Lt,
        Operator::LtEq => Op::LtEq,
        Operator::Gt => Op::Gt,
        Operator::GtEq => Op::GtEq,
        _ => return,
    };
    if let Some(value) = value(literal.value(), column.1) {
        found.push(Predicate { column: column.0, op, value });
    }
}

/// A list as its range: enough to skip, the list itself is looked at per row.
fn in_list(list: &InListExpr, stored: StoredColumn<'_>, found: &mut Vec<Predicate>) {
    let Some((column, t)) = column(list.expr(), stored) else { return };
    if list.negated() {
        return;
    }
    let values: Option<Vec<ScalarValue>> =
        list.list().iter().map(|item| item.downcast_ref::<Literal>().map(|literal| literal.value().clone())).collect();
    let Some(values) = values else { return };
    let known = || values.iter().filter(|v| !v.is_null());
    let least = known().min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let greatest = known().max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    for (op, bound) in [(Op::GtEq, least), (Op::LtEq, greatest)] {
        if let Some(value) = bound.and_then(|bound| value(bound, t)) {
            found.push(Predicate { column, op, value });
        }
    }
}

fn null_test(arg: &Arc<dyn PhysicalExpr>, op: Op, stored: StoredColumn<'_>, found: &mut Vec<Predicate>) {
    if let Some((column, _)) = column(arg, stored) {
        found.push(Predicate { column, op, value: Datum::Null });
    }
}

/// A partitioned join's filter is a CASE with one branch per partition. A row that satisfies it satisfies one of the branches, so
/// per column the widest bounds of all branches hold; a branch without a bound leaves none.
fn hull(case: &CaseExpr, stored: StoredColumn<'_>) -> Vec<Predicate> {
    let branches: Vec<&Arc<dyn PhysicalExpr>> =
        case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr()).collect();
    let is_false = |branch: &&Arc<dyn PhysicalExpr>| {
        branch.downcast_ref::<Literal>().is_some_and(|literal| matches!(literal.value(), ScalarValue::Boolean(Some(false))))
    };
    let mut live =
        branches.into_iter().filter(|branch| !is_false(branch)).map(|branch| predicates(&[Arc::clone(branch)], stored));
    let Some(first) = live.next() else { return vec![] };
    let bounds = |p: &Predicate| matches!(p.op, Op::GtEq | Op::LtEq);
    live.fold(first.into_iter().filter(bounds).collect(), |hull: Vec<Predicate>, branch| {
        let widen = |p: Predicate| {
            let other = branch.iter().find(|b| b.column == p.column && b.op == p.op)?;
            let wider = match (compare(&p.value, &other.value)?, p.op) {
                (std::cmp::Ordering::Greater, Op::GtEq) | (std::cmp::Ordering::Less, Op::LtEq) => other.value.clone(),
                _ => p.value.clone(),
            };
            Some(Predicate { value: wider, ..p })
        };
        hull.into_iter().filter_map(widen).collect()
    })
}

fn compare(a: &Datum, b: &Datum) -> Option<std::cmp::Ordering> {
    expr::compare(a.as_ref(), b.as_ref())
}

/// The literal as a value that a column of type `t` is compared with.
fn value(literal: &ScalarValue, t: SqlType) -> Option<Datum> {
    expr::arrow_driver::datum(literal, t).filter(|datum| !datum.is_null())
}
