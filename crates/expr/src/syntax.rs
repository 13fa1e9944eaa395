//! Expressions in one form: what PostgreSQL writes in special syntax becomes a function call or a cast, so that everything after
//! this knows functions, casts, operators and little else.
//!
//! ```text
//! 42, 4.2                        CAST(42 AS int4), numeric stays           EXTRACT(year FROM x)      "extract@year"(x)
//! -x                             "-"(x); -42 stays a number                DATE_TRUNC('month', x)    "date_trunc@month"(x)
//! INTERVAL '90' DAY              CAST('90 day' AS interval)                ROUND(x, 2)               "round@2"(x)
//! SUBSTRING(x FROM 1 FOR 2)      substring(x, 1, 2)                        x SIMILAR TO y            similar_to(x, y)
//! x BETWEEN SYMMETRIC ..         not read by the parser                    (a, b) = (1, 2)           a = 1 AND b = 2
//! date(x)                        CAST(x AS date)                           '{1,2}'::int[]            ARRAY['1'::int, '2'::int]
//! ```
//!
//! 1. An integer literal is `integer`, else `bigint`, else `numeric`: the first that holds it, with its sign.
//! 2. A constant that decides the type of a result (the digits of `round`, the field of `extract`) is part of the function's name,
//!    so that types do not depend on when constants are folded.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, ArrayElemTypeDef, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField,
    ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Subscript, TimezoneInfo, TrimWhereField, TypedString, UnaryOperator, Value, ValueWithSpan, VisitMut,
    VisitorMut, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use types::{Datum, Decimal, SqlError, SqlState, SqlType};

use crate::array_text;
use crate::functions::any;

/// Between a function's name and the constant that is part of it.
pub const SPECIAL: char = '@';

/// Names that are made up beside a statement's have this character in them: no identifier of a client may.
pub const OURS: char = '\u{1}';

