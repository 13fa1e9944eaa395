//! Which Arrow type a type's name in SQL stands for. The SQL type stays in the field's metadata, so that `varchar(10)` is not lost.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::DataType;
use types::{SqlError, SqlState, SqlType, arrow_form};

use super::raise;

/// What `char` of any length is called by whoever rewrites a query: no user's name.
pub const CHAR_OF_ANY_LENGTH: &str = "\u{1}char";

/// DataFusion's question, answered by [`sql_type`].
#[derive(Debug)]
pub(super) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, data_type: &DataType) -> Result<Option<FieldRef>> {
        if matches!(data_type, DataType::Array(_)) {
            return Ok(None);
        }
        let t = sql_type(data_type).map_err(raise)?;
        Ok(Some(Arc::new(arrow_form::field("", t, true))))
    }
}

/// The SQL type a name in a query means. Errors: 42704 for a name of no type here, 22023 for a length there is not.
pub fn sql_type(data_type: &DataType) -> std::result::Result<SqlType, SqlError> {
    let name = data_type.to_string();
    let plain = name.replace('"', "");
    let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain);
    if plain == CHAR_OF_ANY_LENGTH {
        return Ok(SqlType::Char(0));
    }
    if let Some(t) = SqlType::from_name(plain) {
        return Ok(t);
    }
    if let Some(error) = SqlType::length_error(plain) {
        return Err(error);
    }
    // Types of the catalog that are a text or a number to everybody else.
    match plain.to_ascii_lowercase().as_str() {
        "oid" | "xid" | "cid" | "regproc" | "regclass" | "regtype" => Ok(SqlType::Int8),
        "cstring" | "unknown" | "string" | "aclitem" | "pg_node_tree" => Ok(SqlType::Text),
        _ => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{plain}\" does not exist"))),
    }
}
