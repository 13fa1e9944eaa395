//! `sum(DISTINCT x)` and `avg(DISTINCT x)` where they could not be planned as a GROUP BY.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, ToByteSlice};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::{Addend, Finish, FromSum};
use crate::arrow_driver::raise;

/// State: a list of the values seen.
pub(super) struct Distinct<A: Addend> {
    /// Bytes of the values met: floats have no hash of their own.
    seen: HashSet<Box<[u8]>>,
    values: Vec<<A::Value as ArrowPrimitiveType>::Native>,
    of: DataType,
    finish: Finish,
    addend: PhantomData<A>,
}

impl<A: Addend> Distinct<A> {
    pub(super) fn new(of: DataType, finish: Finish) -> Distinct<A> {
        Distinct { seen: HashSet::new(), values: vec![], of, finish, addend: PhantomData }
    }
}

impl<A: Addend> std::fmt::Debug for Distinct<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Distinct").field("finish", &self.finish).finish_non_exhaustive()
    }
}

impl<A: Addend> Accumulator for Distinct<A>
where
    A::Sum: FromSum,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<A::Value>().iter().flatten() {
            if self.seen.insert(value.to_byte_slice().into()) {
                self.values.push(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values.is_empty() {
            return ScalarValue::try_from(&self.finish.result);
        }
        let mut sum = <A::Sum as ArrowPrimitiveType>::Native::default();
        if !self.values.iter().all(|v| A::add(&mut sum, A::widen(*v))) {
            return Err(raise(A::overflow()));
        }
        A::Sum::scalar(&self.finish, sum, self.values.len() as u64)
    }

    fn size(&self) -> usize {
        let value = size_of::<<A::Value as ArrowPrimitiveType>::Native>();
        size_of_val(self) + self.values.capacity() * value + self.seen.capacity() * (value + 2 * size_of::<usize>())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let array = PrimitiveArray::<A::Value>::from_iter_values(self.values.iter().copied()).with_data_type(self.of.clone());
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(array)).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }
}