/// Rewrites an expression and all in it, subqueries too.
pub fn normalize(expr: &mut Expr) -> Result<(), SqlError> {
    struct Visitor;
    impl VisitorMut for Visitor {
        type Break = SqlError;

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
            match rewrite(expr) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match VisitMut::visit(expr, &mut Visitor) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression whose parts have been rewritten. Errors: 0A000 for syntax nothing here stands for.
pub fn rewrite(expr: &mut Expr) -> Result<(), SqlError> {
    let taken = std::mem::replace(expr, Expr::value(Value::Null));
    *expr = rewritten(taken)?;
    Ok(())
}

fn rewritten(expr: Expr) -> Result<Expr, SqlError> {
    Ok(match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, long), span }) => number(that_fit(digits)?, long, span),
        Expr::Value(ValueWithSpan { value: Value::UnicodeStringLiteral(text), span }) => {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span })
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => negated(*expr),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => *expr,
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => call("~", vec![*expr]),
        Expr::UnaryOp { op: UnaryOperator::PGAbs, expr } => call("abs", vec![*expr]),
        Expr::UnaryOp { op: UnaryOperator::PGSquareRoot, expr } => call("sqrt", vec![*expr]),
        Expr::UnaryOp { op: UnaryOperator::PGCubeRoot, expr } => call("cbrt", vec![*expr]),
        Expr::Interval(interval) => interval_literal(interval)?,
        Expr::TypedString(TypedString { data_type, value, .. }) => {
            Expr::Cast { kind: CastKind::Cast, expr: Box::new(Expr::Value(value)), data_type, array: false, format: None }
        }
        Expr::Extract { field, expr, .. } => call(&format!("extract{SPECIAL}{}", field_name(&field)), vec![*expr]),
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => call("ceil", vec![*expr]),
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => call("floor", vec![*expr]),
        Expr::Ceil { .. } | Expr::Floor { .. } => return Err(SqlError::unsupported("CEIL and FLOOR take one argument")),
        Expr::Position { expr, r#in } => call("position", vec![*r#in, *expr]),
        Expr::Substring { expr, substring_from, substring_for, .. } => match (substring_from, substring_for) {
            (Some(from), Some(count)) => call("substring", vec![*expr, *from, *count]),
            (Some(from), None) => call("substring", vec![*expr, *from]),
            (None, Some(count)) => call("substring", vec![*expr, number("1".into(), false, Span::empty()), *count]),
            (None, None) => *expr,
        },
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "btrim",
            };
            let characters = trim_what.map(|what| *what).or_else(|| trim_characters.and_then(|list| list.into_iter().next()));
            call(name, [*expr].into_iter().chain(characters).collect())
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let args = [*expr, *overlay_what, *overlay_from];
            call("overlay", args.into_iter().chain(overlay_for.map(|count| *count)).collect())
        }
        Expr::Like { negated, any: true, expr, pattern, escape_char: None } if is_list(strip(&pattern)) => {
            like_any(&pattern, |pattern| Expr::Like { negated, any: false, expr: expr.clone(), pattern, escape_char: None })?
        }
        Expr::ILike { negated, any: true, expr, pattern, escape_char: None } if is_list(strip(&pattern)) => {
            like_any(&pattern, |pattern| Expr::ILike { negated, any: false, expr: expr.clone(), pattern, escape_char: None })?
        }
        Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
            Expr::Like { negated, any, expr, pattern, escape_char: None }
        }
        Expr::ILike { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
            Expr::ILike { negated, any, expr, pattern, escape_char: None }
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let escape = escape_char.map(Expr::Value);
            let test = call("similar_to", [*expr, *pattern].into_iter().chain(escape).collect());
            if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) } } else { test }
        }
        Expr::AtTimeZone { timestamp, time_zone } => call("timezone", vec![*time_zone, *timestamp]),
        Expr::Collate { expr, collation } => {
            let name = collation.to_string().replace('"', "").to_ascii_lowercase();
            match name.trim_start_matches("pg_catalog.") {
                "c" | "posix" | "default" | "ucs_basic" => *expr,
                _ => {
                    return Err(SqlError::unsupported(format!(
                        "collation {collation} is not supported: text is compared by bytes"
                    )));
                }
            }
        }
        Expr::Identifier(name) if name.quote_style.is_none() && name.value == "current_schema" => call("current_schema", vec![]),
        // `t.a[1]`
        Expr::CompoundFieldAccess { root, access_chain } if qualifies(&root, &access_chain) => {
            let (root, access_chain) = qualified(*root, access_chain);
            rewritten(Expr::CompoundFieldAccess { root: Box::new(root), access_chain })?
        }
        Expr::CompoundFieldAccess { access_chain, .. } if access_chain.iter().any(|part| matches!(part, AccessExpr::Dot(_))) => {
            return Err(SqlError::unsupported("fields of composite values are not supported"));
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            // DataFusion takes a subscript of array_agg for nth_value, which wants a number: it is one of all of it instead.
            let all = Subscript::Slice { lower_bound: None, upper_bound: None, stride: None };
            let all = is_aggregated(&root).then_some(AccessExpr::Subscript(all));
            let access_chain = all.into_iter().chain(access_chain).map(from_the_start).collect::<Result<_, _>>()?;
            Expr::CompoundFieldAccess { root, access_chain }
        }
        Expr::BinaryOp { left, op, right } => binary(*left, op, *right)?,
        Expr::AnyOp { left, compare_op, right, is_some } => match strip(&right) {
            array if !is_volatile(&left) && is_list(array) => each(&left, &compare_op, &elements(array)?, BinaryOperator::Or)?,
            array if compare_op == BinaryOperator::Eq && is_parameter(array) => in_parameter(*left, array),
            _ => Expr::AnyOp { left, compare_op, right, is_some },
        },
        Expr::AllOp { left, compare_op, right } => match strip(&right) {
            array if !is_volatile(&left) && is_list(array) => each(&left, &compare_op, &elements(array)?, BinaryOperator::And)?,
            array if compare_op == BinaryOperator::NotEq && is_parameter(array) => {
                Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(in_parameter(*left, array)) }
            }
            _ => Expr::AllOp { left, compare_op, right },
        },
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, array: false, format: None } => {
            match catalog_type(&data_type) {
                Some(name) => call(name, vec![*expr]),
                None if is_text_array(&expr, &data_type) => array_of_text(*expr, data_type)?,
                None if is_bare_numeric(&data_type) => numeric_cast(*expr)?,
                // By its digits: 1e308 has no room in a numeric.
                None if is_number(&expr) && is_float(&data_type) => {
                    let text = Expr::value(Value::SingleQuotedString(expr.to_string()));
                    Expr::Cast { kind: CastKind::Cast, expr: Box::new(text), data_type, array: false, format: None }
                }
                None => Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None },
            }
        }
        Expr::Function(mut function) => {
            if let Some(WindowType::WindowSpec(window)) = &mut function.over {
                unwrap_frame(window)?;
            }
            if let Some(cast) = type_call(&function) {
                return rewritten(cast);
            }
            row_fields(&function).map_or_else(|| special_call(function), Expr::Tuple)
        }
        Expr::Between { expr, negated, low, high } if !is_volatile(&expr) => {
            if is_larger(&expr, OPERAND_MAX) {
                return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .hint(format!("The operand of BETWEEN may have at most {OPERAND_MAX} expressions in it.")));
            }
            let side = |op, bound| binary(expr.as_ref().clone(), op, bound).map(|test| Expr::Nested(Box::new(test)));
            let test = operation(side(BinaryOperator::GtEq, *low)?, BinaryOperator::And, side(BinaryOperator::LtEq, *high)?);
            if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) } } else { test }
        }
        Expr::InList { expr, list, negated } if matches!(strip(&expr), Expr::Tuple(_)) => row_in_list(&expr, list, negated)?,
        Expr::IsNull(expr) if matches!(strip(&expr), Expr::Tuple(_)) => each_field(&expr, Expr::IsNull)?,
        Expr::IsNotNull(expr) if matches!(strip(&expr), Expr::Tuple(_)) => each_field(&expr, Expr::IsNotNull)?,
        Expr::IsDistinctFrom(a, b) => match (strip(&a), strip(&b)) {
            (Expr::Tuple(a), Expr::Tuple(b)) => {
                pairs(a, b, &BinaryOperator::Or, |a, b| Expr::IsDistinctFrom(Box::new(a), Box::new(b)))?
            }
            _ => Expr::IsDistinctFrom(a, b),
        },
        Expr::IsNotDistinctFrom(a, b) => match (strip(&a), strip(&b)) {
            (Expr::Tuple(a), Expr::Tuple(b)) => {
                pairs(a, b, &BinaryOperator::And, |a, b| Expr::IsNotDistinctFrom(Box::new(a), Box::new(b)))?
            }
            _ => Expr::IsNotDistinctFrom(a, b),
        },
        // As comparisons, which are never NULL but are planned with the nullability of their operands throughout.
        Expr::IsTrue(expr) => Expr::IsNotDistinctFrom(truth(expr), Box::new(Expr::value(Value::Boolean(true)))),
        Expr::IsNotTrue(expr) => Expr::IsDistinctFrom(truth(expr), Box::new(Expr::value(Value::Boolean(true)))),
        Expr::IsFalse(expr) => Expr::IsNotDistinctFrom(truth(expr), Box::new(Expr::value(Value::Boolean(false)))),
        Expr::IsNotFalse(expr) => Expr::IsDistinctFrom(truth(expr), Box::new(Expr::value(Value::Boolean(false)))),
        Expr::IsUnknown(expr) => Expr::IsNull(expr),
        Expr::IsNotUnknown(expr) => Expr::IsNotNull(expr),
        other => other,
    })
}

