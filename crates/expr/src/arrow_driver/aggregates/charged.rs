//! `string_agg` and `array_agg` of DataFusion's, charged to memory for what they hold and for what giving it away takes.
//!
//! 1. The values of a text column refer to buffers beside them, which DataFusion leaves out when it counts an array of them: they are
//!    kept as texts in one piece.
//! 2. The result is put together beside what it is made of, and then copied once more into its type. Whoever has no room for that has
//!    to be told before.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use types::{SqlError, SqlType, arrow_form};

use crate::arrow_driver::read::is_open;
use crate::arrow_driver::{raise, undefined};

/// What is held, the result, and the result in its type.
const COPIES: usize = 3;

/// One of DataFusion's aggregates that keep their input.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Charged {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Charged {
    fn new(inner: Arc<AggregateUDF>) -> Charged {
        let signature = match inner.name() {
            // It casts whatever it gets to text, bytes too.
            "string_agg" => Signature::user_defined(Volatility::Immutable),
            _ => inner.signature().clone(),
        };
        Charged { inner, signature }
    }

    pub(super) fn udaf(inner: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(Charged::new(inner)))
    }
}

/// The fields of the arguments, the first as it is kept.
fn kept(fields: &[FieldRef]) -> Vec<FieldRef> {
    let mut fields = fields.to_vec();
    if let Some(first) = fields.first_mut().filter(|field| *field.data_type() == DataType::Utf8View) {
        *first = Arc::new(first.as_ref().clone().with_data_type(DataType::LargeUtf8));
    }
    fields
}

fn kept_values(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let mut values = values.to_vec();
    if let Some(first) = values.first_mut().filter(|first| *first.data_type() == DataType::Utf8View) {
        *first = cast(first, &DataType::LargeUtf8)?;
    }
    Ok(values)
}

impl AggregateUDFImpl for Charged {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let types: Vec<_> = args.iter().map(|t| arrow_form::sql_type(t).filter(|_| !is_open(t))).collect();
        let is_text = |t: &DataType| {
            is_open(t) || matches!(arrow_form::sql_type(t), Some(SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_)))
        };
        match args {
            [value, delimiter] if is_text(value) && is_text(delimiter) => Ok(vec![DataType::Utf8View, DataType::Utf8View]),
            [value, _] if arrow_form::sql_type(value) == Some(SqlType::Bytea) => {
                Err(raise(SqlError::unsupported("string_agg of bytea is not supported")))
            }
            _ => Err(raise(undefined(self.name(), &types))),
        }
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let fields = kept(args.input_fields);
        self.inner.state_fields(StateFieldsArgs { input_fields: &fields, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let (fields, result) = (kept(args.expr_fields), args.return_field.data_type().clone());
        let inner = self.inner.accumulator(AccumulatorArgs { expr_fields: &fields, ..args })?;
        Ok(Box::new(Kept { inner, result }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let (fields, result) = (kept(args.expr_fields), args.return_field.data_type().clone());
        let inner = self.inner.create_groups_accumulator(AccumulatorArgs { expr_fields: &fields, ..args })?;
        Ok(Box::new(KeptGroups { inner, result }))
    }

    fn with_beneficial_ordering(self: Arc<Self>, beneficial_ordering: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(beneficial_ordering)?;
        Ok(inner.map(|inner| Arc::new(Charged::new(Arc::new(inner))) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner) => ReversedUDAF::Reversed(Charged::udaf(inner)),
            other => other,
        }
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

#[derive(Debug)]
struct Kept {
    inner: Box<dyn Accumulator>,
    result: DataType,
}

impl Accumulator for Kept {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&kept_values(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&kept_values(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        if value.data_type() == self.result { Ok(value) } else { value.cast_to(&self.result) }
    }

    fn size(&self) -> usize {
        size_of_val(self) + COPIES * self.inner.size()
    }
}

struct KeptGroups {
    inner: Box<dyn GroupsAccumulator>,
    result: DataType,
}

impl GroupsAccumulator for KeptGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(&kept_values(values)?, group_indices, filter, total_num_groups)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.inner.merge_batch(states, group_indices, total_num_groups)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.inner.evaluate(emit_to)?;
        if *values.data_type() == self.result { Ok(values) } else { Ok(cast(&values, &self.result)?) }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&kept_values(values)?, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + COPIES * self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion::functions_aggregate::array_agg::array_agg_udaf;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    const TEXTS: usize = 100;
    const BYTES: usize = 1000;

    /// `array_agg` of a text column was charged for 16 bytes a value, whatever its length.
    #[test]
    fn texts_are_charged_for() {
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(vec!["x".repeat(BYTES); TEXTS]));
        let schema = Schema::new(vec![Field::new("t", DataType::Utf8View, true)]);
        let field = Arc::new(schema.field(0).clone());
        let charged = Charged::udaf(array_agg_udaf());
        let result = Arc::new(Field::new("a", charged.return_type(&[DataType::Utf8View]).unwrap(), true));
        let exprs = [col("t", &schema).unwrap()];
        let args = || AccumulatorArgs {
            return_field: Arc::clone(&result),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "array_agg",
            is_distinct: false,
            exprs: &exprs,
            expr_fields: std::slice::from_ref(&field),
        };

        let mut all = charged.accumulator(args()).unwrap();
        all.update_batch(&[Arc::clone(&texts)]).unwrap();
        assert!(all.size() >= COPIES * TEXTS * BYTES, "{}", all.size());
        let value = all.evaluate().unwrap();
        assert_eq!(value.data_type(), *result.data_type());

        let mut groups = charged.create_groups_accumulator(args()).unwrap();
        let of: Vec<usize> = (0..TEXTS).map(|at| at % 2).collect();
        groups.update_batch(&[texts], &of, None, 2).unwrap();
        assert!(groups.size() >= COPIES * TEXTS * BYTES, "{}", groups.size());
        let arrays = groups.evaluate(EmitTo::All).unwrap();
        assert_eq!(arrays.data_type(), result.data_type());
        assert_eq!(arrays.as_list::<i32>().value(1).len(), TEXTS / 2);
    }
}
