//! How many rows a part of a plan gives, and what is known of its columns.
//!
//! Estimates start at the scans' statistics and follow each node by the textbook rules; where a node is not known, at its input's rows.

use std::collections::HashMap;

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, FetchType, Join, LogicalPlan, SkipType, TableScan};

use crate::cte::table_of;
use crate::resolve::provider_of;
use crate::scan::TableProvider;
use crate::selectivity::{ColumnEstimates, remaining, selectivity};

/// Rows of a source that says nothing of itself.
const ROWS_UNKNOWN: f64 = 1000.0;
/// Share of the rows a semi join keeps when nothing is known of its keys.
const SEMI_UNKNOWN: f64 = 0.5;
/// Share of matching pairs that an extra condition of a join is taken to leave a row with.
const SEMI_CONDITION: f64 = 0.9;
/// The least share of rows an anti join is taken to keep.
const ANTI_MIN: f64 = 0.05;

/// What is known of a part of a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimate {
    pub(super) rows: f64,
    columns: HashMap<Column, ColumnEstimates>,
    /// Columns that no two rows share, with the number of such keys there could be.
    keys: Vec<(Vec<Column>, f64)>,
}

impl Estimate {
    /// What is known of `plan`'s output.
    pub(crate) fn of(plan: &LogicalPlan) -> Estimate {
        match plan {
            LogicalPlan::TableScan(scan) => of_scan(scan),
            LogicalPlan::Filter(filter) => Estimate::of(&filter.input).filtered(std::slice::from_ref(&filter.predicate)),
            LogicalPlan::Projection(projection) => {
                let input = Estimate::of(&projection.input);
                let outputs = plan.schema().columns().into_iter().zip(&projection.expr);
                input.renamed(outputs.filter_map(|(output, expr)| Some((source(expr)?.clone(), output))).collect())
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let from = alias.input.schema().columns();
                Estimate::of(&alias.input).renamed(from.into_iter().zip(plan.schema().columns()).collect())
            }
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            LogicalPlan::Distinct(distinct) => {
                let input = Estimate::of(distinct.input());
                let rows = input.distinct(plan.schema().columns().iter());
                input.with_rows(rows)
            }
            LogicalPlan::Join(join) => of_join(join),
            LogicalPlan::Limit(limit) => {
                let input = Estimate::of(&limit.input);
                let rows = match (limit.get_fetch_type(), limit.get_skip_type()) {
                    (Ok(FetchType::Literal(Some(fetch))), Ok(SkipType::Literal(_))) => input.rows.min(fetch as f64),
                    _ => input.rows,
                };
                input.with_rows(rows)
            }
            LogicalPlan::Sort(sort) => Estimate::of(&sort.input),
            LogicalPlan::Window(window) => Estimate::of(&window.input),
            LogicalPlan::Repartition(repartition) => Estimate::of(&repartition.input),
            LogicalPlan::Values(values) => Estimate { rows: values.values.len() as f64, ..Estimate::default() },
            LogicalPlan::EmptyRelation(empty) => {
                Estimate { rows: f64::from(u8::from(empty.produce_one_row)), ..Estimate::default() }
            }
            LogicalPlan::Union(union) => {
                Estimate { rows: union.inputs.iter().map(|input| Estimate::of(input).rows).sum(), ..Estimate::default() }
            }
            _ => Estimate { rows: ROWS_UNKNOWN, ..Estimate::default() },
        }
    }

    /// How many rows.
    pub(crate) fn rows(&self) -> f64 {
        self.rows
    }

    /// The rows that satisfy the conditions.
    pub(super) fn filtered(self, conditions: &[Expr]) -> Estimate {
        let share = self.selectivity(conditions);
        let rows = self.rows * share;
        self.with_rows(rows)
    }

    /// The share of rows that satisfies the conditions.
    pub(super) fn selectivity(&self, conditions: &[Expr]) -> f64 {
        selectivity(conditions, self.rows, &|column| self.columns.get(column))
    }

    /// Different values of an expression before any condition: what join partners are drawn from.
    pub(super) fn domain(&self, expr: &Expr) -> f64 {
        source(expr).and_then(|column| self.columns.get(column)).map_or(self.rows.max(1.0), |known| known.domain)
    }

    /// As [`Estimate::domain`], of several expressions together: of a key the number of keys, else never more than there are rows.
    pub(super) fn domain_of_all(&self, exprs: &[&Expr]) -> (f64, bool) {
        let columns: Vec<&Column> = exprs.iter().filter_map(|expr| source(expr)).collect();
        if let Some((_, count)) = self.keys.iter().find(|(key, _)| key.iter().all(|column| columns.contains(&column))) {
            return (count.max(1.0), true);
        }
        let product: f64 = exprs.iter().map(|expr| self.domain(expr)).product();
        (product.min(self.rows.max(1.0)), false)
    }

