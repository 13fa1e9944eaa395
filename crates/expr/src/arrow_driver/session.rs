//! Functions that answer something about the session.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use types::{SqlType, arrow_form};

/// The function `name` for a session of `user` in `database`; `None` for a name of no such function.
pub(super) fn function(name: &str, user: &str, database: &str) -> Option<Arc<ScalarUDF>> {
    let answer = match name {
        "current_user" | "session_user" | "user" | "current_role" => user,
        "current_database" | "current_catalog" => database,
        "pg_typeof" => return Some(Arc::new(ScalarUDF::from(TypeOf { signature: Signature::any(1, Volatility::Immutable) }))),
        _ => return None,
    };
    let constant =
        Constant { name: name.to_owned(), answer: answer.to_owned(), signature: Signature::nullary(Volatility::Stable) };
    Some(Arc::new(ScalarUDF::from(constant)))
}

/// A function without arguments that gives a text.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: String,
    answer: String,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(self.answer.clone()))))
    }
}

/// `pg_typeof(x)`: the name of x's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(arrow_form::field("pg_typeof", SqlType::Text, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = match args.arg_fields.first() {
            Some(field) if super::read::is_open(field.data_type()) => "unknown".to_owned(),
            Some(field) => match arrow_form::sql_type_of(field) {
                Some(t) => t.base_name().to_string(),
                None => field.data_type().to_string(),
            },
            None => "unknown".to_owned(),
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(name))))
    }
}
