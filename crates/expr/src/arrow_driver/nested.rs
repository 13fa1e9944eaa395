//! Arrays as text, as PostgreSQL writes them: `{1,2,NULL,"a b"}`. No client is sent an array in another form.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use types::{DatumRef, arrow_form, text};

/// The expression's text, for arrays of types of SQL, nested or not.
pub(super) fn text_of(expr: Expr, data_type: &DataType) -> Option<Expr> {
    is_shown(data_type)
        .then(|| ScalarUDF::from(ArrayText { signature: Signature::any(1, Volatility::Immutable) }).call(vec![expr]))
}

fn is_shown(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_shown(item.data_type()) || arrow_form::sql_type(item.data_type()).is_some()
        }
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayText {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayText {
    fn name(&self) -> &str {
        "array_out"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let mut builder = StringViewBuilder::with_capacity(array.len());
        for row in 0..array.len() {
            if array.is_null(row) {
                builder.append_null();
            } else {
                let mut out = String::new();
                write_items(&items(&array, row), &mut out);
                builder.append_value(out);
            }
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

/// The array at a row of arrays.
fn items(array: &ArrayRef, row: usize) -> ArrayRef {
    match array.data_type() {
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        _ => array.as_list::<i32>().value(row),
    }
}

fn write_items(array: &ArrayRef, out: &mut String) {
    out.push('{');
    for row in 0..array.len() {
        if row > 0 {
            out.push(',');
        }
        if array.is_null(row) {
            out.push_str("NULL");
        } else if is_shown(array.data_type()) {
            write_items(&items(array, row), out);
        } else if let Some(t) = arrow_form::sql_type(array.data_type()) {
            let value = arrow_form::datum_at(array, row, t);
            let shown = text::to_string(value.as_ref());
            match value.as_ref() {
                DatumRef::Null => out.push_str("NULL"),
                _ => write_quoted(&shown, out),
            }
        }
    }
    out.push('}');
}

/// Quoted where it could be read as something else.
fn write_quoted(s: &str, out: &mut String) {
    let plain = !s.is_empty()
        && !s.eq_ignore_ascii_case("null")
        && !s.chars().any(|c| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace());
    if plain {
        out.push_str(s);
        return;
    }
    out.push('"');
    for c in s.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}
