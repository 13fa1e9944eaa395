//! VALUES whose expressions are written differently.
//!
//! ```text
//! (1), (2.5), (NULL)         numeric(2,1), all of them
//! (1.5), ('2.75')            numeric(3,2)
//! (1::bigint), (2), ('3')    bigint
//! ```
//!
//! DataFusion wants one type for each column. Numbers among themselves get the digits that all of them fit; with constants in quotes,
//! NULLs and casts, everything is cast to the type PostgreSQL would choose. What other expressions are says the planner; of those with
//! columns of queries around it cannot. DataFusion has no subqueries there: such rows become a UNION ALL of SELECTs.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Ident, ObjectName, SelectItem, SetExpr, SetOperator, SetQuantifier, TypedString,
    UnaryOperator, Value, ValueWithSpan, Values, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::arrow_driver::{CHAR_OF_ANY_LENGTH, common_type, sql_type};
use expr::dialect::DIALECT;
use expr::syntax;
use types::{SqlError, SqlState, SqlType};

/// Digits before and behind the point.
type Digits = (usize, usize);

/// Casts what each column has to the type that all of it fits. Errors: 42804 if there is none, 42601 for rows of several lengths.
///
/// `type_of`: an expression's, if it can be told.
pub(super) fn unify(values: &mut Values, type_of: impl Fn(&Expr) -> Option<SqlType>) -> Result<(), SqlError> {
    let columns = values.rows.first().map_or(0, |row| row.content.len());
    if values.rows.iter().any(|row| row.content.len() != columns) {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
    }
    for column in 0..columns {
        let mut items: Vec<&mut Expr> = values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
        let Some(kinds) = items.iter().map(|item| kind(item, &type_of)).collect::<Option<Vec<Kind>>>() else { continue };
        let numbers = number_type(&items);
        if numbers.is_none() && kinds.iter().any(|kind| matches!(kind, Kind::Number)) {
            // More digits than there are: said by whoever plans them.
            continue;
        }
        let types: Vec<Option<SqlType>> = (kinds.iter())
            .map(|kind| match kind {
                Kind::Open => None,
                Kind::Number => numbers.as_ref().and_then(|numbers| sql_type(numbers).ok()),
                Kind::Cast(_, t) => Some(*t),
            })
            .collect();
        let is_open = kinds.iter().all(|kind| matches!(kind, Kind::Open));
        let same_cast = types.windows(2).all(|pair| pair[0] == pair[1]) && kinds.iter().all(|k| matches!(k, Kind::Cast(..)));
        if is_open || same_cast {
            continue;
        }
        let t = common_type("VALUES", &types)?;
        let cast = kinds.iter().find_map(|kind| match kind {
            Kind::Cast(data_type, of) if *of == t => Some(data_type.clone()),
            _ => None,
        });
        let all_numbers = kinds.iter().all(|kind| matches!(kind, Kind::Number));
        let to = cast.unwrap_or(match t {
            SqlType::Int4 => DataType::Int4(None),
            SqlType::Int8 => DataType::Int8(None),
            SqlType::Numeric { precision, scale } => {
                DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision.into(), scale.into()))
            }
            SqlType::Float8 => DataType::DoublePrecision,
            SqlType::Char(_) => DataType::Custom(ObjectName::from(Ident::with_quote('"', CHAR_OF_ANY_LENGTH)), vec![]),
            // Strings of several lengths.
            _ => DataType::Text,
        });
        // Integers of one type are typed as they are.
        if all_numbers && matches!(to, DataType::Int4(_)) {
            continue;
        }
        for item in &mut items {
            let value = std::mem::replace(&mut **item, Expr::value(Value::Null));
            **item = syntax::cast(value, to.clone());
        }
    }
    Ok(())
}

