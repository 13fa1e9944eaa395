//! Indexes as PostgreSQL shows them: `pg_index`, `pg_get_indexdef`.

use std::collections::HashMap;

use catalog::{Catalog, Deferral, Index, IndexSource, Table};
use types::{ColumnId, SqlType};

use super::data;
use super::objects::{AsValue, count, tables};
use super::store::{Rows, Store};
use super::value::Value;
use crate::deparse::{self, Style};
use crate::names::quote_ident;

/// An index: a primary key's or a secondary one.
#[derive(Clone, Copy)]
pub(crate) enum AnIndex<'a> {
    PrimaryKey,
    Secondary(&'a Index),
}

/// What an index is sorted by.
pub(super) struct Part<'a> {
    /// As an attribute of the index.
    pub(super) name: String,
    pub(super) data_type: SqlType,
    /// The number of the table's column; 0 for an expression.
    pub(super) number: u16,
    expression: Option<&'a str>,
    descending: bool,
    nulls_first: bool,
}

/// The indexes of a table, its primary key's first.
pub(super) fn of(table: &Table) -> impl Iterator<Item = AnIndex<'_>> {
    table.primary_key.iter().map(|_| AnIndex::PrimaryKey).chain(table.indexes.iter().map(AnIndex::Secondary))
}

impl<'a> AnIndex<'a> {
    pub(super) fn oid(self, table: &Table) -> u32 {
        match self {
            AnIndex::PrimaryKey => table.primary_key.as_ref().map_or(0, |key| key.id.0),
            AnIndex::Secondary(index) => index.id.0,
        }
    }

    pub(super) fn name(self, table: &'a Table) -> &'a str {
        match self {
            AnIndex::PrimaryKey => table.primary_key.as_ref().map_or("", |key| key.name.as_str()),
            AnIndex::Secondary(index) => &index.name,
        }
    }

    pub(super) fn is_unique(self) -> bool {
        match self {
            AnIndex::PrimaryKey => true,
            AnIndex::Secondary(index) => index.unique,
        }
    }

    fn is_primary(self) -> bool {
        match self {
            AnIndex::PrimaryKey => true,
            AnIndex::Secondary(index) => index.is_primary(),
        }
    }

    /// Not deferrable.
    pub(super) fn is_immediate(self) -> bool {
        !matches!(self, AnIndex::Secondary(index) if index.deferral() != Deferral::NotDeferrable)
    }

    fn nulls_not_distinct(self) -> bool {
        matches!(self, AnIndex::Secondary(index) if index.nulls_not_distinct)
    }

    pub(super) fn predicate(self) -> Option<&'a str> {
        match self {
            AnIndex::PrimaryKey => None,
            AnIndex::Secondary(index) => index.predicate.as_deref(),
        }
    }

    pub(super) fn parts(self, table: &'a Table) -> Vec<Part<'a>> {
        let mut parts: Vec<Part<'a>> = Vec::new();
        let mut add = |name: &str, data_type, number, expression, descending, nulls_first| {
            let mut unused = name.to_owned();
            for n in 1.. {
                if !parts.iter().any(|part| part.name == unused) {
                    break;
                }
                unused = format!("{name}{n}");
            }
            parts.push(Part { name: unused, data_type, number, expression, descending, nulls_first });
        };
        match self {
            AnIndex::PrimaryKey => {
                for column in table.primary_key.iter().flat_map(|key| &key.columns).filter_map(|at| table.columns.get(*at)) {
                    add(&column.name, column.data_type, column.id.0, None, false, false);
                }
            }
            AnIndex::Secondary(index) => {
                for column in &index.columns {
                    let (number, expression) = match &column.source {
                        IndexSource::Column(id) => (id.0, None),
                        IndexSource::Expression { text, .. } => (0, Some(text.as_str())),
                    };
                    add(column.name(table), column.data_type, number, expression, column.descending, column.nulls_first);
                }
            }
        }
        parts
    }

    /// CREATE INDEX as `pg_get_indexdef` writes it.
    pub(crate) fn definition(self, catalog: &Catalog, table: &Table, style: Style, search_path: &[&str]) -> String {
        let unique = if self.is_unique() { "UNIQUE " } else { "" };
        let search_path = if style == Style::Pretty { search_path } else { &[] };
        let columns: Vec<String> = self
            .parts(table)
            .iter()
            .map(|part| {
                let order = match (part.descending, part.nulls_first) {
                    (false, false) => "",
                    (false, true) => " NULLS FIRST",
                    (true, true) => " DESC",
                    (true, false) => " DESC NULLS LAST",
                };
                format!("{}{order}", part.source(table, style))
            })
            .collect();
        let nulls = if self.nulls_not_distinct() { " NULLS NOT DISTINCT" } else { "" };
        let predicate = self.predicate().map(|text| format!(" WHERE {}", deparse::expression(text, table, style).text));
        format!(
            "CREATE {unique}INDEX {} ON {} USING btree ({}){nulls}{}",
            quote_ident(self.name(table)),
            qualified(catalog, table, search_path),
            columns.join(", "),
            predicate.unwrap_or_default()
        )
    }

    /// Its column or expression at `at`, from 0.
    pub(crate) fn part(self, table: &Table, at: usize, style: Style) -> Option<String> {
        self.parts(table).get(at).map(|part| part.source(table, style))
    }
}

impl Part<'_> {
    fn source(&self, table: &Table, style: Style) -> String {
        match self.expression {
            None => quote_ident(table.column_by_id(ColumnId(self.number)).map_or(self.name.as_str(), |column| &column.name)),
            Some(text) => {
                let deparsed = deparse::expression(text, table, style);
                if deparsed.is_call { deparsed.text } else { format!("({})", deparsed.text) }
            }
        }
    }
}

