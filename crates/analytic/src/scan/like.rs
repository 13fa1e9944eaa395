//! `LIKE '%one%two%'` without a regular expression: each part is looked for behind the one before.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{LikeExpr, Literal};
use memchr::memmem::Finder;

/// Whether strings have some parts in this order.
#[derive(Clone)]
pub(super) struct HasParts {
    string: Arc<dyn PhysicalExpr>,
    negated: bool,
    pattern: String,
    parts: Vec<Finder<'static>>,
}

impl HasParts {
    /// The condition with such patterns in it looked for in this way.
    pub(super) fn within(condition: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        condition
            .transform_up(|expr| {
                let found = expr.downcast_ref::<LikeExpr>().and_then(|like| HasParts::of(like, schema));
                Ok(found.map_or_else(|| Transformed::no(expr), |found| Transformed::yes(Arc::new(found) as _)))
            })
            .data()
    }

    fn of(like: &LikeExpr, schema: &Schema) -> Option<HasParts> {
        let pattern = match like.pattern().downcast_ref::<Literal>()?.value() {
            ScalarValue::Utf8(Some(v)) | ScalarValue::Utf8View(Some(v)) | ScalarValue::LargeUtf8(Some(v)) => v,
            _ => return None,
        };
        let is_view = like.expr().data_type(schema).ok()? == DataType::Utf8View;
        let inner = pattern.strip_prefix('%')?.strip_suffix('%')?;
        if like.case_insensitive() || !is_view || inner.contains(['_', '\\']) {
            return None;
        }
        let parts: Vec<Finder<'static>> =
            inner.split('%').filter(|part| !part.is_empty()).map(|part| Finder::new(part.as_bytes()).into_owned()).collect();
        // One part is Arrow's own.
        (parts.len() > 1).then(|| HasParts {
            string: Arc::clone(like.expr()),
            negated: like.negated(),
            pattern: pattern.clone(),
            parts,
        })
    }

    fn is_in(&self, string: &[u8]) -> bool {
        let mut rest = string;
        self.parts.iter().all(|part| match part.find(rest) {
            Some(at) => {
                rest = &rest[at + part.needle().len()..];
                true
            }
            None => false,
        })
    }
}

impl fmt::Debug for HasParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HasParts({self})")
    }
}

impl fmt::Display for HasParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "NOT " } else { "" };
        write!(f, "{} {not}LIKE {}", self.string, self.pattern)
    }
}

impl PartialEq for HasParts {
    fn eq(&self, other: &HasParts) -> bool {
        self.string.eq(&other.string) && self.negated == other.negated && self.pattern == other.pattern
    }
}

impl Eq for HasParts {}

impl Hash for HasParts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.string.hash(state);
        self.negated.hash(state);
        self.pattern.hash(state);
    }
}

impl PhysicalExpr for HasParts {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.string.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let strings = self.string.evaluate(batch)?.into_array(batch.num_rows())?;
        let strings = strings.as_string_view();
        let found = BooleanBuffer::collect_bool(strings.len(), |row| {
            // Of a NULL it does not matter.
            self.is_in(strings.value(row).as_bytes()) != self.negated
        });
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(found, strings.nulls().cloned()))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.string]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let string = children.pop().unwrap_or_else(|| Arc::clone(&self.string));
        Ok(Arc::new(HasParts { string, ..(*self).clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{col, like, lit};

    use super::*;

    #[test]
    fn parts_are_found_as_the_pattern_says() {
        let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8View, true)]));
        let strings =
            [Some("special requests"), Some("requests special"), Some("aXaXa"), Some("ab"), Some("aab"), Some(""), None];
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringViewArray::from(strings.to_vec()))]).unwrap();
        for pattern in ["%special%requests%", "%a%a%", "%a%ab%", "%aa%b%", "%X%X%", "%a%%b%"] {
            for negated in [false, true] {
                let pattern = lit(ScalarValue::Utf8View(Some(pattern.into())));
                let plain = like(negated, false, col("s", &schema).unwrap(), pattern, &schema).unwrap();
                let found = HasParts::within(Arc::clone(&plain), &schema).unwrap();
                assert!(found.is::<HasParts>(), "{plain}");
                let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch).unwrap().into_array(strings.len()).unwrap();
                assert_eq!(&evaluate(&found), &evaluate(&plain), "{plain}");
            }
        }
    }

    #[test]
    fn other_patterns_are_left_alone() {
        let schema = Schema::new(vec![Field::new("s", DataType::Utf8View, true)]);
        for pattern in ["%one%", "one%two%", "%one%two", "%on_%two%", "%100\\%%two%", "%", "%%", ""] {
            let pattern = lit(ScalarValue::Utf8View(Some(pattern.into())));
            let plain = like(false, false, col("s", &schema).unwrap(), pattern, &schema).unwrap();
            assert!(HasParts::within(plain, &schema).unwrap().is::<LikeExpr>());
        }
    }
}