/// The rows as a UNION ALL of SELECTs, if one has a subquery.
pub(super) fn to_selects(values: &Values) -> Result<Option<SetExpr>, SqlError> {
    let is_subquery = |expr: &Expr| matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. });
    let has_subquery =
        visit_expressions(values, |expr| if is_subquery(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    if has_subquery.is_continue() {
        return Ok(None);
    }
    let mut arms = values.rows.iter().map(|row| select(&row.content)).collect::<Result<Vec<_>, _>>()?;
    // Halved again and again, so that many rows do not nest deeply.
    while arms.len() > 1 {
        let mut halves = arms.into_iter();
        let mut unions = Vec::new();
        while let Some(left) = halves.next() {
            unions.push(match halves.next() {
                None => left,
                Some(right) => SetExpr::SetOperation {
                    op: SetOperator::Union,
                    set_quantifier: SetQuantifier::All,
                    left: Box::new(left),
                    right: Box::new(right),
                },
            });
        }
        arms = unions;
    }
    Ok(arms.pop())
}

/// `SELECT e1 AS column1, e2 AS column2, ..`
fn select(exprs: &[Expr]) -> Result<SetExpr, SqlError> {
    // The parser knows how to fill in a select's many fields.
    let query = Parser::new(&DIALECT).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let query = query.map_err(|error| SqlError::bug(error.to_string()))?;
    let SetExpr::Select(mut select) = *query.body else { return Err(SqlError::bug("SELECT is not a select")) };
    let named = |(at, expr): (usize, &Expr)| SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: Ident::new(format!("column{}", at + 1)),
    };
    select.projection = exprs.iter().enumerate().map(named).collect();
    Ok(SetExpr::Select(select))
}

enum Kind {
    /// A constant in quotes, or NULL.
    Open,
    Number,
    Cast(DataType, SqlType),
}

/// `None`: it cannot be told here.
fn kind(expr: &Expr, type_of: &impl Fn(&Expr) -> Option<SqlType>) -> Option<Kind> {
    match expr {
        Expr::Nested(inner) => kind(inner, type_of),
        Expr::Value(ValueWithSpan { value: Value::Boolean(_), .. }) => Some(Kind::Cast(DataType::Boolean, SqlType::Bool)),
        Expr::Value(ValueWithSpan { value, .. }) if !matches!(value, Value::Number(..)) => match value {
            Value::Null | Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) => Some(Kind::Open),
            _ => None,
        },
        Expr::TypedString(TypedString { data_type, .. })
        | Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, data_type, .. } => {
            sql_type(data_type).ok().map(|t| Kind::Cast(data_type.clone(), t))
        }
        expr if number(expr).is_some() => Some(Kind::Number),
        expr => type_of(expr).and_then(|t| Some(Kind::Cast(name_of(t)?, t))),
    }
}

/// A type as it is written; `None` for a char of any length.
fn name_of(t: SqlType) -> Option<DataType> {
    if t == SqlType::Char(0) {
        return None;
    }
    Parser::new(&DIALECT).try_with_sql(&t.to_string()).and_then(|mut parser| parser.parse_data_type()).ok()
}

/// The type that all numbers among these fit, if there are any, and one that has room for them. Beside one with a point, constants in
/// quotes are numbers too.
fn number_type(items: &[&mut Expr]) -> Option<DataType> {
    let numbers = || items.iter().filter_map(|item| number(item));
    let widest = |a: Digits, b: Digits| (a.0.max(b.0), a.1.max(b.1));
    let (mut before, mut behind) = numbers().map(digits).reduce(widest)?;
    if behind > 0 {
        (before, behind) = items.iter().filter_map(|item| quoted_number(item)).map(digits).fold((before, behind), widest);
    }
    let all_fit = |max: i64| numbers().all(|text| text.parse::<i64>().is_ok_and(|number| number <= max));
    Some(match behind {
        0 if all_fit(i32::MAX.into()) => DataType::Int4(None),
        0 if all_fit(i64::MAX) => DataType::Int8(None),
        _ if before + behind > 38 => return None,
        _ => DataType::Numeric(ExactNumberInfo::PrecisionAndScale((before + behind) as u64, behind as i64)),
    })
}

/// The text of a number with or without a sign, not in scientific notation, without its sign.
fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then_some(text)
        }
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => number(expr),
        _ => None,
    }
}

/// As [`number`], in quotes.
fn quoted_number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) => quoted_number(inner),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            let text = text.trim().trim_start_matches(['+', '-']);
            text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then_some(text)
        }
        _ => None,
    }
}

fn digits(number: &str) -> Digits {
    let (before, behind) = number.split_once('.').unwrap_or((number, ""));
    (before.len().max(1), behind.len())
}