    /// The columns of both, with `rows` rows.
    pub(super) fn beside(mut self, other: Estimate, rows: f64) -> Estimate {
        self.columns.extend(other.columns);
        self.keys.clear();
        self.with_rows(rows)
    }

    fn with_rows(mut self, rows: f64) -> Estimate {
        let rows = rows.max(0.0);
        for column in self.columns.values_mut() {
            column.distinct = if rows < self.rows { remaining(column.distinct, self.rows, rows) } else { column.distinct };
        }
        self.rows = rows;
        self
    }

    fn renamed(self, names: Vec<(Column, Column)>) -> Estimate {
        let columns =
            names.iter().filter_map(|(from, to)| Some((to.clone(), self.columns.get(from)?.clone()))).collect::<HashMap<_, _>>();
        let rename = |key: &Vec<Column>| -> Option<Vec<Column>> {
            key.iter().map(|column| Some(names.iter().find(|(from, _)| from == column)?.1.clone())).collect()
        };
        let keys = self.keys.iter().filter_map(|(key, count)| Some((rename(key)?, *count))).collect();
        Estimate { rows: self.rows, columns, keys }
    }

    /// Different rows of these columns.
    fn distinct<'c>(&self, columns: impl Iterator<Item = &'c Column>) -> f64 {
        let half = (self.rows / 2.0).max(1.0);
        let product: f64 = columns.map(|column| self.columns.get(column).map_or(half, |known| known.distinct)).product();
        product.min(self.rows)
    }
}

/// The column whose values an expression has, cast or not.
pub(super) fn source(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => source(&alias.expr),
        Expr::Cast(cast) => source(&cast.expr),
        _ => None,
    }
}

fn of_scan(scan: &TableScan) -> Estimate {
    let cte = table_of(&scan.source);
    if let Some((known, from)) = cte.as_ref().and_then(|table| table.estimate()) {
        let schema = scan.source.schema();
        let to = |name: &str| Column::new(Some(scan.table_name.clone()), name);
        let names = from.columns().into_iter().zip(schema.fields()).map(|(column, field)| (column, to(field.name())));
        return known.clone().renamed(names.collect());
    }
    let provider = provider_of(&scan.source);
    let Some(table) = provider.as_ref().and_then(|provider| provider.downcast_ref::<TableProvider>()) else {
        return Estimate { rows: ROWS_UNKNOWN, ..Estimate::default() };
    };
    let Some(estimates) = table.estimates() else { return Estimate { rows: ROWS_UNKNOWN, ..Estimate::default() } };
    let columns = scan
        .projected_schema
        .columns()
        .into_iter()
        .filter_map(|column| Some((column.clone(), estimates.column(&column.name)?.clone())))
        .collect();
    let definition = table.definition();
    let key = definition.primary_key.as_ref().map(|key| {
        let names = key.columns.iter().filter_map(|at| definition.columns.get(*at));
        let columns = names.map(|column| Column::new(Some(scan.table_name.clone()), column.name.clone())).collect();
        (columns, estimates.rows())
    });
    let all = Estimate { rows: estimates.rows(), columns, keys: key.into_iter().collect() };
    let rows = estimates.rows() * estimates.selectivity(&scan.filters);
    all.with_rows(scan.fetch.map_or(rows, |fetch| rows.min(fetch as f64)))
}

fn of_aggregate(aggregate: &Aggregate) -> Estimate {
    let input = Estimate::of(&aggregate.input);
    if aggregate.group_expr.is_empty() {
        return Estimate { rows: 1.0, ..Estimate::default() };
    }
    let half = (input.rows / 2.0).max(1.0);
    let distinct = |expr: &Expr| source(expr).and_then(|c| input.columns.get(c)).map_or(half, |known| known.distinct);
    // Columns beside a key of one of the inputs add no groups.
    let groups: Vec<&Column> = aggregate.group_expr.iter().filter_map(source).collect();
    let key = input.keys.iter().any(|(key, _)| key.iter().all(|column| groups.contains(&column)));
    let rows = if key { input.rows } else { aggregate.group_expr.iter().map(distinct).product::<f64>().min(input.rows) };
    let outputs = aggregate.schema.columns();
    let names: Vec<(Column, Column)> = aggregate
        .group_expr
        .iter()
        .zip(&outputs)
        .filter_map(|(expr, output)| Some((source(expr)?.clone(), output.clone())))
        .collect();
    let all = names.len() == aggregate.group_expr.len();
    let key: Vec<Column> = names.iter().map(|(_, output)| output.clone()).collect();
    let mut grouped = input.renamed(names);
    let domain: f64 = key.iter().map(|column| grouped.columns.get(column).map_or(rows, |known| known.domain)).product();
    grouped.rows = rows;
    grouped.columns.values_mut().for_each(|column| column.distinct = column.distinct.min(rows.max(1.0)));
    grouped.keys = if all { vec![(key, domain.max(rows))] } else { vec![] };
    grouped
}

