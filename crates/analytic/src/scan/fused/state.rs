//! The groups of one partition while it is scanned.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, UInt64Array, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use segments::{Packed, PackedForm};

use super::arithmetic::{Bounds, Numbers};
use super::groups::{Groups, Manner};
use super::{Aggregate, Fused, Way};
use crate::scan::rows::{Chosen, Rows, batch};

/// Groups of a partition, beyond which they are handed on and begun anew where there should be few.
const GROUPS_MAX: usize = 1 << 16;
/// Sums are added up in 64 bits first where rows are so many to a group.
const ROWS_PER_GROUP_MIN: usize = 8;

/// See the module's head.
pub(in crate::scan) struct State {
    fused: Arc<Fused>,
    /// The output.
    schema: SchemaRef,
    groups: Groups,
    /// Rows of each group that were added up here.
    counts: Vec<u64>,
    /// By sum: one for each group.
    sums: Vec<Vec<i128>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// What the steps lie between in the unit that is scanned, if they can be computed; not known before its first row.
    bounds: Option<Option<Vec<Bounds>>>,
    memory: MemoryReservation,
    /// There was no memory for more.
    is_full: bool,
    /// No row was added.
    is_untouched: bool,
    // Kept for their memory.
    numbers: Numbers,
    /// The group of each row; none, if there is one.
    found: Vec<u32>,
    partial: Vec<i64>,
}

impl State {
    pub(in crate::scan) fn new(fused: &Arc<Fused>, schema: &SchemaRef, pool: &Arc<dyn MemoryPool>) -> Result<State> {
        let accumulators = fused.aggregates.iter().map(|a| a.function.create_groups_accumulator()).collect::<Result<Vec<_>>>()?;
        let mut state = State {
            schema: Arc::clone(schema),
            groups: Groups::new(fused.manner, fused.groups.iter().map(|group| group.sql_type).collect()),
            counts: vec![],
            sums: vec![vec![]; fused.sums.len()],
            accumulators,
            bounds: None,
            memory: MemoryConsumer::new("groups of a scan").with_can_spill(true).register(pool),
            is_full: false,
            is_untouched: true,
            numbers: Numbers::default(),
            found: vec![],
            partial: vec![],
            fused: Arc::clone(fused),
        };
        state.grow();
        Ok(state)
    }

    /// The rows that come next are another unit's. Returns groups that are handed on before.
    pub(in crate::scan) fn next_unit(&mut self) -> Result<Option<RecordBatch>> {
        self.bounds = None;
        if self.groups.next_unit() { self.take() } else { Ok(None) }
    }

    /// Adds the rows of `rows` that are left. The columns of the scan's output are at `places`.
    pub(in crate::scan) fn add(&mut self, rows: &mut Rows<'_>, places: &[usize], chosen: Option<&Chosen>) -> Result<()> {
        let count = chosen.map_or(rows.len(), Chosen::len);
        self.is_untouched = false;
        let fused = Arc::clone(&self.fused);
        let columns = fused.groups.iter().map(|group| rows.as_packed(places[group.column], group.sql_type));
        self.groups.find(&columns.collect::<Result<Vec<_>>>()?, chosen.map(Chosen::indices), count, &mut self.found);
        self.grow();
        let is_fast = self.is_fast(rows, places)?;
        if is_fast {
            self.add_numbers(rows, places, chosen, count)?;
        }
        self.add_values(is_fast, rows, places, chosen, count)?;
        self.account();
        Ok(())
    }

    /// Makes room for the groups that there are.
    fn grow(&mut self) {
        let groups = self.groups.len();
        self.counts.resize(groups, 0);
        self.sums.iter_mut().for_each(|sums| sums.resize(groups, 0));
    }

    /// Takes the memory that is used: a value may grow without a new group.
    fn account(&mut self) {
        let values: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        let sums: usize = self.sums.iter().map(|sums| sums.capacity() * size_of::<i128>()).sum();
        let size = self.groups.size() + self.counts.capacity() * size_of::<u64>() + sums + values;
        self.is_full |= self.memory.try_resize(size).is_err();
    }

