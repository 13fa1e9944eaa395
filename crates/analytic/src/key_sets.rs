//! The keys of a join's smaller side as bits, for the scan that the other side is read by.
//!
//! ```text
//! HashJoinExec
//!   KeySetExec: every key of a batch is set --at the end--> KeySet    one bit for each number between the least and the greatest
//!     build side                                               |
//!   probe side: .. scan: column IN keys  <---------------------+
//! ```
//!
//! 1. DataFusion's joins give scans their whole hash table to look keys up in. For keys that are whole numbers a bit is enough: for six
//!    million orders they are less than a megabyte, and are read in the order of the key.
//! 2. A set is advice, as the filters of DataFusion's joins are. It goes further than those: to every scan that the column comes from,
//!    through other joins, and to columns that have to be equal to it (`key_origins`). A scan that runs before the set is complete does
//!    without.
//! 3. A set of numbers that are too far apart, all in all or for how many they are, is given up; so is one that there is no memory for.
//! 4. A plan that is reset, to be run again, has no sets any more: those of the first run would be wrong.
//!
//! TPC-H query 4 at scale 1, where 57,000 of 6 million keys are looked for by 3.8 million rows, spent half of its time in looking up.
//!
//! Source: bit vectors as filters of joins (Graefe, Query Evaluation Techniques, 1993, 4.5).

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, ready};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use parking_lot::RwLock;
use segments::Codes;

use crate::key_origins::{column_of, origins};
use crate::passing::{Pass, PassingExec};
use crate::scan;

/// Bits of a set, at most: 16 MiB.
const BITS_MAX: i128 = 1 << 27;
/// And for each key, from some thousand words on: keys that are few and far apart are better looked up.
const BITS_PER_KEY_MAX: i128 = 1 << 14;
const BITS_MIN: i128 = 1 << 19;

/// The keys of one column of a join's smaller side, once all of them are known.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: RwLock<Option<Arc<Keys>>>,
}

/// Numbers, as bits from `base` on.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// A multiple of 64.
    base: i64,
    words: Vec<u64>,
    /// Values so far, those that came again too.
    values: usize,
    /// Of the bits.
    memory: Option<MemoryReservation>,
}

impl KeySet {
    /// The keys; `None`: they are not known, not yet or not at all.
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.read().clone()
    }
}

impl Keys {
    /// Whether a number is one of them.
    #[inline]
    pub(crate) fn contains(&self, key: i64) -> bool {
        let at = key.wrapping_sub(self.base) as u64;
        self.words.get((at >> 6) as usize).is_some_and(|word| word >> (at & 63) & 1 == 1)
    }

    /// Which of `rows` have one of them, whose numbers are `base` and a code.
    pub(crate) fn among(&self, base: i64, codes: &Codes, rows: Range<usize>) -> BooleanBuffer {
        codes.that(rows, |code| self.contains(base.wrapping_add(code as i64)))
    }

    /// Which values of an array of whole numbers or dates are one of them; `None`: it is no such array.
    pub(crate) fn within(&self, array: &ArrayRef) -> Option<BooleanBuffer> {
        let numbers = numbers(array)?;
        let found = BooleanBuffer::collect_bool(numbers.len(), |row| self.contains(numbers.value(row)));
        Some(match numbers.nulls() {
            Some(nulls) => &found & nulls.inner(),
            None => found,
        })
    }

    /// Adds the values of an array. `None`: there is no room for them, or it is no such array.
    fn add(&mut self, array: &ArrayRef) -> Option<()> {
        let numbers = numbers(array)?;
        self.values += numbers.len();
        let Some((least, greatest)) = min(&numbers).zip(max(&numbers)) else { return Some(()) };
        self.cover(least, greatest)?;
        for key in numbers.iter().flatten() {
            let at = key.wrapping_sub(self.base) as u64;
            self.words[(at >> 6) as usize] |= 1 << (at & 63);
        }
        Some(())
    }

    /// Makes room for these and all between.
    fn cover(&mut self, least: i64, greatest: i64) -> Option<()> {
        if self.words.is_empty() {
            self.base = least & !63;
        }
        // Below, by as much as there is: a column that descends would move all of it again and again.
        let missing = ((i128::from(self.base) - i128::from(least)).max(0) + 63) / 64;
        let before = if missing == 0 { 0 } else { missing.max(self.words.len() as i128) };
        let base = (i128::from(self.base) - before * 64).max(i64::MIN.into());
        let before = (i128::from(self.base) - base) / 64;
        let after = ((i128::from(greatest) - i128::from(self.base)).max(0) / 64 + 1).max(self.words.len() as i128);
        let words = before + after;
        if words * 64 > BITS_MAX.min(BITS_MIN.max(self.values as i128 * BITS_PER_KEY_MAX)) {
            return None;
        }
        if words > self.words.len() as i128 {
            if let Some(memory) = &mut self.memory {
                memory.try_resize(words as usize * size_of::<u64>()).ok()?;
            }
            self.words.splice(0..0, std::iter::repeat_n(0, before as usize));
            self.words.resize(words as usize, 0);
            self.base = base as i64;
        }
        Some(())
    }
}

