//! The columns of a result.

use std::collections::HashMap;

use datafusion::logical_expr::{Expr, LogicalPlan};
use types::{ColumnId, SqlError, SqlType, TableId, arrow_form};

use crate::names;
use crate::scan::TableProvider;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// The name; not unique, and `?column?` where PostgreSQL says so.
    pub name: String,
    /// The type; that of its arrays is `types::arrow_form::data_type` of it.
    pub data_type: SqlType,
    /// The table and the column whose values it holds unchanged, if there is one.
    pub origin: Option<(TableId, ColumnId)>,
    /// Whether the query says its length or precision itself, by a cast.
    pub cast: bool,
}

/// The columns of a plan whose output types are all types of SQL.
pub(crate) fn columns(plan: &LogicalPlan) -> Result<Vec<OutputColumn>, SqlError> {
    let origins = origins(plan);
    let casts = match plan {
        LogicalPlan::Projection(projection) => projection.expr.iter().map(is_cast).collect(),
        _ => vec![],
    };
    plan.schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let data_type =
                arrow_form::sql_type_of(field).ok_or_else(|| SqlError::bug(format!("output column {at} has no SQL type")))?;
            Ok(OutputColumn {
                name: names::shown(field.name()).to_owned(),
                data_type,
                origin: origins.get(at).copied().flatten(),
                cast: casts.get(at).copied().unwrap_or_default(),
            })
        })
        .collect()
}

fn is_cast(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_cast(&alias.expr),
        expr => matches!(expr, Expr::Cast(_)),
    }
}

type Origin = Option<(TableId, ColumnId)>;

/// Where each output column's values come from unchanged.
fn origins(plan: &LogicalPlan) -> Vec<Origin> {
    let input = |plan: &LogicalPlan| -> HashMap<String, Origin> {
        let found = origins(plan);
        plan.schema().columns().iter().map(|c| c.flat_name()).zip(found).collect()
    };
    match plan {
        LogicalPlan::TableScan(scan) => match crate::resolve::provider_of(&scan.source) {
            Some(provider) => {
                let table = provider.downcast_ref::<TableProvider>().map(|p| p.definition().clone());
                let shown: Vec<usize> = match &scan.projection {
                    Some(projection) => projection.clone(),
                    None => (0..scan.source.schema().fields().len()).collect(),
                };
                shown.into_iter().map(|at| table.as_ref().and_then(|t| Some((t.id, t.columns.get(at)?.id)))).collect()
            }
            None => vec![None; plan.schema().fields().len()],
        },
        LogicalPlan::Projection(projection) => {
            let input = input(&projection.input);
            let origin = |expr: &Expr| match expr.clone().unalias() {
                Expr::Column(column) => input.get(&column.flat_name()).copied().flatten(),
                _ => None,
            };
            projection.expr.iter().map(origin).collect()
        }
        LogicalPlan::Filter(filter) => origins(&filter.input),
        LogicalPlan::Sort(sort) => origins(&sort.input),
        LogicalPlan::Limit(limit) => origins(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input),
        LogicalPlan::Join(join) => {
            let all: Vec<Origin> = origins(&join.left).into_iter().chain(origins(&join.right)).collect();
            // Semi and anti joins show one side only; which columns remain is seen from their number.
            let shown = plan.schema().fields().len();
            if all.len() == shown { all } else { vec![None; shown] }
        }
        other => vec![None; other.schema().fields().len()],
    }
}
