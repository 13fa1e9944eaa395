//! Names of tables and columns on the command line, made safe to put into a statement.

use crate::exit::Failure;

/// A table, perhaps with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

impl TableName {
    /// Reads `table` or `schema.table`. As in SQL, letters become small unless a part stands in double quotes.
    pub(crate) fn parse(text: &str) -> Result<TableName, Failure> {
        let refuse = || {
            Failure::usage(format!("{text:?} is not the name of a table"))
                .next("write it as in SQL: orders, sales.orders or '\"Odd Name\"'")
        };
        let mut parts = parts(text).ok_or_else(refuse)?;
        match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(table), schema, None) => Ok(TableName { schema, table }),
            _ => Err(refuse()),
        }
    }

    /// The name as a statement has it.
    pub(crate) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }
}

/// The parts of a dotted name; `None` if it is none.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted_part(inside)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let plain = |(at, c): (usize, char)| c == '_' || c.is_alphabetic() || (at > 0 && (c.is_numeric() || c == '$'));
                if word.is_empty() || !word.char_indices().all(plain) {
                    return None;
                }
                (word.to_lowercase(), after)
            }
        };
        parts.push(part);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// The text up to the closing quote, doubled quotes made single, and what follows it.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return (!part.is_empty()).then_some((part, after)),
        }
    }
}

/// A name in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as people write it: in quotes only if it must be.
pub(crate) fn shown(name: &str) -> String {
    let plain = |(at, c): (usize, char)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit());
    if !name.is_empty() && name.char_indices().all(plain) && !RESERVED.contains(&name) { name.to_owned() } else { quoted(name) }
}

/// PostgreSQL's reserved words: as names of columns or tables they need quotes.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        for (text, sql) in [
            ("Orders", "\"orders\""),
            ("sales.Orders", "\"sales\".\"orders\""),
            ("\"Odd.Name\"", "\"Odd.Name\""),
            ("s.\"a\"\"b\"", "\"s\".\"a\"\"b\""),
            ("größe_1", "\"größe_1\""),
        ] {
            assert_eq!(TableName::parse(text).unwrap().sql(), sql);
        }
        for text in ["", "1a", "a b", "a;drop table b", "a.b.c", "a.", ".a", "\"a", "\"\"", "\"a\"b", "a--"] {
            assert!(TableName::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn shown_names_are_quoted_only_when_they_must_be() {
        assert_eq!(["a_1", "Order", "order", "a b"].map(shown), ["a_1", "\"Order\"", "\"order\"", "\"a b\""]);
    }
}
