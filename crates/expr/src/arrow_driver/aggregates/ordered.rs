//! The least and the greatest of types whose order is not Arrow's: floats (NaN is the greatest), dates and timestamps with infinities,
//! intervals (a month is 30 days).

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use types::Interval;
use types::key::interval_micros;

type Native<T> = <T as ArrowPrimitiveType>::Native;

/// A type with an order of its own.
pub(super) trait Ordered: ArrowPrimitiveType + std::fmt::Debug {
    /// True if `a` is less than `b`.
    fn is_less(a: Native<Self>, b: Native<Self>) -> bool;
}

impl Ordered for Float32Type {
    fn is_less(a: f32, b: f32) -> bool {
        a < b || (b.is_nan() && !a.is_nan())
    }
}

impl Ordered for Float64Type {
    fn is_less(a: f64, b: f64) -> bool {
        a < b || (b.is_nan() && !a.is_nan())
    }
}

impl Ordered for Date32Type {
    fn is_less(a: i32, b: i32) -> bool {
        a < b
    }
}

impl Ordered for TimestampMicrosecondType {
    fn is_less(a: i64, b: i64) -> bool {
        a < b
    }
}

impl Ordered for IntervalMonthDayNanoType {
    fn is_less(a: Native<Self>, b: Native<Self>) -> bool {
        let length = |v: Native<Self>| interval_micros(Interval { months: v.months, days: v.days, micros: v.nanoseconds / 1000 });
        length(a) < length(b)
    }
}

/// Runs `$body` with `$t` the type, or gives `None`.
macro_rules! with_ordered {
    ($data_type:expr, $t:ident => $body:expr) => {
        match $data_type {
            DataType::Float32 => Some({
                type $t = Float32Type;
                $body
            }),
            DataType::Float64 => Some({
                type $t = Float64Type;
                $body
            }),
            DataType::Date32 => Some({
                type $t = Date32Type;
                $body
            }),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some({
                type $t = TimestampMicrosecondType;
                $body
            }),
            DataType::Interval(IntervalUnit::MonthDayNano) => Some({
                type $t = IntervalMonthDayNanoType;
                $body
            }),
            _ => None,
        }
    };
}

/// Whether the type is one of those here.
pub(super) fn is_ordered(data_type: &DataType) -> bool {
    with_ordered!(data_type, T => T::DATA_TYPE).is_some()
}

/// Of all values; `None` for a type whose order is Arrow's.
pub(super) fn accumulator(data_type: &DataType, greatest: bool) -> Option<Box<dyn Accumulator>> {
    with_ordered!(data_type, T => Box::new(One::<T> { best: None, data_type: data_type.clone(), greatest }) as Box<dyn Accumulator>)
}

/// Of a window's values.
pub(super) fn sliding(data_type: &DataType, greatest: bool) -> Option<Box<dyn Accumulator>> {
    with_ordered!(data_type, T => {
        let candidates = VecDeque::new();
        Box::new(Sliding::<T> { candidates, first: 0, next: 0, data_type: data_type.clone(), greatest }) as Box<dyn Accumulator>
    })
}

/// Of each group's values.
pub(super) fn groups(data_type: &DataType, greatest: bool) -> Option<Box<dyn GroupsAccumulator>> {
    with_ordered!(data_type, T => Box::new(Groups::<T> { best: vec![], data_type: data_type.clone(), greatest }) as Box<dyn GroupsAccumulator>)
}

fn is_better<T: Ordered>(greatest: bool, new: Native<T>, old: Native<T>) -> bool {
    if greatest { T::is_less(old, new) } else { T::is_less(new, old) }
}

fn improve<T: Ordered>(best: &mut Option<Native<T>>, greatest: bool, new: Native<T>) {
    if best.is_none_or(|old| is_better::<T>(greatest, new, old)) {
        *best = Some(new);
    }
}

fn array<T: Ordered>(values: Vec<Option<Native<T>>>, data_type: &DataType) -> ArrayRef {
    Arc::new(values.into_iter().collect::<PrimitiveArray<T>>().with_data_type(data_type.clone()))
}

fn scalar<T: Ordered>(value: Option<Native<T>>, data_type: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&array::<T>(vec![value], data_type), 0)
}

#[derive(Debug)]
struct One<T: Ordered> {
    best: Option<Native<T>>,
    data_type: DataType,
    greatest: bool,
}

impl<T: Ordered> Accumulator for One<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            improve::<T>(&mut self.best, self.greatest, value);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar::<T>(self.best, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The values that are the best of the window, or will be once those before have left it.
#[derive(Debug)]
struct Sliding<T: Ordered> {
    /// With the number each was added as; each is better than those behind it.
    candidates: VecDeque<(u64, Native<T>)>,
    /// Numbers of the first value in the window and of the next to come.
    first: u64,
    next: u64,
    data_type: DataType,
    greatest: bool,
}

impl<T: Ordered> Accumulator for Sliding<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            while self.candidates.back().is_some_and(|(_, last)| is_better::<T>(self.greatest, value, *last)) {
                self.candidates.pop_back();
            }
            self.candidates.push_back((self.next, value));
            self.next += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.first += (values[0].len() - values[0].null_count()) as u64;
        while self.candidates.front().is_some_and(|(number, _)| *number < self.first) {
            self.candidates.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar::<T>(self.candidates.front().map(|(_, value)| *value), &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.candidates.capacity() * size_of::<(u64, Native<T>)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

struct Groups<T: Ordered> {
    best: Vec<Option<Native<T>>>,
    data_type: DataType,
    greatest: bool,
}

impl<T: Ordered> GroupsAccumulator for Groups<T> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.best.resize(total, None);
        for (row, (group, value)) in groups.iter().zip(values[0].as_primitive::<T>()).enumerate() {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, counts) {
                improve::<T>(&mut self.best[*group], self.greatest, value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(array::<T>(emit_to.take_needed(&mut self.best), &self.data_type))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(super::grouped::filtered(values[0].as_primitive::<T>(), filter))])
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<Native<T>>>()
    }
}
