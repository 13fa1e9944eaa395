//! Single values between SQL and DataFusion.

use datafusion::scalar::ScalarValue;
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, SqlType};

/// The value as DataFusion's; it must be of type `t` or NULL.
pub fn scalar(value: &Datum, t: SqlType) -> ScalarValue {
    let mut column = ColumnBuilder::new(t, 1);
    column.append(value.as_ref());
    ScalarValue::try_from_array(&column.finish(), 0).expect("an array of one value of a type of SQL has a first value")
}

/// DataFusion's value as a value of type `t`; `None` if it is of another kind.
pub fn datum(value: &ScalarValue, t: SqlType) -> Option<Datum> {
    let found = arrow_form::sql_type(&value.data_type())?;
    let same = found == t || (found.is_string() && t.is_string());
    if value.is_null() {
        return Some(Datum::Null);
    }
    match (same, found, t) {
        (true, ..) | (_, SqlType::Numeric { .. }, SqlType::Numeric { .. }) => {}
        _ => return None,
    }
    let array = value.to_array().ok()?;
    Some(arrow_form::datum_at(&array, 0, found))
}