/// What IS TRUE takes: a constant in quotes is a boolean.
fn truth(expr: Box<Expr>) -> Box<Expr> {
    if string_of(&expr).is_some() { Box::new(cast(*expr, DataType::Boolean)) } else { expr }
}

/// The raw literal that [`rewrite`] wrapped, for the places where a number means something else: `ORDER BY 1`.
pub fn unwrap_number(expr: &mut Expr) {
    if let Expr::Cast { expr: inner, .. } = expr
        && let Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) = inner.as_ref()
    {
        let raw = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
        *expr = raw;
    }
}

/// The raw offsets of a window's frame: `ROWS 1 PRECEDING`, also where they are in quotes.
///
/// Errors: an offset of ROWS or GROUPS in quotes that is no bigint (22P02), or a negative one (22013). That of RANGE is of a type that
/// is not known yet.
pub fn unwrap_frame(window: &mut WindowSpec) -> Result<(), SqlError> {
    let Some(frame) = &mut window.window_frame else { return Ok(()) };
    let is_range = matches!(frame.units, WindowFrameUnits::Range);
    let bounds = [("starting", Some(&mut frame.start_bound)), ("ending", frame.end_bound.as_mut())];
    for (which, bound) in bounds {
        let Some(WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset))) = bound else { continue };
        // `2::bigint`
        if let Expr::Cast { expr: typed, .. } = offset.as_ref()
            && let Expr::Cast { expr: number, .. } = typed.as_ref()
            && is_number(number)
        {
            **offset = typed.as_ref().clone();
        }
        unwrap_number(offset);
        // The parser reads a constant in quotes as an interval here.
        let Expr::Cast { expr, data_type: DataType::Interval { .. }, .. } = offset.as_ref() else { continue };
        let Some(text) = string_of(expr).map(str::to_owned) else { continue };
        if is_range {
            // The planner wants a number here and keeps its text, which is looked at once the type is known.
            **offset = Expr::value(Value::Number(text, false));
            continue;
        }
        let Datum::Int8(rows) = types::text::parse(SqlType::Int8, &text)? else { return Err(SqlError::bug("a bigint is none")) };
        if rows < 0 {
            return Err(SqlError::new(INVALID_OFFSET, format!("frame {which} offset must not be negative")));
        }
        **offset = Expr::value(Value::Number(rows.to_string(), false));
    }
    Ok(())
}

