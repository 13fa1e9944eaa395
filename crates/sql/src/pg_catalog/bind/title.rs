//! What a column of a SELECT list is called that was not given a name.
//!
//! Source: PostgreSQL 15, `FigureColname`.

use sqlparser::ast::{AccessExpr, DataType, Expr, Query, SelectItem, SetExpr};

use crate::pg_catalog::kind;

/// The name of an expression's column.
pub(super) fn title(expr: &Expr) -> String {
    found(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it is a good one: that of a type only stands in for want of a better.
fn found(expr: &Expr) -> Option<(String, bool)> {
    let good = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => good(&ident.value),
        Expr::CompoundIdentifier(parts) => good(&parts.last()?.value),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident.value.clone()),
                _ => None,
            });
            field.map_or_else(|| found(root), |field| Some((field, true)))
        }
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
            Some((name, true))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => found(inner),
        Expr::Cast { expr, data_type, .. } => match found(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type)?, false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type)?, false)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(found) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Subquery(query) => query_title(query),
        Expr::Exists { negated: false, .. } => good("exists"),
        Expr::Array(_) => good("array"),
        Expr::Substring { .. } => good("substring"),
        Expr::Position { .. } => good("position"),
        Expr::Trim { .. } => good("btrim"),
        Expr::Extract { .. } => good("extract"),
        Expr::Tuple(_) => good("row"),
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let kind = kind::of_syntax(data_type).ok()?;
    let element = kind::element(kind);
    let named = if element == kind::UNKNOWN { kind } else { element };
    kind::info(named).map(|info| info.name.to_owned())
}

fn query_title(query: &Query) -> Option<(String, bool)> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    match select.projection.first()? {
        SelectItem::UnnamedExpr(expr) => found(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some((alias.value.clone(), true)),
        _ => None,
    }
}