fn of_join(join: &Join) -> Estimate {
    let (left, right) = (Estimate::of(&join.left), Estimate::of(&join.right));
    let filters: Vec<Expr> = join.filter.iter().flat_map(split_conjunction).cloned().collect();
    let inner = left.rows * right.rows * equal_share(&left, &right, &join.on);
    let filter_share = |both: &Estimate| if filters.is_empty() { 1.0 } else { both.selectivity(&filters) };
    match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            let (left_rows, right_rows) = (left.rows, right.rows);
            let both = left.beside(right, inner);
            let rows = inner * filter_share(&both);
            let rows = match join.join_type {
                JoinType::Left => rows.max(left_rows),
                JoinType::Right => rows.max(right_rows),
                JoinType::Full => rows.max(left_rows).max(right_rows),
                _ => rows,
            };
            both.with_rows(rows)
        }
        JoinType::LeftSemi | JoinType::LeftAnti => {
            let semi = semi_share_of(join, &left, &right);
            left.reduced(if join.join_type == JoinType::LeftSemi { semi } else { anti_share(semi) })
        }
        JoinType::RightSemi | JoinType::RightAnti => {
            let semi = semi_share_of(join, &left, &right);
            right.reduced(if join.join_type == JoinType::RightSemi { semi } else { anti_share(semi) })
        }
        JoinType::LeftMark => left,
        JoinType::RightMark => right,
    }
}

impl Estimate {
    /// That share of the rows.
    pub(super) fn reduced(self, share: f64) -> Estimate {
        let rows = self.rows * share;
        self.with_rows(rows)
    }
}

/// Both sides are given: estimating them again at each of many joins in a row would double the work at each.
fn semi_share_of(join: &Join, left: &Estimate, right: &Estimate) -> f64 {
    match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti => {
            let on: Vec<(&Expr, &Expr)> = join.on.iter().map(|(left, right)| (right, left)).collect();
            semi_share(right, left, &on, join.filter.is_some())
        }
        _ => {
            let on: Vec<(&Expr, &Expr)> = join.on.iter().map(|(left, right)| (left, right)).collect();
            semi_share(left, right, &on, join.filter.is_some())
        }
    }
}

/// The share of all pairs of rows in which the keys are equal.
pub(super) fn equal_share(left: &Estimate, right: &Estimate, on: &[(Expr, Expr)]) -> f64 {
    if on.is_empty() {
        return 1.0;
    }
    let (lefts, rights): (Vec<&Expr>, Vec<&Expr>) = on.iter().map(|(left, right)| (left, right)).unzip();
    let (left, right) = (left.domain_of_all(&lefts), right.domain_of_all(&rights));
    1.0 / match (left, right) {
        // A foreign key: each row finds its partner among the keys there are.
        ((keys, true), (_, false)) | ((_, false), (keys, true)) => keys,
        ((left, _), (right, _)) => left.max(right).max(1.0),
    }
}

/// The share of `left`'s rows that has a partner in `right`.
pub(super) fn semi_share(left: &Estimate, right: &Estimate, on: &[(&Expr, &Expr)], filtered: bool) -> f64 {
    let extra = if filtered { SEMI_CONDITION } else { 1.0 };
    if on.is_empty() {
        return SEMI_UNKNOWN * extra;
    }
    let lefts: Vec<&Expr> = on.iter().map(|(left, _)| *left).collect();
    let rights: Vec<&Expr> = on.iter().map(|(_, right)| *right).collect();
    let domain = left.domain_of_all(&lefts).0.max(right.domain_of_all(&rights).0);
    let half = (right.rows / 2.0).max(1.0);
    let present: f64 =
        rights.iter().map(|expr| source(expr).and_then(|c| right.columns.get(c)).map_or(half, |known| known.distinct)).product();
    (present.min(right.rows) / domain.max(1.0) * extra).clamp(1e-6, 1.0)
}

/// The share an anti join keeps where a semi join would keep `semi`.
pub(super) fn anti_share(semi: f64) -> f64 {
    (1.0 - semi).max(ANTI_MIN)
}