/// `invalid_preceding_or_following_size`
pub(crate) const INVALID_OFFSET: SqlState = SqlState(*b"22013");

/// A call of a function by its name, as it is.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::with_quote('"', name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// A subscript as DataFusion has to see it, which counts those below zero from the end and wants both bounds: `a[i]` as
/// `a[greatest(i, 0)]`, where none is, and `a[:j]` as `a[1:CASE WHEN j < 0 THEN 0 ELSE j END]`.
fn from_the_start(part: AccessExpr) -> Result<AccessExpr, SqlError> {
    Ok(AccessExpr::Subscript(match part {
        AccessExpr::Subscript(Subscript::Index { index }) if is_positive(&index) => Subscript::Index { index },
        AccessExpr::Subscript(Subscript::Index { index }) => {
            Subscript::Index { index: call("greatest", vec![index, integer("0")]) }
        }
        AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => Subscript::Slice {
            lower_bound: Some(lower_bound.map_or_else(|| Ok(integer("1")), |bound| at_least("1", bound))?),
            upper_bound: Some(upper_bound.map_or_else(|| Ok(integer("2147483647")), |bound| at_least("0", bound))?),
            stride,
        },
        other @ AccessExpr::Dot(_) => return Ok(other),
    }))
}

/// `CASE WHEN bound < least THEN least ELSE bound END`: NULL stays. Errors: 0A000 for a bound with subscripts, which would double
/// with each level.
fn at_least(least: &str, bound: Expr) -> Result<Expr, SqlError> {
    if is_positive(&bound) {
        return Ok(bound);
    }
    let subscript =
        |e: &Expr| if matches!(e, Expr::CompoundFieldAccess { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    if datafusion::sql::sqlparser::ast::visit_expressions(&bound, subscript).is_break() {
        return Err(SqlError::unsupported("subscripts in the bounds of a slice are not supported"));
    }
    let condition = operation(bound.clone(), BinaryOperator::Lt, integer(least));
    Ok(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: integer(least) }],
        else_result: Some(Box::new(bound)),
    })
}

fn is_positive(expr: &Expr) -> bool {
    let bare = if let Expr::Cast { expr, .. } = expr { expr } else { expr };
    matches!(bare, Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if digits.parse::<u32>().is_ok_and(|n| n > 0))
}

fn integer(digits: &str) -> Expr {
    number(digits.into(), false, Span::empty())
}

/// `expr AS data_type`.
pub fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn number(digits: String, long: bool, span: Span) -> Expr {
    let plain = digits.replace('_', "");
    // Beyond the digits a numeric has here it is a float: 1e300.
    if plain.contains(['e', 'E']) && types::text::parse_decimal(&plain).is_err() {
        return cast(Expr::value(Value::SingleQuotedString(plain)), DataType::DoublePrecision);
    }
    let data_type = match plain.parse::<u128>() {
        Ok(v) if v <= i32::MAX as u128 => Some(DataType::Int4(None)),
        Ok(v) if v <= i64::MAX as u128 => Some(DataType::Int8(None)),
        // Too long for bigint: a numeric, which the point tells the planner.
        Ok(_) => None,
        Err(_) => None,
    };
    let integer = data_type.is_none() && plain.bytes().all(|b| b.is_ascii_digit());
    let digits = if integer { format!("{plain}.") } else { digits };
    let literal = Expr::Value(ValueWithSpan { value: Value::Number(digits, long), span });
    match data_type {
        Some(data_type) => cast(literal, data_type),
        None => literal,
    }
}

/// The digits of a number as it can be kept: those behind the point that are too many are rounded. Errors: 22003, too many before it.
fn that_fit(digits: String) -> Result<String, SqlError> {
    let is_long = digits.bytes().filter(u8::is_ascii_digit).count() > usize::from(crate::rules::DIGITS_MAX);
    if !is_long || digits.contains(['e', 'E']) {
        return Ok(digits);
    }
    let Decimal { unscaled, scale } = types::text::parse_decimal(&digits.replace('_', ""))?;
    let text = format!("{unscaled:0>width$}", width = usize::from(scale) + 1);
    let (before, behind) = text.split_at(text.len() - usize::from(scale));
    Ok(format!("{before}.{behind}"))
}