    /// Whether the groups so far are to be handed on.
    pub(in crate::scan) fn is_full(&self) -> bool {
        self.groups.len() > 0 && self.is_full || self.fused.manner == Manner::Any && self.groups.len() > GROUPS_MAX
    }

    /// Whether sums can be made of the unit's codes.
    fn is_fast(&mut self, rows: &mut Rows<'_>, places: &[usize]) -> Result<bool> {
        if self.bounds.is_none() {
            let mut of_columns: HashMap<usize, Bounds> = HashMap::new();
            for (column, t) in &self.fused.numbers {
                let (packed, _) = rows.as_packed(places[*column], *t)?;
                if let PackedForm::Whole { base, most, nulls: None, .. } = packed.form() {
                    of_columns.insert(*column, (base.into(), i128::from(base) + i128::from(most)));
                }
            }
            // Of others nothing is known.
            let of_column = |column: usize| of_columns.get(&column).copied().unwrap_or((i128::MIN, i128::MAX));
            self.bounds = Some(self.fused.arithmetic.bounds(of_column));
        }
        Ok(self.bounds.as_ref().is_some_and(Option::is_some))
    }

    /// Adds up what is made of whole numbers.
    fn add_numbers(&mut self, rows: &mut Rows<'_>, places: &[usize], chosen: Option<&Chosen>, count: usize) -> Result<()> {
        let fused = Arc::clone(&self.fused);
        let mut columns: HashMap<usize, (Arc<Packed>, usize)> = HashMap::new();
        for (column, t) in &fused.numbers {
            columns.insert(*column, rows.as_packed(places[*column], *t)?);
        }
        fused.arithmetic.run(count, &mut self.numbers, |column, out| {
            if let Some((packed, start)) = columns.get(&column)
                && let PackedForm::Whole { base, codes, .. } = packed.form()
            {
                match chosen {
                    Some(chosen) => codes.numbers_of(base, *start, chosen.indices(), out),
                    None => codes.numbers(base, *start..*start + count, out),
                }
            }
        });
        let bounds = self.bounds.iter().flatten().next();
        if self.found.is_empty() {
            self.counts[0] += count as u64;
        } else {
            self.found.iter().for_each(|group| self.counts[*group as usize] += 1);
        }
        for (step, sums) in fused.sums.iter().zip(&mut self.sums) {
            let (low, high) = bounds.map_or((i128::MIN, i128::MAX), |bounds| bounds[*step]);
            let fits = low.unsigned_abs().max(high.unsigned_abs()).saturating_mul(count as u128) < i64::MAX as u128;
            let numbers = self.numbers.of(*step);
            if self.found.is_empty() {
                sums[0] += match fits {
                    true => numbers.iter().fold(0i64, |sum, v| sum.wrapping_add(*v)).into(),
                    false => numbers.iter().map(|v| i128::from(*v)).sum::<i128>(),
                };
            } else if fits && sums.len() * ROWS_PER_GROUP_MIN <= count {
                // Two rows in turns: an addition need not wait for that of the row before, which is often of the same group.
                let groups = sums.len();
                self.partial.clear();
                self.partial.resize(2 * groups, 0);
                let (even, odd) = self.partial.split_at_mut(groups);
                let (pairs, rest) = numbers.as_chunks::<2>();
                let (pairs_of, rest_of) = self.found.as_chunks::<2>();
                for ([a, b], [of_a, of_b]) in pairs.iter().zip(pairs_of) {
                    even[*of_a as usize] += a;
                    odd[*of_b as usize] += b;
                }
                rest.iter().zip(rest_of).for_each(|(v, group)| even[*group as usize] += v);
                for (sum, (even, odd)) in sums.iter_mut().zip(even.iter().zip(odd.iter())) {
                    *sum += i128::from(*even) + i128::from(*odd);
                }
            } else {
                numbers.iter().zip(&self.found).for_each(|(v, group)| sums[*group as usize] += i128::from(*v));
            }
        }
        Ok(())
    }

