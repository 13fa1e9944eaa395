//! VALUES whose numbers are written differently.
//!
//! DataFusion wants one type for each column; `(1), (2.5)` has two. Numbers get the type that all of their column fit.

use datafusion::sql::sqlparser::ast::{DataType, ExactNumberInfo, Expr, UnaryOperator, Value, ValueWithSpan, Values};
use expr::syntax;

/// Digits before and behind the point.
type Digits = (usize, usize);

/// Casts the numbers of each column that has different ones to the type that all of them fit.
pub(super) fn unify(values: &mut Values) {
    let columns = values.rows.iter().map(|row| row.content.len()).max().unwrap_or(0);
    for column in 0..columns {
        let numbers = || values.rows.iter().filter_map(|row| digits(row.content.get(column)?));
        let Some(first) = numbers().next() else { continue };
        let (before, behind) = numbers().fold((0, 0), |(a, b), (before, behind)| (before.max(a), behind.max(b)));
        // Up to nine digits are int4; of ten, some are int4 and some bigint.
        let is_mixed = if behind == 0 { before > 9 } else { numbers().any(|other| other != first) };
        if !is_mixed || before + behind > 38 {
            continue;
        }
        let data_type = match behind {
            0 if before > 18 => DataType::Numeric(ExactNumberInfo::PrecisionAndScale(before as u64, 0)),
            0 => DataType::BigInt(None),
            _ => DataType::Numeric(ExactNumberInfo::PrecisionAndScale((before + behind) as u64, behind as i64)),
        };
        for item in values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)) {
            if digits(item).is_some() {
                let number = std::mem::replace(item, Expr::value(Value::Null));
                *item = syntax::cast(number, data_type.clone());
            }
        }
    }
}

/// Of a number with or without a sign, not in scientific notation.
fn digits(expr: &Expr) -> Option<Digits> {
    let text = match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => text,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => return digits(expr),
        _ => return None,
    };
    let (before, behind) = text.split_once('.').unwrap_or((text, ""));
    (before.bytes().chain(behind.bytes()).all(|b| b.is_ascii_digit())).then_some((before.len().max(1), behind.len()))
}
