//! Expressions over one table as PostgreSQL writes them back: with the types of constants, the casts it adds, its parentheses.
//!
//! ```text
//! a>0 and v in ('x', 'y')   -->   ((a > 0) AND ((v)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[])))
//!                  pretty   -->   a > 0 AND (v::text = ANY (ARRAY['x'::character varying, 'y'::character varying]::text[]))
//! ```
//!
//! What is not known here is left as it was written.
//!
//! Not here: views, whose queries are kept as they were written. Source: PostgreSQL 15 `ruleutils.c`.

mod bind;
mod shown;
mod values;

use std::ops::ControlFlow;

use catalog::Table;
use sqlparser::ast::{Expr, visit_expressions};
use types::ColumnId;

use crate::parse::parse_expr;

/// How many parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Around everything.
    Full,
    /// Only where they are needed.
    Pretty,
}

/// An expression as written back.
pub(crate) struct Deparsed {
    pub(crate) text: String,
    /// It is a call, which stands in an index without parentheses.
    pub(crate) is_call: bool,
}

/// Writes back an expression that is kept as text.
pub(crate) fn expression(text: &str, table: &Table, style: Style) -> Deparsed {
    let Ok(expr) = parse_expr(text) else { return Deparsed { text: text.to_owned(), is_call: false } };
    let node = bind::Tree { table }.node(&expr).node;
    Deparsed { text: shown::shown(&node, style), is_call: node.is_call() }
}

/// The columns an expression reads, in the order in which it names them.
pub(crate) fn columns(text: &str, table: &Table) -> Vec<ColumnId> {
    let mut found: Vec<ColumnId> = Vec::new();
    if let Ok(expr) = parse_expr(text) {
        let _: ControlFlow<()> = visit_expressions(&expr, |expr| {
            if let Expr::Identifier(ident) = expr
                && let Some(at) = table.column(&ident.value)
                && !found.contains(&table.columns[at].id)
            {
                found.push(table.columns[at].id);
            }
            ControlFlow::Continue(())
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use catalog::Column;
    use types::SqlType;

    use super::*;

    fn table() -> Table {
        let types = [
            ("k", SqlType::Int4),
            ("a", SqlType::Int4),
            ("b", SqlType::Text),
            ("c", SqlType::Numeric { precision: 10, scale: 2 }),
            ("d", SqlType::Date),
            ("E e", SqlType::Varchar(10)),
            ("f", SqlType::Char(3)),
            ("g", SqlType::Bool),
            ("h", SqlType::TimestampTz),
            ("i", SqlType::Int8),
            ("j", SqlType::Int2),
            ("r", SqlType::Float4),
            ("o", SqlType::Float8),
        ];
        let column = |(at, (name, data_type)): (usize, &(&str, SqlType))| Column {
            id: ColumnId(at as u16 + 1),
            name: (*name).into(),
            data_type: *data_type,
            not_null: false,
            default: None,
            identity: None,
            generated: None,
        };
        Table { columns: types.iter().enumerate().map(column).collect(), ..Table::default() }
    }

    #[test]
    fn expressions_are_written_as_postgresql_writes_them() {
        // As PostgreSQL 15 answers: pg_get_expr(x, t) and pg_get_expr(x, t, true).
        let cases = include_str!("deparse/cases.tsv");
        let table = table();
        let mut wrong = Vec::new();
        for line in cases.lines() {
            let cells: Vec<String> = line.split('\t').map(|cell| cell.replace("\\n", "\n")).collect();
            let [written, full, pretty] = cells.as_slice() else { panic!("{line}") };
            for (style, expected) in [(Style::Full, full), (Style::Pretty, pretty)] {
                let found = expression(written, &table, style).text;
                if found != *expected {
                    wrong.push(format!("{written}\n  PostgreSQL: {expected}\n  here:       {found}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
