//! The conditions of a scan, applied to a batch at a time.
//!
//! 1. Conditions are tried in an order that is learnt: what drops most rows for its price comes first.
//! 2. Once few rows are left, the next condition is computed for those only.
//! 3. A condition that can fail comes behind those that cannot, as written, and is computed only for rows that are left: a row that
//!    is deleted or excluded raises no error.
//! 4. What compares a number with a constant is compared with the codes of a packed column; what looks at one column of packed strings
//!    is computed for each distinct string once.
//! 5. A join's keys are looked up in bits where there are some (`key_sets`), in its hash table else.
//! 6. A dynamic filter that drops little is left out, and tried again later: leaving it out never changes the result.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and, concat, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use segments::PackedForm;

use super::like::HasParts;
use super::numbers::NumberRange;
use super::rows::{Chosen, Rows, batch};
use crate::key_sets::{InKeySet, KeySet, Keys};

/// A condition is computed on the rows that are left only if at most one in this many is.
const COMPACT_BELOW: usize = 4;
/// A dynamic filter that keeps more than this share of its rows is left out.
const USELESS_ABOVE: f64 = 0.8;
/// Batches after which the order is looked at again.
const BATCHES_PER_REVIEW: u32 = 16;
/// Reviews that a useless dynamic filter sits out.
const REVIEWS_OUT: u32 = 8;

struct Condition {
    /// Over `columns`.
    expr: Arc<dyn PhysicalExpr>,
    /// The columns of the scan it looks at, and their fields.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// What it asks of the numbers that its column is kept as.
    range: Option<NumberRange>,
    /// Its number among the conditions, for what is known of it in a unit.
    id: usize,
    /// About what a row costs, in comparisons of a number.
    cost: f64,
    can_fail: bool,
    dynamic: bool,
    /// The keys that its column has to be among.
    keys: Option<Arc<KeySet>>,
    /// Keys that say as much, once they are known.
    replaced_by: Option<Arc<KeySet>>,
    rows_in: u64,
    rows_kept: u64,
    reviews_out: u32,
}

/// The conditions of one partition of a scan.
pub(super) struct Conditions {
    conditions: Vec<Condition>,
    batches: u32,
}

