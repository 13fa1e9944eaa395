//! ROLLUP and CUBE that DataFusion does not take, as the grouping sets they stand for.
//!
//! ```text
//! ROLLUP (a, b, a)      GROUPING SETS ((a, b), (a, b), (a), ())
//! CUBE ((a, b), c)      GROUPING SETS ((), (a, b), (c), (a, b, c))
//! ```
//!
//! A column named twice in a set counts once; a set that is there twice counts twice.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Select};
use types::{SqlError, SqlState};

/// Parts of a CUBE, at most: PostgreSQL's bound, 4096 sets.
const CUBE_MAX: usize = 12;

/// Rewrites GROUP BY. Errors: a CUBE of more than [`CUBE_MAX`] parts.
pub(super) fn to_sets(select: &mut Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return Ok(()) };
    for expr in exprs {
        let sets = match expr {
            Expr::Rollup(parts) if needs_sets(parts) => {
                (0..=parts.len()).rev().map(|count| union(&parts[..count])).collect::<Vec<_>>()
            }
            Expr::Cube(parts) if parts.len() > CUBE_MAX => {
                let message = format!("CUBE is limited to {CUBE_MAX} elements");
                return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
            }
            Expr::Cube(parts) if needs_sets(parts) => {
                let chosen =
                    |set: usize| parts.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, part)| part);
                (0..1 << parts.len()).map(|set| union(chosen(set))).collect()
            }
            _ => continue,
        };
        *expr = Expr::GroupingSets(sets);
    }
    Ok(())
}

/// Whether there are several columns in a part, or one is there twice.
fn needs_sets(parts: &[Vec<Expr>]) -> bool {
    parts.iter().any(|part| part.len() != 1) || union(parts).len() < parts.len()
}

fn union<'p>(parts: impl IntoIterator<Item = &'p Vec<Expr>>) -> Vec<Expr> {
    // By their text: constants know where they stand.
    let mut known = BTreeSet::new();
    let exprs = parts.into_iter().flatten().map(plain);
    exprs.filter(|expr| known.insert(expr.to_string())).cloned().collect()
}

fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => plain(inner),
        expr => expr,
    }
}