fn negated(expr: Expr) -> Expr {
    match expr {
        // The sign belongs to the literal: -2147483648 is an integer.
        Expr::Cast { expr: inner, data_type, .. } if is_number(&inner) => {
            let data_type = match integer_of(&inner) {
                Some(v) if v <= 1 << 31 => DataType::Int4(None),
                _ => data_type,
            };
            cast(Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner }, data_type)
        }
        expr if is_number(&expr) => Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(expr) },
        expr => call("-", vec![expr]),
    }
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
}

/// An integer literal, signed or not, as it was written.
fn integer_of(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => integer_of(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => integer_of(expr)?.checked_neg(),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        _ => None,
    }
}

fn string_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) => string_of(inner),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s), .. }) => Some(s),
        _ => None,
    }
}

fn interval_literal(interval: datafusion::sql::sqlparser::ast::Interval) -> Result<Expr, SqlError> {
    let Some(text) = string_of(&interval.value) else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INTERVAL needs a string"));
    };
    let is_plain =
        !text.is_empty() && text.trim().trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let text = match (&interval.leading_field, &interval.last_field) {
        (None, None) => text.to_owned(),
        (Some(field), None) if is_plain => format!("{} {}", text.trim(), field_name(field)),
        (Some(_), None) => text.to_owned(),
        (Some(DateTimeField::Year), Some(DateTimeField::Month)) => text.to_owned(),
        _ => return Err(SqlError::unsupported("interval fields from .. to are not supported, except year to month")),
    };
    Ok(cast(Expr::value(Value::SingleQuotedString(text)), DataType::Interval { fields: None, precision: None }))
}

/// A date field's name as PostgreSQL spells it, in the singular.
fn field_name(field: &DateTimeField) -> String {
    let name = match field {
        DateTimeField::Week(_) => "week".into(),
        DateTimeField::Custom(ident) => ident.value.to_ascii_lowercase(),
        other => other.to_string().to_ascii_lowercase(),
    };
    singular(&name).to_owned()
}

/// The unit of time that a name stands for.
pub(crate) fn singular(name: &str) -> &str {
    match name {
        "years" | "y" | "yr" | "yrs" => "year",
        "months" | "mon" | "mons" => "month",
        "weeks" | "w" => "week",
        "days" | "d" => "day",
        "hours" | "h" | "hr" | "hrs" => "hour",
        "minutes" | "m" | "min" | "mins" => "minute",
        "seconds" | "s" | "sec" | "secs" => "second",
        "milliseconds" | "ms" | "msec" | "msecs" => "millisecond",
        "microseconds" | "us" | "usec" | "usecs" => "microsecond",
        "quarters" | "qtr" => "quarter",
        "centuries" | "c" => "century",
        "decades" => "decade",
        "millenniums" | "millennia" | "mil" | "mils" | "millenium" => "millennium",
        "dayofweek" => "dow",
        "dayofyear" => "doy",
        other => other,
    }
}

