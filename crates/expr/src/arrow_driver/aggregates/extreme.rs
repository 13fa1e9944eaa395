//! `min` and `max`: DataFusion's, but what comes out keeps the SQL type of what goes in (the least of `char(5)` is a `char(5)`), and
//! types with an order of their own are compared by it (`ordered`).

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};

use super::ordered;
use crate::arrow_driver::read::is_open;

/// See the module's head.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    inner: Arc<AggregateUDF>,
    greatest: bool,
}

impl Extreme {
    pub(super) fn min() -> Extreme {
        Extreme { inner: min_udaf(), greatest: false }
    }

    pub(super) fn max() -> Extreme {
        Extreme { inner: max_udaf(), greatest: true }
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let plain = self.inner.return_field(arg_fields)?;
        match arg_fields.first() {
            Some(field) if field.data_type() == plain.data_type() => {
                Ok(Arc::new(plain.as_ref().clone().with_metadata(field.metadata().clone())))
            }
            _ => Ok(plain),
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [open] if is_open(open) => Ok(vec![DataType::Utf8View]),
            types => self.inner.coerce_types(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match ordered::accumulator(args.expr_fields[0].data_type(), self.greatest) {
            Some(found) => Ok(found),
            None => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        ordered::is_ordered(args.expr_fields[0].data_type()) || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match ordered::groups(args.expr_fields[0].data_type(), self.greatest) {
            Some(found) => Ok(found),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match ordered::sliding(args.expr_fields[0].data_type(), self.greatest) {
            Some(found) => Ok(found),
            None => self.inner.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_udf()
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}
