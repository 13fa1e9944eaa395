//! `pg_sleep(seconds)`: waits without keeping a query thread, once for each row. A query that is stopped does not wait on.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use expr::syntax;
use types::SqlError;

use crate::{errors, names};

/// Some thirty years: the end of it will not be seen.
const SECONDS_MAX: f64 = 1e9;

/// The function. Its result is `void` in PostgreSQL and an empty text here, which is how clients show either.
pub(crate) fn function() -> Arc<ScalarUDF> {
    Arc::new(
        AsyncScalarUDF::new(Arc::new(Sleep { signature: Signature::exact(vec![DataType::Float64], Volatility::Volatile) }))
            .into_scalar_udf(),
    )
}

/// Gives the argument of a call the type it has none of yet: as a string constant or a parameter.
pub(crate) fn take_type(call: &mut Expr) {
    if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = call
        && names::last(name).is_some_and(|name| name == "pg_sleep")
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(seconds))] = list.args.as_mut_slice()
        && let Expr::Value(value) = seconds
        && let Value::SingleQuotedString(_) | Value::Placeholder(_) = &value.value
    {
        *seconds = syntax::cast(Expr::Value(value.clone()), ast::DataType::DoublePrecision);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(errors::raise(SqlError::bug("pg_sleep called as a function that does not wait")))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = match args.args.first() {
            Some(seconds) => seconds.to_array(args.number_rows)?,
            None => return self.invoke_with_args(args),
        };
        let mut slept: Vec<Option<&str>> = Vec::with_capacity(args.number_rows);
        for seconds in seconds.as_primitive::<Float64Type>() {
            // Neither a negative number nor NaN.
            if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
                tokio::time::sleep(Duration::from_secs_f64(seconds.min(SECONDS_MAX))).await;
            }
            slept.push(seconds.map(|_| ""));
        }
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from(slept)) as ArrayRef))
    }
}