/// The function that stands for a cast to one of the catalog's own types.
fn catalog_type(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Regclass => Some("regclass"),
        DataType::Custom(name, _) => {
            let name = name.0.last().and_then(ObjectNamePart::as_ident)?;
            match name.value.to_ascii_lowercase().as_str() {
                "regclass" => Some("regclass"),
                "regtype" => Some("regtype"),
                "regproc" | "regprocedure" => Some("regproc"),
                "regnamespace" => Some("regnamespace"),
                "regrole" => Some("regrole"),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(super::arrow_driver::sql_type(data_type), Ok(SqlType::Float4 | SqlType::Float8))
}

fn is_bare_numeric(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Numeric(ExactNumberInfo::None)
            | DataType::Decimal(ExactNumberInfo::None)
            | DataType::Dec(ExactNumberInfo::None)
    )
}

/// `CAST(x AS numeric)` keeps the digits x has: a constant those it was written with, a number those of its type.
fn numeric_cast(expr: Expr) -> Result<Expr, SqlError> {
    Ok(match string_of(&expr).map(str::trim) {
        Some(text) if is_plain_number(text) => {
            let text = if text.contains('.') { text.to_owned() } else { format!("{text}.") };
            Expr::value(Value::Number(that_fit(text)?, false))
        }
        _ => call("numeric", vec![expr]),
    })
}

/// Digits with at most one point.
fn is_plain_number(text: &str) -> bool {
    let digits = text.replacen('.', "", 1);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Result<Expr, SqlError> {
    let comparison = matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    );
    if [&left, &right].iter().any(|side| matches!(strip(side), Expr::QualifiedWildcard(..) | Expr::Wildcard(_))) {
        return Err(SqlError::unsupported("whole rows in expressions are not supported").hint("Name the columns."));
    }
    if comparison && let (Expr::Tuple(a), Expr::Tuple(b)) = (strip(&left), strip(&right)) {
        return rows_compare(a.clone(), op, b.clone());
    }
    let like = |negated, expr, pattern| Expr::Like { negated, any: false, expr, pattern, escape_char: None };
    let ilike = |negated, expr, pattern| Expr::ILike { negated, any: false, expr, pattern, escape_char: None };
    let (left, right) = (Box::new(left), Box::new(right));
    Ok(match op {
        BinaryOperator::PGLikeMatch => like(false, left, right),
        BinaryOperator::PGNotLikeMatch => like(true, left, right),
        BinaryOperator::PGILikeMatch => ilike(false, left, right),
        BinaryOperator::PGNotILikeMatch => ilike(true, left, right),
        BinaryOperator::PGStartsWith => call("starts_with", vec![*left, *right]),
        op => Expr::BinaryOp { left, op, right },
    })
}

/// Expressions in the operand of a BETWEEN, which is written twice: nested ones double again. Ten in each other come to about this.
const OPERAND_MAX: usize = 5000;

/// Whether more expressions than that are in it.
pub(crate) fn is_larger(expr: &Expr, max: usize) -> bool {
    let mut found = 0;
    let count = |_: &Expr| {
        found += 1;
        if found > max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    datafusion::sql::sqlparser::ast::visit_expressions(expr, count).is_break()
}

/// True if computing it twice may give two values.
fn is_volatile(expr: &Expr) -> bool {
    let mut found = false;
    let _ = datafusion::sql::sqlparser::ast::visit_expressions(expr, |e| {
        if let Expr::Function(function) = e {
            let name = function.name.to_string().to_ascii_lowercase();
            found |= ["random", "nextval", "clock_timestamp", "gen_random_uuid"].iter().any(|v| name.ends_with(v));
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn is_aggregated(expr: &Expr) -> bool {
    matches!(strip(expr), Expr::Function(function) if function.name.to_string().to_ascii_lowercase().ends_with("array_agg"))
}

fn operation(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

/// `(a, b) op (c, d)`, field by field from the left.
fn rows_compare(left: Vec<Expr>, op: BinaryOperator, right: Vec<Expr>) -> Result<Expr, SqlError> {
    if left.len() != right.len() || left.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"));
    }
    let (strict, joined) = match op {
        BinaryOperator::Eq => (BinaryOperator::Eq, Some(BinaryOperator::And)),
        BinaryOperator::NotEq => (BinaryOperator::NotEq, Some(BinaryOperator::Or)),
        BinaryOperator::Lt | BinaryOperator::LtEq => (BinaryOperator::Lt, None),
        _ => (BinaryOperator::Gt, None),
    };
    let mut pairs = left.into_iter().zip(right).rev();
    let Some((a, b)) = pairs.next() else { return Err(SqlError::bug("an empty row")) };
    let last = operation(a, op, b);
    Ok(pairs.fold(last, |rest, (a, b)| match &joined {
        Some(join) => operation(operation(a, strict.clone(), b), join.clone(), rest),
        None => {
            let tie = operation(operation(a.clone(), BinaryOperator::Eq, b.clone()), BinaryOperator::And, rest);
            operation(operation(a, strict.clone(), b), BinaryOperator::Or, tie)
        }
    }))
}

/// The fields of `ROW(a, b)`; `None` for any other call.
pub fn row_fields(function: &Function) -> Option<Vec<Expr>> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if name.quote_style.is_some() || name.value != "row" || list.args.is_empty() {
        return None;
    }
    let fields = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg.clone()),
        _ => None,
    });
    fields.collect()
}

/// The cast that a type called like a function is: `date(x)`. Those are the types whose names are no words of the grammar.
fn type_call(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] = list.args.as_slice() else { return None };
    let is_plain = function.over.is_none()
        && function.filter.is_none()
        && function.within_group.is_empty()
        && list.duplicate_treatment.is_none()
        && list.clauses.is_empty();
    let name = match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => name,
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] if schema.value == "pg_catalog" => name,
        _ => return None,
    };
    let data_type = match name.value.as_str() {
        "bool" => DataType::Bool,
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "int2" => DataType::Int2(None),
        "int4" => DataType::Int4(None),
        "int8" => DataType::Int8(None),
        "text" => DataType::Text,
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::Tz),
        "uuid" => DataType::Uuid,
        _ => return None,
    };
    is_plain.then(|| cast(arg.clone(), data_type))
}

/// A test of a row that is one of all its fields: `(a, b) IS NULL`.
fn each_field(row: &Expr, test: impl Fn(Box<Expr>) -> Expr) -> Result<Expr, SqlError> {
    let Expr::Tuple(fields) = strip(row) else { return Err(SqlError::bug("a row is none")) };
    let tests = fields.iter().map(|field| test(Box::new(field.clone()))).collect();
    joined(tests, &BinaryOperator::And).ok_or_else(|| SqlError::bug("an empty row"))
}

