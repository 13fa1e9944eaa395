//! A sum or an average without groups, and over a window.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::{Addend, Finish, FromSum, Kind};
use crate::arrow_driver::raise;

type Native<T> = <T as ArrowPrimitiveType>::Native;

/// State: the sum, and for an average how many values it is of.
pub(super) struct Single<A: Addend> {
    sum: Native<A::Sum>,
    count: u64,
    sum_type: DataType,
    finish: Finish,
    addend: PhantomData<A>,
}

impl<A: Addend> Single<A> {
    pub(super) fn new(sum_type: DataType, finish: Finish) -> Single<A> {
        Single { sum: Native::<A::Sum>::default(), count: 0, sum_type, finish, addend: PhantomData }
    }

    /// Adds values one by one.
    pub(super) fn add_all(&mut self, values: impl Iterator<Item = Native<A::Value>>) -> Result<()> {
        for value in values {
            self.count += 1;
            if !A::add(&mut self.sum, A::widen(value)) {
                return Err(raise(A::overflow()));
            }
        }
        Ok(())
    }
}

impl<A: Addend> std::fmt::Debug for Single<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single").field("finish", &self.finish).finish_non_exhaustive()
    }
}

impl<A: Addend> Accumulator for Single<A>
where
    A::Sum: FromSum,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<A::Value>();
        self.count += (values.len() - values.null_count()) as u64;
        let mut fits = true;
        let sum = &mut self.sum;
        if values.null_count() == 0 {
            values.values().iter().for_each(|v| fits &= A::add(sum, A::widen(*v)));
        } else {
            values.iter().flatten().for_each(|v| fits &= A::add(sum, A::widen(v)));
        }
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.count {
            0 => ScalarValue::try_from(&self.finish.result),
            count => A::Sum::scalar(&self.finish, self.sum, count),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let value = (self.count > 0).then_some(self.sum);
        let array: ArrayRef = Arc::new(PrimitiveArray::<A::Sum>::from_iter([value]).with_data_type(self.sum_type.clone()));
        let sum = ScalarValue::try_from_array(&array, 0)?;
        Ok(match self.finish.kind {
            Kind::Sum => vec![sum],
            Kind::Avg => vec![sum, ScalarValue::UInt64(Some(self.count))],
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = states[0].as_primitive::<A::Sum>();
        let mut fits = true;
        sums.iter().flatten().for_each(|v| fits &= A::add(&mut self.sum, v));
        // A sum that is there is of at least one value.
        self.count += match states.get(1) {
            Some(counts) => counts.as_primitive::<UInt64Type>().iter().flatten().sum::<u64>(),
            None => (sums.len() - sums.null_count()) as u64,
        };
        if fits { Ok(()) } else { Err(raise(A::overflow())) }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<A::Value>();
        self.count -= (values.len() - values.null_count()) as u64;
        values.iter().flatten().for_each(|v| A::subtract(&mut self.sum, A::widen(v)));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
