//! Aggregation in the scan itself: for few groups, rows are added up where they are read, as they are packed.
//!
//! ```text
//! AggregateExec(Partial)                        scan: conditions on codes --> rows that are left
//!   ProjectionExec           ==>                        codes of the group's columns --> group
//!     scan                                              sums of whole numbers, in 64 bits --> states, for the final aggregation
//! ```
//!
//! 1. The result is that of the nodes it stands for: what the fast way cannot do (numbers that may leave 64 bits, NULLs, other
//!    aggregates) is done by the aggregates' own accumulators, unit by unit.
//! 2. Groups are few by estimate, or found by a number (`groups`). Should there be too many, or no memory, they are handed on and
//!    begun anew.
//!
//! Source: HyPer's fused pipelines (Neumann, VLDB 2011), for the one pipeline that ends in its own scan.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use types::{Datum, SqlType};

use self::arithmetic::Arithmetic;
use self::groups::{Manner, is_whole};
use super::source::{ScanSource, scan_of};

mod arithmetic;
pub(crate) mod groups;
mod state;

pub(super) use state::State;

/// Groups by estimate, beyond which DataFusion's aggregation is left as it is.
const GROUPS_MAX: f64 = 20_000.0;

/// Numbers that have a table of their own, at most: 16 MB a partition.
const DENSE_MAX: f64 = 4_194_304.0;

/// Such a table is not larger than this, or than this many entries for each row.
const DENSE_MIN: f64 = 65_536.0;
const TABLE_PER_ROW_MAX: f64 = 4.0;

/// The aggregates whose states are small.
const AGGREGATES: [&str; 5] = ["sum", "avg", "count", "min", "max"];

/// A column of the scan's output that rows are grouped by.
#[derive(Debug)]
struct GroupColumn {
    column: usize,
    sql_type: SqlType,
}

/// How an aggregate is computed of whole numbers; its states are one array, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The rows.
    Count,
    /// That of `sums`.
    Sum(usize),
    /// That of `sums`, and the rows.
    Average(usize),
    /// It is not: its accumulator is given values.
    Values,
}

#[derive(Debug)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    way: Way,
    /// Its arguments and filter, over `columns` of the scan's output, whose fields are `schema`.
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<usize>,
    schema: SchemaRef,
    /// Types of its states.
    states: Vec<DataType>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Fused {
    groups: Vec<GroupColumn>,
    manner: Manner,
    aggregates: Vec<Aggregate>,
    arithmetic: Arithmetic,
    /// The columns of the scan's output that it reads.
    numbers: Vec<(usize, SqlType)>,
    /// Steps that are added up.
    sums: Vec<usize>,
}

impl Fused {
    /// The aggregation over a scan of these columns; `None`: it is not to be done here.
    fn of(
        aggregate: &AggregateExec,
        projections: &[&ProjectionExec],
        input: &Schema,
        types: &[Option<SqlType>],
    ) -> Option<Fused> {
        let by = aggregate.group_expr();
        if *aggregate.mode() != AggregateMode::Partial || aggregate.limit_options().is_some() || by.has_grouping_set() {
            return None;
        }
        // Over the scan's output, without what is projected in between.
        let over_scan = |expr: &Arc<dyn PhysicalExpr>| {
            projections.iter().try_fold(Arc::clone(expr), |expr, projection| {
                let replaced = |e: Arc<dyn PhysicalExpr>| {
                    Ok(match e.downcast_ref::<Column>() {
                        Some(column) => Transformed::yes(Arc::clone(&projection.expr()[column.index()].expr)),
                        None => Transformed::no(e),
                    })
                };
                expr.transform_up(replaced).data().ok()
            })
        };
        let group = |(expr, _): &(Arc<dyn PhysicalExpr>, String)| {
            let column = over_scan(expr)?.downcast_ref::<Column>()?.index();
            let sql_type = types[column]?;
            // Of these, values that are equal may be kept differently.
            let is_one = !matches!(sql_type, SqlType::Float4 | SqlType::Float8 | SqlType::Interval);
            is_one.then_some(GroupColumn { column, sql_type })
        };
        let groups = by.expr().iter().map(group).collect::<Option<Vec<_>>>()?;
        let (mut arithmetic, mut sums, mut aggregates) = (Arithmetic::default(), vec![], vec![]);
        for (function, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
            let name = function.fun().name().to_lowercase();
            let is_simple = !function.is_distinct() && !function.ignore_nulls() && function.order_bys().is_empty();
            if !is_simple || !AGGREGATES.contains(&name.as_str()) || !function.groups_accumulator_supported() {
                return None;
            }
            let arguments = function.expressions().iter().map(over_scan).collect::<Option<Vec<_>>>()?;
            let filter = filter.as_ref().map(|filter| over_scan(filter).ok_or(())).transpose().ok()?;
            if arguments.iter().chain(&filter).any(is_volatile) {
                return None;
            }
            let mut sum = |arithmetic: &mut Arithmetic, expr| {
                let step = arithmetic.add(expr, input)?;
                Some(sums.iter().position(|known| *known == step).unwrap_or_else(|| {
                    sums.push(step);
                    sums.len() - 1
                }))
            };
            let way = match (name.as_str(), arguments.as_slice(), &filter) {
                ("count", [argument], None) if is_constant(argument) => Way::Count,
                ("sum", [argument], None) => sum(&mut arithmetic, argument).map_or(Way::Values, Way::Sum),
                ("avg", [argument], None) => sum(&mut arithmetic, argument).map_or(Way::Values, Way::Average),
                _ => Way::Values,
            };
            let mut columns: Vec<usize> =
                arguments.iter().chain(&filter).flat_map(collect_columns).map(|column| column.index()).collect();
            columns.sort_unstable();
            columns.dedup();
            let schema = Arc::new(input.project(&columns).ok()?);
            let own = |expr: &Arc<dyn PhysicalExpr>| reassign_expr_columns(Arc::clone(expr), &schema).ok();
            aggregates.push(Aggregate {
                way,
                arguments: arguments.iter().map(own).collect::<Option<_>>()?,
                filter: filter.as_ref().map(|filter| own(filter).ok_or(())).transpose().ok()?,
                columns,
                states: function.state_fields().ok()?.iter().map(|field| field.data_type().clone()).collect(),
                function: Arc::clone(function),
                schema,
            });
        }
        let numbers = arithmetic.columns().map(|column| Some((column, types[column]?))).collect::<Option<_>>()?;
        let manner = if groups.is_empty() { Manner::One } else { Manner::Any };
        Some(Fused { groups, manner, aggregates, arithmetic, numbers, sums })
    }

