//! The names of a query's output columns: PostgreSQL's, made unique for DataFusion and restored for the client.
//!
//! ```text
//! SELECT 1, 1, a, t.a, count(*) FROM t     names: ?column?, ?column?, a, a, count
//!           planned as: "?column?", "?column?\u{1}1", a, "a\u{1}3", "count"
//! ```
//!
//! PostgreSQL allows equal names in a result and DataFusion does not. What follows [`OURS`] keeps them apart and is never shown.
//!
//! Source: PostgreSQL 15, `FigureColname` in `parse_target.c`.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    Array, CastKind, DataType, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TrimWhereField,
};
use expr::syntax::OURS;

/// What an expression without a better name is called.
const UNNAMED: &str = "?column?";

/// A name without what made it unique.
pub(crate) fn shown(name: &str) -> &str {
    name.split(OURS).next().unwrap_or(name)
}

/// A text without what made names in it unique.
pub(crate) fn show_all(text: &mut String) {
    if text.contains(OURS) {
        let mut parts = text.split(OURS);
        let first = parts.next().unwrap_or_default().to_owned();
        *text = parts.fold(first, |shown, part| shown + part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
}

/// A name that is shown as `name`, and that no other column of a list, relation of FROM or query of WITH has.
pub(crate) fn marked(name: &str, at: usize) -> String {
    format!("{name}{OURS}{at}")
}

/// Gives every item of a SELECT list the name PostgreSQL would, unique in its list. Call it before expressions are rewritten.
pub(crate) fn name_columns(select: &mut Select) {
    let wild = select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut taken = HashSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::ExprWithAliases { .. } | SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => continue,
        };
        let name = match &alias {
            Some(alias) => folded(alias),
            None => name_of(expr),
        };
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        // Beside a wildcard a column that is also listed by itself comes twice.
        let unique = taken.insert(name.clone()) && !(wild && is_column && alias.is_none());
        if unique && (alias.is_some() || is_column) {
            continue;
        }
        let alias = Ident::with_quote('"', if unique { name } else { marked(&name, at) });
        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

/// An identifier as it is compared: folded to lower case unless quoted.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// What PostgreSQL calls an expression.
pub(crate) fn name_of(expr: &Expr) -> String {
    figure(expr).map_or_else(|| UNNAMED.to_owned(), |(name, _)| name)
}

/// The name an expression suggests, and whether it is a strong suggestion: a cast of something weakly named is named by its type.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    let weak = |name: &str| Some((name.to_owned(), false));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| (folded(ident), true)),
        Expr::CompoundFieldAccess { root, .. } => figure(root),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(function) => last(&function.name).map(|name| (name, true)),
        Expr::Cast { expr, data_type, kind: CastKind::Cast | CastKind::DoubleColon, .. } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => weak("interval"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand, .. } => strong(if *shorthand { "substr" } else { "substring" }),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(Array { .. }) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Subquery(query) => first_name(query).map(|name| (name, true)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        _ => None,
    }
}

fn first_name(query: &Query) -> Option<String> {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::UnnamedExpr(expr) => Some(name_of(expr)),
            SelectItem::ExprWithAlias { alias, .. } => Some(shown(&folded(alias)).to_owned()),
            _ => None,
        },
        SetExpr::Query(query) => first_name(query),
        SetExpr::SetOperation { left, .. } => match left.as_ref() {
            SetExpr::Query(query) => first_name(query),
            _ => None,
        },
        _ => None,
    }
}

/// The last part of a name: a function's without its schema.
pub(crate) fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(folded)
}

/// A type's name in the catalog: what a cast without a better name is called.
fn type_name(data_type: &DataType) -> String {
    use types::SqlType;
    match expr::arrow_driver::sql_type(data_type) {
        Ok(SqlType::Bool) => "bool".into(),
        Ok(SqlType::Int2) => "int2".into(),
        Ok(SqlType::Int4) => "int4".into(),
        Ok(SqlType::Int8) => "int8".into(),
        Ok(SqlType::Float4) => "float4".into(),
        Ok(SqlType::Float8) => "float8".into(),
        Ok(SqlType::Numeric { .. }) => "numeric".into(),
        Ok(SqlType::Varchar(_)) => "varchar".into(),
        Ok(SqlType::Char(_)) => "bpchar".into(),
        Ok(SqlType::Text) => match data_type {
            DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar".into(),
            DataType::Custom(name, _) => last(name).unwrap_or_else(|| "text".into()),
            _ => "text".into(),
        },
        Ok(SqlType::Time) => "time".into(),
        Ok(SqlType::Timestamp) => "timestamp".into(),
        Ok(SqlType::TimestampTz) => "timestamptz".into(),
        Ok(t @ (SqlType::Bytea | SqlType::Date | SqlType::Interval | SqlType::Uuid)) => t.to_string(),
        Err(_) => data_type.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;
    use expr::dialect::DIALECT;

    use super::*;

    fn names(list: &str) -> Vec<String> {
        let mut query = Parser::new(&DIALECT)
            .try_with_sql(&format!("select {list} from t"))
            .and_then(|mut parser| parser.parse_query())
            .unwrap();
        let SetExpr::Select(select) = query.body.as_mut() else { panic!("a select") };
        name_columns(select);
        let name = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            SelectItem::ExprWithAlias { alias, .. } => folded(alias),
            other => other.to_string(),
        };
        select.projection.iter().map(name).collect()
    }

    #[test]
    fn names_are_postgresqls() {
        // As PostgreSQL 15 answers.
        for (expr, name) in [
            ("1", "?column?"),
            ("a + 1", "?column?"),
            ("t.a", "a"),
            ("A", "a"),
            ("\"A\"", "A"),
            ("count(*)", "count"),
            ("pg_catalog.lower(a)", "lower"),
            ("a::text", "a"),
            ("'x'::text", "text"),
            ("1::bigint", "int8"),
            ("cast(1 as varchar)", "varchar"),
            ("cast(1 as char(3))", "bpchar"),
            ("(a + 1)::numeric(10,2)", "numeric"),
            ("date '2020-01-01'", "date"),
            ("interval '1 day'", "interval"),
            ("case when a then 1 end", "case"),
            ("case when a then 1 else b end", "b"),
            ("coalesce(a, 1)", "coalesce"),
            ("extract(year from a)", "extract"),
            ("substring(a from 1 for 2)", "substring"),
            ("trim(a)", "btrim"),
            ("exists (select 1)", "exists"),
            ("(select max(a) from t)", "max"),
            ("a is null", "?column?"),
            ("not a", "?column?"),
            ("current_date", "current_date"),
        ] {
            assert_eq!(names(expr), [name], "{expr}");
        }
    }

    #[test]
    fn equal_names_are_kept_apart_and_shown_equal() {
        let found = names("1, 2, a, t.a, b as a");
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 5);
        assert_eq!(found.iter().map(|n| shown(n)).collect::<Vec<_>>(), ["?column?", "?column?", "a", "a", "a"]);
    }
}
