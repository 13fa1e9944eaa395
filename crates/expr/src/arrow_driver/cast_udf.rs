//! Casts: Arrow's where they are PostgreSQL's, else a function with our kernel.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, SqlError, SqlType};

use super::read::Reader;
use super::udf::{digest, is_long, now_of, session};
use super::{raise, values, vector};
use crate::cast;

/// `CAST(.. AS to)` as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CastUdf {
    to: SqlType,
    name: String,
    signature: Signature,
}

impl CastUdf {
    /// The function that casts to `to`. What it makes of a text depends on the session's clock and zone for dates.
    fn new(to: SqlType) -> CastUdf {
        let volatility = match to {
            SqlType::TimestampTz | SqlType::Timestamp | SqlType::Date | SqlType::Time | SqlType::Text => Volatility::Stable,
            _ => Volatility::Immutable,
        };
        CastUdf { to, name: format!("cast to {to}"), signature: Signature::any(1, volatility) }
    }

    pub(super) fn target(&self) -> SqlType {
        self.to
    }
}

/// `expr` cast to `to`, in the form that has PostgreSQL's meaning. `from` is `None` for a string constant or NULL.
pub(super) fn cast_expr(expr: Expr, to: SqlType) -> Expr {
    ScalarUDF::from(CastUdf::new(to)).call(vec![expr])
}

/// True where Arrow's cast does what ours does.
pub(super) fn is_arrows(from: &DataType, to: SqlType) -> bool {
    let target = arrow_form::data_type(to);
    if matches!(to, SqlType::Varchar(_) | SqlType::Char(_)) {
        return false;
    }
    match (from, &target) {
        (from, target) if from == target => true,
        (DataType::Null, _) => true,
        (DataType::Int16, DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64)
        | (DataType::Int32, DataType::Int64 | DataType::Float64)
        | (DataType::Float32, DataType::Float64)
        | (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::Decimal128(..))
        | (DataType::Decimal128(..), DataType::Decimal128(..)) => true,
        // Unsigned integers are DataFusion's own: of positions and counts.
        (DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64, _) => true,
        (DataType::Utf8 | DataType::LargeUtf8, DataType::Utf8View) => true,
        (DataType::Binary | DataType::LargeBinary, DataType::BinaryView) => true,
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(_)) => true,
        (DataType::Interval(_) | DataType::Duration(_), DataType::Interval(_)) => true,
        (DataType::Dictionary(..) | DataType::List(_) | DataType::LargeList(_), _) => true,
        _ => false,
    }
}

impl ScalarUDFImpl for CastUdf {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if is_long(args) {
            return Ok(digest(&format!("CAST AS {}", self.to), args));
        }
        let shown = args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default();
        Ok(format!("CAST({shown} AS {})", self.to))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(arrow_form::data_type(self.to))
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(arrow_form::field(&self.name, self.to, true)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    /// A constant is cast when the query is planned: `'now'` needs the transaction's time.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let [Expr::Literal(value, _)] = args.as_slice()
            && let Some(from) = arrow_form::sql_type(&value.data_type())
            && let Some(datum) = values::datum(value, from)
            && let Ok(done) = cast::cast(datum.as_ref(), self.to, &session(info.config_options(), now_of(info))?)
        {
            // That it is a char is in its field alone.
            let field = matches!(self.to, SqlType::Char(_)).then(|| FieldMetadata::from(&arrow_form::field("", self.to, true)));
            return Ok(ExprSimplifyResult::Simplified(Expr::Literal(values::scalar(&done, self.to), field)));
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(arg) = args.args.first() else { return Err(raise(SqlError::bug("a cast of nothing"))) };
        let session = session(&args.config_options, None)?;
        match arg {
            ColumnarValue::Scalar(value) => {
                let from = arrow_form::sql_type(&value.data_type()).unwrap_or(SqlType::Text);
                let datum = values::datum(value, from).unwrap_or(Datum::Null);
                let trimmed = without_blanks(datum, args.arg_fields.first(), self.to);
                let done = cast::cast(trimmed.as_ref(), self.to, &session).map_err(raise)?;
                Ok(ColumnarValue::Scalar(values::scalar(&done, self.to)))
            }
            ColumnarValue::Array(array) => {
                let field = args.arg_fields.first();
                let from =
                    field.and_then(|field| arrow_form::sql_type_of(field)).or_else(|| arrow_form::sql_type(array.data_type()));
                let from = from.ok_or_else(|| raise(SqlError::bug(format!("a cast of {}", array.data_type()))))?;
                let canonical = arrow_form::data_type(from);
                let array =
                    if *array.data_type() == canonical { Arc::clone(array) } else { arrow::compute::cast(array, &canonical)? };
                if let Some(found) = vector::cast(&array, from, self.to) {
                    return found.map(ColumnarValue::Array);
                }
                let wanted =
                    if matches!(from, SqlType::Char(_)) && !matches!(self.to, SqlType::Char(_)) { SqlType::Text } else { from };
                let reader = Reader::new(&array, wanted, Some(from)).map_err(raise)?;
                let mut builder = ColumnBuilder::new(self.to, array.len());
                for row in 0..array.len() {
                    builder.append(cast::cast(reader.get(row), self.to, &session).map_err(raise)?.as_ref());
                }
                Ok(ColumnarValue::Array(builder.finish()))
            }
        }
    }
}

/// `char(n)` as anything but `char` is without its blanks.
fn without_blanks(datum: Datum, field: Option<&FieldRef>, to: SqlType) -> Datum {
    let is_char = field.and_then(|field| arrow_form::sql_type_of(field)).is_some_and(|t| matches!(t, SqlType::Char(_)));
    match datum {
        Datum::Text(v) if is_char && !matches!(to, SqlType::Char(_)) => Datum::Text(v.trim_end_matches(' ').into()),
        other => other,
    }
}

/// A CASE that gives `char`, with a field that says so.
pub(super) fn known_as(case: Expr, t: SqlType) -> Expr {
    if matches!(t, SqlType::Char(_)) { cast_expr(case, t) } else { case }
}

/// The constant an open literal is as a value of type `to`, if it is one.
pub(super) fn literal(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) => Some(text),
        _ => None,
    }
}