/// A test of each pair of fields of two rows.
fn pairs(a: &[Expr], b: &[Expr], join: &BinaryOperator, test: impl Fn(Expr, Expr) -> Expr) -> Result<Expr, SqlError> {
    let unequal = || SqlError::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions");
    if a.len() != b.len() {
        return Err(unequal());
    }
    let tests = a.iter().zip(b).map(|(a, b)| Expr::Nested(Box::new(test(a.clone(), b.clone())))).collect();
    joined(tests, join).ok_or_else(unequal)
}

/// Whether it is `$1` or `$1::t[]`.
fn is_parameter(array: &Expr) -> bool {
    match array {
        Expr::Cast { expr, data_type: DataType::Array(_), .. } => is_parameter(strip(expr)),
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => true,
        _ => false,
    }
}

/// `left = ANY ($1)`: the parameter is the text of an array.
fn in_parameter(left: Expr, array: &Expr) -> Expr {
    let mut written = None;
    let mut parameter = array;
    while let Expr::Cast { expr, data_type, .. } = parameter {
        written = written.or_else(|| fractions(data_type));
        parameter = strip(expr);
    }
    let name = written.map_or(any::NAME.to_owned(), |written| format!("{}{SPECIAL}{written}", any::NAME));
    call(&name, vec![left, parameter.clone()])
}

/// How numbers are compared with the elements of an array of this type, if these may have fractions.
fn fractions(array: &DataType) -> Option<&'static str> {
    let DataType::Array(ArrayElemTypeDef::SquareBracket(of, _)) = array else { return None };
    match of.as_ref() {
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => Some(any::NUMERIC),
        DataType::Real | DataType::Float4 => Some(any::FLOAT4),
        of => is_float(of).then_some(any::FLOAT8),
    }
}

/// Whether it is an array whose elements are written out: `ARRAY[..]`, `'{..}'` or `'{..}'::t[]`.
fn is_list(array: &Expr) -> bool {
    matches!(array, Expr::Array(_)) || string_of(array).is_some() || cast_list(array).is_some()
}

/// The text and the type of the elements of `'{..}'::t[]`.
fn cast_list(array: &Expr) -> Option<(&str, &DataType)> {
    match array {
        Expr::Cast { expr, data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(of, _)), .. } => {
            Some((string_of(expr)?, of))
        }
        _ => None,
    }
}

/// The elements of such an array.
fn elements(array: &Expr) -> Result<Vec<Expr>, SqlError> {
    let value = |element: Option<String>| Expr::value(element.map_or(Value::Null, Value::SingleQuotedString));
    if let Expr::Array(array) = array {
        Ok(array.elem.clone())
    } else if let Some((text, of)) = cast_list(array) {
        let found = array_text::elements(text)?;
        Ok(found.into_iter().map(|element| cast(value(element), of.clone())).collect())
    } else {
        let found = array_text::elements(string_of(array).unwrap_or_default())?;
        Ok(found.into_iter().map(value).collect())
    }
}

fn is_text_array(expr: &Expr, data_type: &DataType) -> bool {
    matches!(data_type, DataType::Array(ArrayElemTypeDef::SquareBracket(..))) && string_of(expr).is_some()
}

/// `'{1,2}'::int[]` as `ARRAY['1'::int, '2'::int]`, and an empty one as what it is cast from.
fn array_of_text(text: Expr, data_type: DataType) -> Result<Expr, SqlError> {
    let written =
        Expr::Cast { kind: CastKind::Cast, expr: Box::new(text), data_type: data_type.clone(), array: false, format: None };
    let elem = elements(&written)?.into_iter().map(rewritten).collect::<Result<Vec<_>, _>>()?;
    let is_empty = elem.is_empty();
    let array = Expr::Array(Array { elem, named: true });
    Ok(if is_empty { cast(array, data_type) } else { array })
}

/// `left op ANY (ARRAY[..])` (joined by OR) or ALL (by AND): NULLs among the items count as they do in each comparison.
fn each(left: &Expr, op: &BinaryOperator, items: &[Expr], join: BinaryOperator) -> Result<Expr, SqlError> {
    if *op == BinaryOperator::Eq && join == BinaryOperator::Or && !items.is_empty() {
        return Ok(Expr::InList { expr: Box::new(left.clone()), list: items.to_vec(), negated: false });
    }
    let none = join == BinaryOperator::And;
    let tests = items.iter().map(|item| binary(left.clone(), op.clone(), item.clone())).collect::<Result<Vec<_>, _>>()?;
    let tests = tests.into_iter().map(|test| Expr::Nested(Box::new(test))).collect();
    Ok(joined(tests, &join).unwrap_or_else(|| Expr::value(Value::Boolean(none))))
}