    /// The columns of the scan's output that rows are grouped by.
    pub(super) fn group_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups.iter().map(|group| group.column)
    }

    /// What is known of the groups, which `given` is the schema of, from what is known of the rows' group columns.
    pub(super) fn statistics(&self, rows: Statistics, given: &Schema) -> Statistics {
        let mut statistics = Statistics::new_unknown(given);
        let mut columns = rows.column_statistics.iter();
        let groups = columns.try_fold(1.0, |all, column| Some(all * *column.distinct_count.get_value()? as f64));
        if let (Some(groups), Some(most)) = (groups, rows.num_rows.get_value()) {
            statistics.num_rows = Precision::Inexact(groups.min(*most as f64) as usize);
        }
        for (known, found) in rows.column_statistics.into_iter().zip(&mut statistics.column_statistics) {
            *found = known;
        }
        statistics
    }

    /// For EXPLAIN.
    pub(super) fn shown(&self, output: &Schema) -> String {
        let groups: Vec<&str> = self.groups.iter().map(|group| output.field(group.column).name().as_str()).collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|aggregate| aggregate.function.name()).collect();
        format!(", groups=[{}], aggregates=[{}]", groups.join(", "), aggregates.join(", "))
    }
}

fn is_constant(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null())
}

/// The rule; to be run when nobody moves anything into or out of scans any more.
#[derive(Debug)]
pub(crate) struct FusedAggregates;

impl PhysicalOptimizerRule for FusedAggregates {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let fused = node.downcast_ref::<AggregateExec>().and_then(fused);
            Ok(fused.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .data()
    }

    fn name(&self) -> &str {
        "fused_aggregates"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn fused(aggregate: &AggregateExec) -> Option<Arc<dyn ExecutionPlan>> {
    let mut projections = vec![];
    let mut input = aggregate.input();
    while let Some(projection) = input.downcast_ref::<ProjectionExec>() {
        projections.push(projection);
        input = projection.input();
    }
    let scan = scan_of(input)?;
    let mut fused = Fused::of(aggregate, &projections, &input.schema(), &scan.output_types()?)?;
    if let [GroupColumn { column, sql_type }] = fused.groups.as_slice()
        && is_whole(*sql_type)
        && let Some(manner) = whole_manner(scan, *column)
    {
        fused.manner = manner;
    }
    let groups: f64 =
        fused.groups.iter().map(|group| scan.estimates_of(group.column).map_or(f64::INFINITY, |c| c.distinct)).product();
    if fused.manner == Manner::Any && groups > GROUPS_MAX {
        return None;
    }
    Some(Arc::new(DataSourceExec::new(Arc::new(scan.fused(fused, aggregate.schema())))))
}

/// How groups of a column of whole numbers are found, if not as those of any.
fn whole_manner(scan: &ScanSource, column: usize) -> Option<Manner> {
    let known = scan.estimates_of(column)?;
    let bound = |value: &Option<Datum>| Some(i128::from(groups::number(value.as_ref()?.as_ref())?));
    let most = (TABLE_PER_ROW_MAX * scan.rows()).clamp(DENSE_MIN, DENSE_MAX);
    if let (Some(low), Some(high)) = (bound(&known.min), bound(&known.max))
        && let Some(dense) = Manner::dense(low, high, most)
    {
        return Some(dense);
    }
    scan.is_clustered_by(column).then_some(Manner::Clustered)
}