/// What `pg_get_expr` makes of an expression that `pg_index`, `pg_constraint` or `pg_attrdef` has for a table.
pub(crate) fn written_back(table: &Table, text: &str, style: Style) -> Option<String> {
    let checks = table.checks.iter().map(|check| check.expression.as_str());
    let generated = table.columns.iter().filter_map(|column| column.generated.as_deref());
    let predicates = table.indexes.iter().filter_map(|index| index.predicate.as_deref());
    if checks.chain(generated).chain(predicates).any(|known| known == text) {
        return Some(deparse::expression(text, table, style).text);
    }
    of(table).find_map(|index| {
        let parts = index.parts(table);
        let expressions: Vec<&str> = parts.iter().filter_map(|part| part.expression).collect();
        let shown = || expressions.iter().map(|text| deparse::expression(text, table, style).text).collect::<Vec<_>>();
        (expressions.join(", ") == text).then(|| shown().join(", "))
    })
}

/// A table's name, with its schema unless that is among those of the search path.
pub(super) fn qualified(catalog: &Catalog, table: &Table, search_path: &[&str]) -> String {
    let schema = catalog.schema_by_id(table.schema).map_or("", |schema| schema.name.as_str());
    let name = quote_ident(&table.name);
    if search_path.contains(&schema) { name } else { format!("{}.{name}", quote_ident(schema)) }
}

pub(super) fn numbers(parts: &[Part<'_>]) -> Vec<ColumnId> {
    parts.iter().map(|part| ColumnId(part.number)).collect()
}

pub(super) fn column_names(table: &Table, columns: &[ColumnId]) -> String {
    let names = columns.iter().filter_map(|id| table.column_by_id(*id)).map(|column| quote_ident(&column.name));
    names.collect::<Vec<_>>().join(", ")
}

pub(super) fn array_of(columns: &[ColumnId]) -> Value {
    Value::array(columns.iter().map(|id| Value::Int(id.0.into())))
}

/// An index's operator class and its collation.
fn operator_class(data_type: SqlType) -> (&'static str, i64) {
    match data_type {
        SqlType::Int2 => ("int2_ops", 0),
        SqlType::Int4 => ("int4_ops", 0),
        SqlType::Int8 => ("int8_ops", 0),
        SqlType::Bool => ("bool_ops", 0),
        SqlType::Bytea => ("bytea_ops", 0),
        SqlType::Float4 => ("float4_ops", 0),
        SqlType::Float8 => ("float8_ops", 0),
        SqlType::Numeric { .. } => ("numeric_ops", 0),
        SqlType::Text | SqlType::Varchar(_) => ("text_ops", 100),
        SqlType::Char(_) => ("bpchar_ops", 100),
        SqlType::Date => ("date_ops", 0),
        SqlType::Time => ("time_ops", 0),
        SqlType::Timestamp => ("timestamp_ops", 0),
        SqlType::TimestampTz => ("timestamptz_ops", 0),
        SqlType::Interval => ("interval_ops", 0),
        SqlType::Uuid => ("uuid_ops", 0),
    }
}

pub(super) fn fill_indexes(store: &Store, rows: &mut Rows) {
    let class_oids: HashMap<&str, i64> = (data::table("pg_opclass").iter())
        .flat_map(data::Table::lines)
        .filter_map(|line| {
            let mut cells = data::cells_raw(line);
            let oid = cells.next()?.parse().ok()?;
            Some((cells.nth(1)?, oid))
        })
        .collect();
    for table in tables(store) {
        for index in of(table) {
            let parts = index.parts(table);
            let classes = || parts.iter().map(|part| operator_class(part.data_type));
            let expressions: Vec<&str> = parts.iter().filter_map(|part| part.expression).collect();
            let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
            let option = |part: &Part<'_>| Value::Int(i64::from(part.descending) | (i64::from(part.nulls_first) << 1));
            rows.push([
                ("indexrelid", index.oid(table).int()),
                ("indrelid", table.id.0.int()),
                ("indnatts", count(parts.len())),
                ("indnkeyatts", count(parts.len())),
                ("indisunique", Value::Bool(index.is_unique())),
                ("indnullsnotdistinct", Value::Bool(index.nulls_not_distinct())),
                ("indisprimary", Value::Bool(index.is_primary())),
                ("indimmediate", Value::Bool(index.is_immediate())),
                ("indisvalid", Value::Bool(true)),
                ("indisready", Value::Bool(true)),
                ("indislive", Value::Bool(true)),
                ("indkey", array_of(&numbers(&parts))),
                ("indcollation", Value::array(classes().map(|(_, collation)| Value::Int(collation)))),
                ("indclass", Value::array(classes().map(|(c, _)| Value::Int(class_oids.get(c).copied().unwrap_or(0))))),
                ("indoption", Value::array(parts.iter().map(option))),
                ("indexprs", text((!expressions.is_empty()).then(|| expressions.join(", ")))),
                ("indpred", text(index.predicate().map(str::to_owned))),
            ]);
        }
    }
}