/// `text LIKE ANY (ARRAY[..])`, of a test for each pattern.
fn like_any(patterns: &Expr, test: impl Fn(Box<Expr>) -> Expr) -> Result<Expr, SqlError> {
    let tests = elements(strip(patterns))?.into_iter().map(|pattern| Expr::Nested(Box::new(test(Box::new(pattern))))).collect();
    Ok(joined(tests, &BinaryOperator::Or).unwrap_or_else(|| Expr::value(Value::Boolean(false))))
}

/// Whether the names before the first subscript are those of a column.
fn qualifies(root: &Expr, access: &[AccessExpr]) -> bool {
    let is_name = |part: &AccessExpr| matches!(part, AccessExpr::Dot(Expr::Identifier(_)));
    let names = access.iter().take_while(|part| is_name(part)).count();
    matches!(root, Expr::Identifier(_))
        && (1..access.len()).contains(&names)
        && access[names..].iter().all(|part| matches!(part, AccessExpr::Subscript(_)))
}

fn qualified(root: Expr, access: Vec<AccessExpr>) -> (Expr, Vec<AccessExpr>) {
    let (mut names, mut rest) = (vec![], vec![]);
    for part in access {
        match part {
            AccessExpr::Dot(Expr::Identifier(name)) => names.push(name),
            part => rest.push(part),
        }
    }
    match root {
        Expr::Identifier(name) => (Expr::CompoundIdentifier(std::iter::once(name).chain(names).collect()), rest),
        root => (root, rest),
    }
}

/// Conditions joined pair by pair: a list may be long, its tree must not be deep.
fn joined(mut tests: Vec<Expr>, join: &BinaryOperator) -> Option<Expr> {
    while tests.len() > 1 {
        let mut pairs = tests.into_iter();
        tests = std::iter::from_fn(|| {
            let left = pairs.next()?;
            Some(match pairs.next() {
                Some(right) => operation(left, join.clone(), right),
                None => left,
            })
        })
        .collect();
    }
    tests.pop()
}

fn row_in_list(expr: &Expr, list: Vec<Expr>, negated: bool) -> Result<Expr, SqlError> {
    let tests = list.into_iter().map(|item| binary(expr.clone(), BinaryOperator::Eq, item)).collect::<Result<Vec<_>, _>>()?;
    let any =
        joined(tests, &BinaryOperator::Or).ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, "IN needs at least one value"))?;
    Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any })
}

/// A call whose constant argument becomes part of its name.
fn special_call(mut function: Function) -> Expr {
    let Some(ident) = function.name.0.last().and_then(ObjectNamePart::as_ident) else { return Expr::Function(function) };
    if ident.value.eq_ignore_ascii_case("gen_random_uuid") {
        return cast(Expr::Function(function), DataType::Uuid);
    }
    let name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() };
    let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
    // age(x) is counted from midnight of today.
    if name == "age" && list.args.len() == 1 {
        let today = cast(call("current_date", vec![]), DataType::Timestamp(None, TimezoneInfo::None));
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(today)));
    }
    let constant = |at: usize| match list.args.get(at) {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))) => Some(arg),
        _ => None,
    };
    let special = match (name.as_str(), list.args.len()) {
        ("round" | "trunc", 2) => constant(1).and_then(integer_of).map(|digits| (1, digits.to_string())),
        ("date_trunc" | "date_part", 2) => {
            constant(0).and_then(string_of).map(|field| (0, singular(&field.to_ascii_lowercase()).to_owned()))
        }
        _ => None,
    };
    if let Some((at, constant)) = special {
        list.args.remove(at);
        function.name = ObjectName::from(Ident::with_quote('"', format!("{name}{SPECIAL}{constant}")));
    }
    Expr::Function(function)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn between_in_between_is_bounded() {
        let normalized = |depth: usize| {
            let text = (0..depth).fold("a".to_owned(), |operand, _| format!("({operand} BETWEEN 1 AND 2)"));
            let mut expr = Parser::new(&crate::dialect::DIALECT).try_with_sql(&text).unwrap().parse_expr().unwrap();
            normalize(&mut expr).map_err(|error| error.state)
        };
        assert_eq!(normalized(5), Ok(()));
        assert_eq!(normalized(40), Err(SqlState::STATEMENT_TOO_COMPLEX));
    }
}
