//! The value a key column is compared with, as the column's type.

use expr::row::RowExpr;
use types::{Datum, Decimal, RowRef, SqlError, SqlType, coerce};

/// An expression that has a value before the key's row is found, and the key column it is compared with. It reads the row of a join's
/// earlier tables, or none.
#[derive(Debug)]
pub(crate) struct KeyExpr {
    pub(crate) value: RowExpr,
    pub(crate) column: SqlType,
}

impl KeyExpr {
    /// If a comparison with this type can be done on the column's own encoding.
    pub(crate) fn new(value: RowExpr, column: SqlType) -> Option<KeyExpr> {
        let integer = |t| matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
        let text = |t| matches!(t, SqlType::Text | SqlType::Varchar(_));
        let numeric = |t| matches!(t, SqlType::Numeric { .. });
        let from = value.data_type;
        let fits = from == column
            || integer(from) && (integer(column) || numeric(column))
            || text(from) && text(column)
            || numeric(from) && numeric(column);
        fits.then_some(KeyExpr { value, column })
    }

    /// Appends the value as part of a key; false if no value of the column's type is equal to it. Errors: those of the expression.
    pub(crate) fn append_to(&self, key: &mut Vec<u8>, earlier: Option<RowRef<'_>>, params: &[Datum]) -> Result<bool, SqlError> {
        // A text is not copied first.
        let text = self.value.as_param().and_then(|at| params.get(at)).filter(|value| matches!(value, Datum::Text(_)));
        if let (Some(text), SqlType::Text | SqlType::Varchar(_)) = (text, self.column) {
            types::key::encode(text.as_ref(), self.column, key);
            return Ok(true);
        }
        let value = self.evaluate(earlier, params)?;
        if let Some(value) = &value {
            types::key::encode(value.as_ref(), self.column, key);
        }
        Ok(value.is_some())
    }

    /// The key's value; `None` if no value of the column's type is equal to it. Errors: those of the expression.
    pub(crate) fn evaluate(&self, earlier: Option<RowRef<'_>>, params: &[Datum]) -> Result<Option<Datum>, SqlError> {
        let value = self.value.evaluate(earlier, params)?;
        Ok(match (value, self.column) {
            (Datum::Null, _) => None,
            (Datum::Numeric(v), SqlType::Numeric { precision, scale }) => exactly(v, precision, scale).map(Datum::Numeric),
            (value @ Datum::Text(_), SqlType::Text | SqlType::Varchar(_)) => Some(value),
            // An integer beyond the column's range is equal to none of its values.
            (value, column) => coerce::assign(value, column).ok(),
        })
    }
}

/// The same number with `scale` digits behind the point, if it is one.
fn exactly(v: Decimal, precision: u8, scale: u8) -> Option<Decimal> {
    let unscaled = if v.scale <= scale {
        v.unscaled.checked_mul(10i128.checked_pow(u32::from(scale - v.scale))?)?
    } else {
        let divisor = 10i128.checked_pow(u32::from(v.scale - scale))?;
        if v.unscaled % divisor != 0 {
            return None;
        }
        v.unscaled / divisor
    };
    (unscaled.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(Decimal { unscaled, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_equal_number_becomes_a_key() {
        let decimal = |unscaled, scale| Decimal { unscaled, scale };
        let cases = [
            (decimal(15, 1), 10, 2, Some(decimal(150, 2))),
            (decimal(1500, 3), 10, 2, Some(decimal(150, 2))),
            (decimal(1505, 3), 10, 2, None),
            (decimal(1, 0), 3, 2, Some(decimal(100, 2))),
            (decimal(10, 0), 3, 2, None),
            (decimal(i128::MAX / 2, 0), 38, 16, None),
        ];
        for (value, precision, scale, expected) in cases {
            assert_eq!(exactly(value, precision, scale), expected, "{value:?} as numeric({precision},{scale})");
        }
    }
}