fn is_number(t: &DataType) -> bool {
    matches!(t, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32)
}

/// An array of whole numbers or dates as one of the widest; `None`: it is another.
fn numbers(array: &ArrayRef) -> Option<Int64Array> {
    let wide = is_number(array.data_type()).then(|| cast(array, &DataType::Int64))?.ok()?;
    wide.as_primitive_opt().cloned()
}

/// The rule; to be run when filters have been passed on, and before what changes scans for good.
#[derive(Debug, Default)]
pub(crate) struct KeySets;

impl PhysicalOptimizerRule for KeySets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut conditions: HashMap<*const (), Vec<Arc<dyn PhysicalExpr>>> = HashMap::new();
        // A join comes before the scans below it, which are as they were until then.
        let plan = plan.transform_down(|node| {
            let changed = match node.downcast_ref::<HashJoinExec>() {
                Some(join) => with_collected(&node, join, &mut conditions)?,
                None => conditions.remove(&address(&node)).and_then(|conditions| scan::with_conditions(&node, conditions)),
            };
            Ok(changed.map_or_else(|| Transformed::no(node), Transformed::yes))
        });
        plan.data()
    }

    fn name(&self) -> &str {
        "key_sets"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn address(node: &Arc<dyn ExecutionPlan>) -> *const () {
    Arc::as_ptr(node).cast()
}

/// The join with sets of its keys for scans of the other side, and their conditions; `None`: no scan could use them.
fn with_collected(
    node: &Arc<dyn ExecutionPlan>,
    join: &HashJoinExec,
    conditions: &mut HashMap<*const (), Vec<Arc<dyn PhysicalExpr>>>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let filter = node.dynamic_expressions_produced().iter().find_map(|filter| filter.expression_id());
    let filter = filter.filter(|_| join.on().len() == 1);
    let mut sets = Vec::new();
    for (build, probe) in columns(join) {
        let scans = origins(join.right(), probe);
        if scans.is_empty() {
            continue;
        }
        let set = Arc::<KeySet>::default();
        for (scan, column) in scans {
            let says_the_same = |other: &Arc<dyn PhysicalExpr>| {
                other.expression_id() == filter
                    && other.children().first().is_some_and(|other| column_of(other) == column_of(&column))
            };
            let replaces = filter.filter(|_| scan::dynamic_filters(&scan).iter().any(says_the_same));
            let condition = InKeySet { column, set: Arc::clone(&set), replaces };
            conditions.entry(address(&scan)).or_default().push(Arc::new(condition));
        }
        sets.push((build, set));
    }
    if sets.is_empty() {
        return Ok(None);
    }
    let left = PassingExec::over(Arc::clone(join.left()), CollectKeys { sets });
    Ok(Some(join.builder().with_new_children(vec![left, Arc::clone(join.right())])?.build_exec()?))
}

/// Of a join's keys those that a set can be made of: the columns of the smaller side and of the other.
fn columns(join: &HashJoinExec) -> Vec<(usize, usize)> {
    // Rows of the other side that find none must not matter, nor those with NULL, which is no number.
    let is_one_sided = matches!(
        join.join_type(),
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi
    );
    if !is_one_sided
        || join.null_aware
        || join.null_equality() != NullEquality::NullEqualsNothing
        || *join.partition_mode() != PartitionMode::CollectLeft
    {
        return vec![];
    }
    let (build, probe) = (join.left().schema(), join.right().schema());
    let pair = |(left, right): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        let (left, right) = (column_of(left)?, column_of(right)?);
        let t = build.field(left).data_type();
        (is_number(t) && t == probe.field(right).data_type()).then_some((left, right))
    };
    join.on().iter().filter_map(pair).collect()
}

/// `column IN keys`; true of all rows as long as those are not known.
#[derive(Debug, Clone)]
pub(crate) struct InKeySet {
    column: Arc<dyn PhysicalExpr>,
    pub(crate) set: Arc<KeySet>,
    /// The filter that says no more than this one.
    pub(crate) replaces: Option<u64>,
}

impl PartialEq for InKeySet {
    fn eq(&self, other: &InKeySet) -> bool {
        Arc::ptr_eq(&self.set, &other.set) && self.column.eq(&other.column)
    }
}

