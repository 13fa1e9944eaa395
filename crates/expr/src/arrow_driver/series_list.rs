//! `generate_series` of what is known only when it runs (`now()`, a parameter): as an array that is then unnested, where the one of constants
//! makes its rows as they are read.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use types::{SqlError, SqlState, arrow_form};

use super::read::is_open;
use super::series::{Series, series_type};
use super::udf::session;
use super::{raise, undefined, values};
use crate::function::Arg;

/// Values of one array: 8 MB of timestamps, twice while it is put together, which nobody counts.
const VALUES_MAX: usize = 1_000_000;

/// No user's name.
const NAME: &str = "\u{1}series_list";

/// The function from the arguments of a series to the array of its values.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(SeriesList { signature: Signature::variadic_any(Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SeriesList {
    signature: Signature,
}

fn args_of(fields: &[FieldRef]) -> Vec<Arg> {
    fields.iter().map(|field| arrow_form::sql_type_of(field).filter(|_| !is_open(field.data_type()))).collect()
}

impl ScalarUDFImpl for SeriesList {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(raise(SqlError::bug("the type of a series depends on the SQL types of its arguments")))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args_of(args.arg_fields);
        let t = series_type(&types).ok_or_else(|| raise(undefined("generate_series", &types)))?;
        let item = Arc::new(arrow_form::field(Field::LIST_FIELD_DEFAULT_NAME, t, true));
        Ok(Arc::new(Field::new(NAME, DataType::List(item), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = session(&args.config_options, None)?;
        let types = args_of(&args.arg_fields);
        let DataType::List(item) = args.return_field.data_type() else {
            return Err(raise(SqlError::bug("a series that is no array")));
        };
        let series_of = |row: usize| -> Result<Vec<ArrayRef>> {
            let values = args.args.iter().map(|arg| match arg {
                ColumnarValue::Scalar(value) => Ok(value.clone()),
                ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
            });
            let values = values.collect::<Result<Vec<_>>>()?;
            let data = values.iter().zip(&types).map(|(value, t)| {
                let found = arrow_form::sql_type(&value.data_type());
                (found.and_then(|t| values::datum(value, t)).unwrap_or(types::Datum::Null), *t)
            });
            all(&Series::of(&data.collect::<Vec<_>>(), &session).map_err(raise)?)
        };
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let all_series = (0..rows).map(series_of).collect::<Result<Vec<_>>>()?;
        let offsets = OffsetBuffer::from_lengths(all_series.iter().map(|parts| parts.iter().map(Array::len).sum()));
        let none = arrow::array::new_empty_array(item.data_type());
        let values = concat(&all_series.iter().flatten().chain([&none]).map(AsRef::as_ref).collect::<Vec<_>>())?;
        let lists = Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?);
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::List(lists)) } else { ColumnarValue::Array(lists) })
    }
}

/// All values, in parts. Errors: 54000 for too many.
fn all(series: &Series) -> Result<Vec<ArrayRef>> {
    let (mut parts, mut at, mut rows) = (vec![], series.start.clone(), 0);
    while let Some((batch, next)) = series.batch(at) {
        rows += batch.num_rows();
        if rows > VALUES_MAX {
            let message = format!("generate_series of more than {VALUES_MAX} values");
            return Err(raise(
                SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                    .hint("One whose arguments are constants has no such limit."),
            ));
        }
        parts.push(Arc::clone(batch.column(0)));
        at = next;
    }
    Ok(parts)
}