    /// Gives values to the accumulators: of all aggregates, or of those that are not computed of whole numbers.
    fn add_values(
        &mut self,
        only_others: bool,
        rows: &mut Rows<'_>,
        places: &[usize],
        chosen: Option<&Chosen>,
        count: usize,
    ) -> Result<()> {
        let is_asked = |aggregate: &Aggregate| !only_others || aggregate.way == Way::Values;
        if !self.fused.aggregates.iter().any(is_asked) {
            return Ok(());
        }
        let groups: Vec<usize> = match self.found.is_empty() {
            true => vec![0; count],
            false => self.found.iter().map(|group| *group as usize).collect(),
        };
        let total = self.groups.len();
        let all = self.fused.aggregates.iter().zip(&mut self.accumulators);
        for (aggregate, accumulator) in all.filter(|(aggregate, _)| is_asked(aggregate)) {
            let Aggregate { columns, schema, arguments, filter, .. } = aggregate;
            let arrays = columns.iter().map(|column| match chosen {
                Some(chosen) => rows.chosen(places[*column], chosen),
                None => rows.array(places[*column]),
            });
            let batch = batch(schema, arrays.collect::<Result<Vec<_>>>()?, count)?;
            let values = arguments.iter().map(|e| e.evaluate(&batch)?.into_array(count)).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(|e| e.evaluate(&batch)?.into_array(count)).transpose()?;
            let filter: Option<&BooleanArray> = filter.as_ref().map(|filter| filter.as_boolean());
            accumulator.update_batch(&values, &groups, filter, total)?;
        }
        Ok(())
    }

    /// The groups so far, as states for the final aggregation; then there are none.
    pub(in crate::scan) fn take(&mut self) -> Result<Option<RecordBatch>> {
        let fused = Arc::clone(&self.fused);
        let total = self.groups.len();
        if total == 0 {
            return Ok(None);
        }
        let mut columns = self.groups.arrays();
        if self.is_untouched {
            // The one group of no rows, which accumulators of groups do not know.
            for aggregate in &fused.aggregates {
                let states = aggregate.function.create_accumulator()?.state()?;
                columns.extend(states.iter().map(|state| state.to_array()).collect::<Result<Vec<_>>>()?);
            }
            return batch(&self.schema, columns, total).map(Some);
        }
        // Groups of rows that were added up here: the others have their states in the accumulators only.
        let added: Vec<usize> = (0..total).filter(|group| self.counts[*group] > 0).collect();
        for (aggregate, accumulator) in fused.aggregates.iter().zip(&mut self.accumulators) {
            let states = match &aggregate.way {
                Way::Count => vec![counted(&aggregate.states[0], &added, &self.counts)],
                Way::Sum(sum) => vec![summed(&aggregate.states[0], &added, &self.sums[*sum])?],
                Way::Average(sum) => vec![
                    summed(&aggregate.states[0], &added, &self.sums[*sum])?,
                    counted(&aggregate.states[1], &added, &self.counts),
                ],
                Way::Values => aggregate.states.iter().map(new_empty_array).collect(),
            };
            let groups = if aggregate.way == Way::Values { &[] } else { added.as_slice() };
            accumulator.merge_batch(&states, groups, total)?;
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        self.groups.clear();
        self.counts = vec![];
        self.sums.iter_mut().for_each(|sums| *sums = vec![]);
        self.memory.free();
        self.is_full = false;
        self.is_untouched = true;
        self.grow();
        batch(&self.schema, columns, total).map(Some)
    }
}

fn counted(t: &DataType, groups: &[usize], counts: &[u64]) -> ArrayRef {
    let counts = groups.iter().map(|group| counts[*group]);
    match t {
        DataType::UInt64 => Arc::new(counts.collect::<UInt64Array>()),
        _ => Arc::new(counts.map(|count| count as i64).collect::<Int64Array>()),
    }
}

fn summed(t: &DataType, groups: &[usize], sums: &[i128]) -> Result<ArrayRef> {
    let sums = groups.iter().map(|group| sums[*group]);
    Ok(match t {
        // Of integers of at most 32 bits.
        DataType::Int64 => Arc::new(sums.map(|sum| sum as i64).collect::<Int64Array>()),
        _ => Arc::new(sums.collect::<Decimal128Array>().with_data_type(t.clone())),
    })
}