impl Conditions {
    /// Expressions over `schema`, whose columns are the first of the scan.
    pub(super) fn new(
        schema: &SchemaRef,
        fixed: &[Arc<dyn PhysicalExpr>],
        dynamic: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Conditions> {
        let all = fixed.iter().map(|expr| (expr, false)).chain(dynamic.iter().map(|expr| (expr, true)));
        let key_sets: Vec<&InKeySet> = dynamic.iter().filter_map(|expr| expr.downcast_ref()).collect();
        let condition = |(id, (expr, dynamic)): (usize, (&Arc<dyn PhysicalExpr>, bool))| {
            let mut columns: Vec<usize> = collect_columns(expr).into_iter().map(|column| column.index()).collect();
            columns.sort_unstable();
            columns.dedup();
            let own = Arc::new(schema.project(&columns)?);
            let keys = expr.downcast_ref::<InKeySet>().map(|condition| Arc::clone(&condition.set));
            let replacement =
                expr.expression_id().and_then(|id| key_sets.iter().find(|condition| condition.replaces == Some(id)));
            Ok(Condition {
                cost: match (&keys, dynamic) {
                    (Some(_), _) => 1.5,
                    (None, true) => 6.0,
                    (None, false) => cost(expr),
                },
                keys,
                replaced_by: replacement.map(|condition| Arc::clone(&condition.set)),
                can_fail: can_fail(expr),
                expr: reassign_expr_columns(Arc::clone(expr), &own)?,
                columns,
                schema: own,
                range: NumberRange::of(expr),
                id,
                dynamic,
                rows_in: 0,
                rows_kept: 0,
                reviews_out: 0,
            })
        };
        let mut conditions = all.enumerate().map(condition).collect::<Result<Vec<_>>>()?;
        conditions.sort_by(|a, b| order(a, b, |condition| condition.cost));
        Ok(Conditions { conditions, batches: 0 })
    }

    /// The rows that satisfy every condition, out of those set in `alive` (all, if `None`); `None`: all of them do.
    pub(super) fn apply(&mut self, rows: &mut Rows<'_>, alive: Option<BooleanArray>) -> Result<Option<BooleanArray>> {
        let all = rows.len();
        let mut kept = alive;
        for condition in &mut self.conditions {
            let is_replaced = || condition.replaced_by.as_ref().is_some_and(|keys| keys.keys().is_some());
            if condition.reviews_out > 0 || is_replaced() {
                continue;
            }
            let keys = match &condition.keys {
                Some(set) => match set.keys() {
                    None => continue,
                    known => known,
                },
                None => None,
            };
            let asked = kept.as_ref().map_or(all, BooleanArray::true_count);
            if asked == 0 {
                break;
            }
            let of_packed = match &keys {
                Some(keys) => condition.among(keys, rows, kept.as_ref().filter(|_| asked * COMPACT_BELOW <= all))?,
                None => condition.of_packed(rows)?,
            };
            let found = match (of_packed, &kept) {
                (Some(found), Some(mask)) => BooleanArray::new(mask.values() & &found, None),
                (Some(found), None) => BooleanArray::new(found, None),
                (None, Some(mask)) if condition.can_fail || asked * COMPACT_BELOW <= all => {
                    let chosen = Chosen::new(mask);
                    let columns = condition.columns.iter().map(|at| rows.chosen(*at, &chosen)).collect::<Result<Vec<_>>>()?;
                    spread(mask, &condition.evaluate(columns, asked)?)
                }
                (None, kept) => {
                    let columns = condition.columns.iter().map(|at| rows.array(*at)).collect::<Result<Vec<_>>>()?;
                    let found = condition.evaluate(columns, all)?;
                    match kept {
                        Some(mask) => and(mask, &found)?,
                        None => found,
                    }
                }
            };
            let left = found.true_count();
            condition.rows_in += asked as u64;
            condition.rows_kept += left as u64;
            kept = (left < all).then_some(found);
        }
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_PER_REVIEW) {
            self.review();
        }
        Ok(kept)
    }

    fn review(&mut self) {
        for condition in self.conditions.iter_mut().filter(|c| c.dynamic) {
            condition.reviews_out = condition.reviews_out.saturating_sub(1);
            if condition.rows_in > 0 && condition.kept() > USELESS_ABOVE {
                condition.reviews_out = REVIEWS_OUT;
            }
            // A dynamic filter gets stricter while the query runs: only its recent past counts.
            condition.rows_in = 0;
            condition.rows_kept = 0;
        }
        self.conditions.sort_by(|a, b| order(a, b, |condition| (condition.kept() - 1.0) / condition.cost));
    }
}

