//! Sums and averages of floats over a window: added up again for each frame, as PostgreSQL does, since taking a value back does not
//! undo adding it (1e20, NaN and infinities stay in the sum).

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::single::Single;
use super::{Addend, Finish, FromSum};

/// Keeps the frame's values.
pub(super) struct Recomputed<A: Addend> {
    values: VecDeque<<A::Value as arrow::array::ArrowPrimitiveType>::Native>,
    sum_type: arrow::datatypes::DataType,
    finish: Finish,
}

impl<A: Addend> Recomputed<A> {
    pub(super) fn new(sum_type: arrow::datatypes::DataType, finish: Finish) -> Recomputed<A> {
        Recomputed { values: VecDeque::new(), sum_type, finish }
    }

    fn sum(&self) -> Result<Single<A>>
    where
        A::Sum: FromSum,
    {
        let mut sum = Single::<A>::new(self.sum_type.clone(), self.finish.clone());
        sum.add_all(self.values.iter().copied())?;
        Ok(sum)
    }
}

impl<A: Addend> std::fmt::Debug for Recomputed<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recomputed").field("finish", &self.finish).finish_non_exhaustive()
    }
}

impl<A: Addend> Accumulator for Recomputed<A>
where
    A::Sum: FromSum,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<A::Value>().iter().flatten());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = values[0].len() - values[0].null_count();
        self.values.drain(..gone.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sum()?.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<<A::Value as arrow::array::ArrowPrimitiveType>::Native>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.sum()?.state()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(crate::arrow_driver::raise(types::SqlError::bug("a window's sum has no other part")))
    }
}