impl Eq for InKeySet {}

impl Hash for InKeySet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
    }
}

impl fmt::Display for InKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} IN keys", self.column)
    }
}

impl PhysicalExpr for InKeySet {
    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("in_keys", DataType::Boolean, false)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let found = self.set.keys().and_then(|keys| keys.within(&array));
        let found = found.unwrap_or_else(|| BooleanBuffer::new_set(batch.num_rows()));
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(found, None))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.column));
        Ok(Arc::new(InKeySet { column, ..(*self).clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes sets of keys.
#[derive(Debug)]
struct CollectKeys {
    /// Columns, and the set of each.
    sets: Vec<(usize, Arc<KeySet>)>,
}

impl Pass for CollectKeys {
    fn name(&self) -> &'static str {
        "KeySetExec"
    }

    fn shown(&self, schema: &Schema) -> String {
        let names: Vec<&str> = self.sets.iter().map(|(column, _)| schema.field(*column).name().as_str()).collect();
        format!("KeySetExec: [{}]", names.join(", "))
    }

    fn pass(&self, mut batches: SendableRecordBatchStream, context: &TaskContext) -> SendableRecordBatchStream {
        let schema = batches.schema();
        // Of each set what there is so far; `None`: given up.
        let begun = |(column, set): &(usize, Arc<KeySet>)| {
            let memory = MemoryConsumer::new("keys of a join").register(context.memory_pool());
            (*column, Arc::clone(set), Some(Keys { memory: Some(memory), ..Keys::default() }))
        };
        let mut sets: Vec<_> = self.sets.iter().map(begun).collect();
        let passed = stream::poll_fn(move |context| {
            let next = ready!(batches.poll_next_unpin(context));
            for (column, set, keys) in &mut sets {
                match &next {
                    Some(Ok(batch)) => *keys = keys.take().and_then(|mut keys| keys.add(batch.column(*column)).map(|()| keys)),
                    Some(Err(_)) => *keys = None,
                    None => {
                        if let Some(keys) = keys.take() {
                            *set.keys.write() = Some(Arc::new(keys));
                        }
                    }
                }
            }
            Poll::Ready(next)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, passed))
    }

    fn reset(self: Arc<Self>) -> Arc<dyn Pass> {
        self.sets.iter().for_each(|(_, set)| *set.keys.write() = None);
        Arc::new(CollectKeys { sets: vec![] })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::Int32Array;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_has_the_keys_and_no_others(
            from in prop_oneof![Just(i64::MIN), Just(-1000i64), Just(0), Just(i64::MAX - 50_000)],
            batches in proptest::collection::vec(proptest::collection::vec(proptest::option::of(0..50_000i64), 1..20), 1..6),
        ) {
            let mut keys = Keys::default();
            let mut expected = BTreeSet::new();
            for batch in &batches {
                let batch: Vec<_> = batch.iter().map(|key| key.map(|key| from + key)).collect();
                expected.extend(batch.iter().flatten().copied());
                let array: ArrayRef = Arc::new(Int64Array::from(batch));
                keys.add(&array).unwrap();
            }
            let asked: Vec<Option<i64>> = expected.iter().flat_map(|key| [key.wrapping_sub(1), *key, key.wrapping_add(1)]).map(Some).chain([None, Some(0)]).collect();
            let array: ArrayRef = Arc::new(Int64Array::from(asked.clone()));
            let found = keys.within(&array).unwrap();
            for (row, key) in asked.iter().enumerate() {
                prop_assert_eq!(found.value(row), key.is_some_and(|key| expected.contains(&key)), "{:?}", key);
            }
            let codes = Codes::U16((0..1000).collect());
            let among = keys.among(from, &codes, 10..1000);
            for (row, code) in (10..1000).enumerate() {
                prop_assert_eq!(among.value(row), expected.contains(&(from + code)));
            }
        }
    }

    #[test]
    fn numbers_too_far_apart_are_given_up() {
        let array = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        for values in [vec![i64::MIN, i64::MAX], vec![0, 1 << 28], vec![i64::MAX, 0]] {
            assert!(Keys::default().add(&array(values.clone())).is_none());
            let mut keys = Keys::default();
            assert!(values.iter().map(|value| keys.add(&array(vec![*value]))).any(|added| added.is_none()));
        }
        assert!(Keys::default().add(&array(vec![0, 10_000_000])).is_none());
        let mut keys = Keys::default();
        for value in (0..1000).rev() {
            keys.add(&(Arc::new(Int32Array::from(vec![value])) as ArrayRef)).unwrap();
        }
        assert!(keys.contains(0) && keys.contains(999) && !keys.contains(1000) && !keys.contains(-1));
    }
}