impl Condition {
    /// True where the condition is true, false where it is false or NULL; `columns` of so many rows.
    fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let batch = batch(&self.schema, columns, rows)?;
        let found = self.expr.evaluate(&batch)?.into_array(rows)?;
        let found = as_boolean_array(&found)?;
        Ok(if found.null_count() == 0 { found.clone() } else { prep_null_mask_filter(found) })
    }

    /// Which rows have one of the keys, at least of those in `asked`; `None`: their column is not packed numbers.
    fn among(&self, keys: &Keys, rows: &mut Rows<'_>, asked: Option<&BooleanArray>) -> Result<Option<BooleanBuffer>> {
        let [column] = self.columns.as_slice() else { return Ok(None) };
        let Some((packed, within)) = rows.packed(*column)? else { return Ok(None) };
        let PackedForm::Whole { base, codes, nulls, .. } = packed.form() else { return Ok(None) };
        let found = match asked {
            Some(asked) => of_set(asked, |row| keys.contains(base.wrapping_add(codes.get(within.start + row) as i64))),
            None => keys.among(base, codes, within.clone()),
        };
        Ok(Some(match nulls {
            Some(nulls) => &found & &nulls.inner().slice(within.start, within.len()),
            None => found,
        }))
    }

    /// The same of rows whose column can be compared as it is packed; `None`: it is to be unpacked.
    fn of_packed(&self, rows: &mut Rows<'_>) -> Result<Option<BooleanBuffer>> {
        let [column] = self.columns.as_slice() else { return Ok(None) };
        if self.dynamic || self.can_fail {
            return Ok(None);
        }
        let Some((packed, within)) = rows.packed(*column)? else { return Ok(None) };
        Ok(match (packed.form(), &self.range) {
            (PackedForm::Whole { base, codes, nulls, .. }, Some(range)) => {
                let found = range.among(base, codes, within.clone());
                Some(match nulls {
                    Some(nulls) => &found & &nulls.inner().slice(within.start, within.len()),
                    None => found,
                })
            }
            (PackedForm::Strings { strings, codes, nulls }, _) => {
                let wanted = match rows.known(self.id) {
                    Some(wanted) => wanted,
                    None => {
                        // What it says of NULL, if there are any, comes last.
                        let null = new_null_array(strings.data_type(), usize::from(nulls.is_some()));
                        let all = concat(&[strings.as_ref(), null.as_ref()])?;
                        let wanted: Arc<[bool]> = self.evaluate(vec![all], strings.len() + null.len())?.values().iter().collect();
                        rows.know(self.id, &wanted);
                        wanted
                    }
                };
                let found = codes.among(within.clone(), &wanted);
                Some(match nulls {
                    None => found,
                    Some(nulls) => {
                        let valid = nulls.inner().slice(within.start, within.len());
                        if wanted[strings.len()] { &found | &!&valid } else { &found & &valid }
                    }
                })
            }
            _ => None,
        })
    }

    fn kept(&self) -> f64 {
        if self.rows_in == 0 { 0.5 } else { self.rows_kept as f64 / self.rows_in as f64 }
    }
}

/// Conditions that cannot fail by their rank, then the others as they are.
fn order(a: &Condition, b: &Condition, rank: impl Fn(&Condition) -> f64) -> Ordering {
    a.can_fail.cmp(&b.can_fail).then_with(|| if a.can_fail { Ordering::Equal } else { rank(a).total_cmp(&rank(b)) })
}

/// Whether there may be a row for which the condition is an error: anything but comparisons of columns and constants.
fn can_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    let safe = match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => {
            matches!(binary.op(), Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | And | Or)
        }
        None => {
            expr.is::<Column>()
                || expr.is::<Literal>()
                || expr.is::<InListExpr>()
                || expr.is::<IsNullExpr>()
                || expr.is::<IsNotNullExpr>()
                || expr.is::<LikeExpr>()
                || expr.is::<HasParts>()
                || expr.is::<NotExpr>()
                || expr.is::<DynamicFilterPhysicalExpr>()
                || expr.is::<InKeySet>()
        }
    };
    !safe || expr.children().into_iter().any(can_fail)
}

/// `found`, one value for each row set in `mask`, back at those rows.
fn spread(mask: &BooleanArray, found: &BooleanArray) -> BooleanArray {
    let mut at = 0..;
    BooleanArray::new(of_set(mask, |_| at.next().is_some_and(|at| found.value(at))), None)
}

/// Of the rows set in `mask`, in order, those for which this is true.
fn of_set(mask: &BooleanArray, mut is_wanted: impl FnMut(usize) -> bool) -> BooleanBuffer {
    let mut bits = vec![0u8; mask.len().div_ceil(8)];
    for row in mask.values().set_indices() {
        bits[row / 8] |= u8::from(is_wanted(row)) << (row % 8);
    }
    BooleanBuffer::new(bits.into(), 0, mask.len())
}

/// About what a condition costs a row, before it has been measured.
fn cost(expr: &Arc<dyn PhysicalExpr>) -> f64 {
    let own = if expr.is::<BinaryExpr>() || expr.is::<IsNullExpr>() || expr.is::<IsNotNullExpr>() {
        1.0
    } else if expr.is::<InListExpr>() {
        3.0
    } else if expr.children().is_empty() {
        0.0
    } else {
        // LIKE, CASE, functions.
        8.0
    };
    own + expr.children().into_iter().map(cost).sum::<f64>()
}
