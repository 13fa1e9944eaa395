//! Sums and averages of many groups at once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::NullState;

use super::{Addend, Finish, FromSum};
use crate::arrow_driver::raise;

type Native<T> = <T as ArrowPrimitiveType>::Native;

/// `sum` per group. State: the sum.
pub(super) struct Sums<A: Addend> {
    sums: Vec<Native<A::Sum>>,
    sum_type: DataType,
    nulls: NullState,
    finish: Finish,
}

impl<A: Addend> Sums<A> {
    pub(super) fn new(sum_type: DataType, finish: Finish) -> Sums<A> {
        Sums { sums: vec![], sum_type, nulls: NullState::new(), finish }
    }
}

/// The values, NULL where the filter is not true.
pub(super) fn filtered<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, filter: Option<&BooleanArray>) -> PrimitiveArray<T> {
    let Some(filter) = filter else { return values.clone() };
    let (bits, nulls) = filter.clone().into_parts();
    let kept = match nulls {
        Some(nulls) => nulls.inner() & &bits,
        None => bits,
    };
    let nulls = NullBuffer::union(values.nulls(), Some(&NullBuffer::new(kept)));
    PrimitiveArray::new(values.values().clone(), nulls).with_data_type(values.data_type().clone())
}

/// Values as sums of one each.
fn as_sums<A: Addend>(values: &PrimitiveArray<A::Value>, sum_type: &DataType) -> ArrayRef {
    let widened: Vec<Native<A::Sum>> = values.values().iter().map(|v| A::widen(*v)).collect();
    let array = PrimitiveArray::<A::Sum>::new(widened.into(), values.nulls().cloned());
    Arc::new(array.with_data_type(sum_type.clone()))
}

impl<A: Addend> GroupsAccumulator for Sums<A>
where
    A::Sum: FromSum,
{
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let values = values[0].as_primitive::<A::Value>();
        self.sums.resize(total, Native::<A::Sum>::default());
        let sums = self.sums.as_mut_slice();
        let mut fits = true;
        self.nulls.accumulate(groups, values, filter, total, |group, value| {
            fits &= A::add(&mut sums[group], A::widen(value));
        });
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit_to);
        A::Sum::array(&self.finish, sums, None, nulls)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit_to);
        Ok(vec![Arc::new(PrimitiveArray::<A::Sum>::new(sums.into(), nulls).with_data_type(self.sum_type.clone()))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let values = values[0].as_primitive::<A::Sum>();
        self.sums.resize(total, Native::<A::Sum>::default());
        let sums = self.sums.as_mut_slice();
        let mut fits = true;
        self.nulls.accumulate(groups, values, None, total, |group, value| fits &= A::add(&mut sums[group], value));
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = filtered(values[0].as_primitive::<A::Value>(), filter);
        Ok(vec![as_sums::<A>(&values, &self.sum_type)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Native<A::Sum>>() + self.nulls.size()
    }
}

/// `avg` per group. State: the sum and how many values it is of.
pub(super) struct Averages<A: Addend> {
    sums: Vec<Native<A::Sum>>,
    counts: Vec<u64>,
    sum_type: DataType,
    nulls: NullState,
    finish: Finish,
}

impl<A: Addend> Averages<A> {
    pub(super) fn new(sum_type: DataType, finish: Finish) -> Averages<A> {
        Averages { sums: vec![], counts: vec![], sum_type, nulls: NullState::new(), finish }
    }

    fn grow(&mut self, total: usize) {
        self.sums.resize(total, Native::<A::Sum>::default());
        self.counts.resize(total, 0);
    }
}

impl<A: Addend> GroupsAccumulator for Averages<A>
where
    A::Sum: FromSum,
{
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let values = values[0].as_primitive::<A::Value>();
        self.grow(total);
        let (sums, counts) = (self.sums.as_mut_slice(), self.counts.as_mut_slice());
        let mut fits = true;
        self.nulls.accumulate(groups, values, filter, total, |group, value| {
            fits &= A::add(&mut sums[group], A::widen(value));
            counts[group] += 1;
        });
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let nulls = self.nulls.build(emit_to);
        A::Sum::array(&self.finish, sums, Some(&counts), nulls)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let nulls = self.nulls.build(emit_to);
        let sums = PrimitiveArray::<A::Sum>::new(sums.into(), nulls.clone()).with_data_type(self.sum_type.clone());
        Ok(vec![Arc::new(sums), Arc::new(UInt64Array::new(counts.into(), nulls))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let added = values[1].as_primitive::<UInt64Type>();
        let states = values[0].as_primitive::<A::Sum>();
        let counts = self.counts.as_mut_slice();
        for (group, count) in groups.iter().zip(added.iter()) {
            counts[*group] += count.unwrap_or(0);
        }
        let sums = self.sums.as_mut_slice();
        let mut fits = true;
        self.nulls.accumulate(groups, states, None, total, |group, value| fits &= A::add(&mut sums[group], value));
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = filtered(values[0].as_primitive::<A::Value>(), filter);
        let counts = UInt64Array::new(vec![1; values.len()].into(), values.nulls().cloned());
        Ok(vec![as_sums::<A>(&values, &self.sum_type), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Native<A::Sum>>() + self.counts.capacity() * size_of::<u64>() + self.nulls.size()
    }
}
