//! Constraints as PostgreSQL shows them: `pg_constraint`, `pg_get_constraintdef`, and what they depend on.

use std::collections::HashMap;
use std::sync::LazyLock;

use catalog::{Action, Catalog, Check, Deferral, ForeignKey, Index, Table};
use types::{ColumnId, SqlType};

use super::data;
use super::indexes::{AnIndex, Part, array_of, column_names, numbers, of, qualified};
use super::objects::{AsValue, PG_CLASS, tables};
use super::store::{Rows, Store};
use super::value::Value;
use crate::deparse::{self, Style};

const PG_CONSTRAINT: i64 = 2606;

/// A constraint of a table.
pub(crate) enum AConstraint<'a> {
    PrimaryKey,
    Unique(&'a Index),
    Check(&'a Check),
    ForeignKey(&'a ForeignKey),
}

/// The constraint with an oid.
pub(crate) fn constraint(catalog: &Catalog, oid: u32) -> Option<(&Table, AConstraint<'_>)> {
    catalog.tables().find_map(|table| constraints_of(table).find(|c| c.oid(table) == oid).map(|c| (table.as_ref(), c)))
}

fn constraints_of(table: &Table) -> impl Iterator<Item = AConstraint<'_>> {
    let key = table.primary_key.iter().map(|_| AConstraint::PrimaryKey);
    let unique = table.indexes.iter().filter(|index| index.constraint.is_some()).map(AConstraint::Unique);
    let checks = table.checks.iter().map(AConstraint::Check);
    key.chain(unique).chain(checks).chain(table.foreign_keys.iter().map(AConstraint::ForeignKey))
}

impl AConstraint<'_> {
    fn oid(&self, table: &Table) -> u32 {
        match self {
            AConstraint::PrimaryKey => table.primary_key.as_ref().map_or(0, |key| key.id.0),
            AConstraint::Unique(index) => index.constraint.as_ref().map_or(0, |c| c.id.0),
            AConstraint::Check(check) => check.id.0,
            AConstraint::ForeignKey(key) => key.id.0,
        }
    }

    /// As `pg_get_constraintdef` writes it.
    pub(crate) fn definition(&self, catalog: &Catalog, table: &Table, style: Style, search_path: &[&str]) -> String {
        match self {
            AConstraint::PrimaryKey => {
                format!("PRIMARY KEY ({})", column_names(table, &numbers(&AnIndex::PrimaryKey.parts(table))))
            }
            AConstraint::Unique(index) => {
                let nulls = if index.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
                let columns = column_names(table, &numbers(&AnIndex::Secondary(index).parts(table)));
                let kind = if index.is_primary() { "PRIMARY KEY" } else { "UNIQUE" };
                format!("{kind}{nulls} ({columns}){}", deferral(index.deferral()))
            }
            AConstraint::Check(check) => {
                let text = deparse::expression(&check.expression, table, style).text;
                format!("CHECK ({text}){}", if check.validated { "" } else { " NOT VALID" })
            }
            AConstraint::ForeignKey(key) => foreign_key(catalog, table, key, search_path),
        }
    }
}

fn foreign_key(catalog: &Catalog, table: &Table, key: &ForeignKey, search_path: &[&str]) -> String {
    let Some(target) = catalog.table_by_id(key.target) else { return String::new() };
    let mut text = format!(
        "FOREIGN KEY ({}) REFERENCES {}({})",
        column_names(table, &key.columns),
        qualified(catalog, target, search_path),
        column_names(target, &key.target_columns)
    );
    if key.match_full {
        text.push_str(" MATCH FULL");
    }
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            Action::Nothing => continue,
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        };
        text.push_str(&format!(" ON {event} {action}"));
        if event == "DELETE" && !key.delete_sets.is_empty() {
            text.push_str(&format!(" ({})", column_names(table, &key.delete_sets)));
        }
    }
    text.push_str(deferral(key.deferral));
    if !key.validated {
        text.push_str(" NOT VALID");
    }
    text
}

fn deferral(deferral: Deferral) -> &'static str {
    match deferral {
        Deferral::NotDeferrable => "",
        Deferral::Immediate => " DEFERRABLE",
        Deferral::Deferred => " DEFERRABLE INITIALLY DEFERRED",
    }
}

fn types_of(table: &Table, columns: &[ColumnId]) -> Vec<SqlType> {
    columns.iter().filter_map(|id| table.column_by_id(*id)).map(|column| column.data_type).collect()
}

/// The oid of the operator `=` of two types; 0 if there is none.
fn equality(left: SqlType, right: SqlType) -> i64 {
    static OIDS: LazyLock<HashMap<(u32, u32), i64>> = LazyLock::new(|| {
        let mut oids = HashMap::new();
        for line in data::table("pg_operator").iter().flat_map(data::Table::lines) {
            let cells: Vec<&str> = data::cells_raw(line).collect();
            if let [oid, "=", _, _, _, _, _, left, right, ..] = cells.as_slice()
                && let (Ok(oid), Ok(left), Ok(right)) = (oid.parse(), left.parse(), right.parse())
            {
                oids.insert((left, right), oid);
            }
        }
        oids
    });
    let of = |t: SqlType| if matches!(t, SqlType::Varchar(_)) { SqlType::Text.oid() } else { t.oid() };
    OIDS.get(&(of(left), of(right))).copied().unwrap_or(0)
}

pub(super) fn fill_constraints(store: &Store, rows: &mut Rows) {
    let catalog = &store.moment.catalog;
    for table in tables(store) {
        for constraint in constraints_of(table) {
            let unique = |index: AnIndex<'_>| (index.oid(table), numbers(&index.parts(table)));
            let (kind, name, (index, columns), deferral, validated) = match &constraint {
                AConstraint::PrimaryKey => {
                    ("p", AnIndex::PrimaryKey.name(table), unique(AnIndex::PrimaryKey), Deferral::NotDeferrable, true)
                }
                AConstraint::Unique(index) => {
                    let kind = if index.is_primary() { "p" } else { "u" };
                    (kind, index.name.as_str(), unique(AnIndex::Secondary(index)), index.deferral(), true)
                }
                AConstraint::Check(check) => {
                    let columns = deparse::columns(&check.expression, table);
                    ("c", check.name.as_str(), (0, columns), Deferral::NotDeferrable, check.validated)
                }
                AConstraint::ForeignKey(key) => {
                    let index = catalog.table_by_id(key.target).and_then(|target| referenced(target, key)).unwrap_or(0);
                    ("f", key.name.as_str(), (index, key.columns.clone()), key.deferral, key.validated)
                }
            };
            let key = match &constraint {
                AConstraint::ForeignKey(key) => Some(*key),
                _ => None,
            };
            let letter = |action: Option<Action>| {
                Value::text(match action {
                    None => " ",
                    Some(Action::Nothing) => "a",
                    Some(Action::Restrict) => "r",
                    Some(Action::Cascade) => "c",
                    Some(Action::SetNull) => "n",
                    Some(Action::SetDefault) => "d",
                })
            };
            let own: Vec<SqlType> = types_of(table, &columns);
            let other = key.and_then(|key| Some(types_of(catalog.table_by_id(key.target)?, &key.target_columns)));
            let equals = |left: &[SqlType], right: &[SqlType]| match key {
                Some(_) => Value::array(left.iter().zip(right).map(|(l, r)| Value::Int(equality(*l, *r)))),
                None => Value::Null,
            };
            let other = other.unwrap_or_default();
            let sets = key.filter(|key| !key.delete_sets.is_empty()).map_or(Value::Null, |key| array_of(&key.delete_sets));
            let full = key.map_or(" ", |key| if key.match_full { "f" } else { "s" });
            let check = match &constraint {
                AConstraint::Check(check) => Value::text(&check.expression),
                _ => Value::Null,
            };
            rows.push([
                ("oid", constraint.oid(table).int()),
                ("conname", Value::text(name)),
                ("connamespace", table.schema.0.int()),
                ("contype", Value::text(kind)),
                ("condeferrable", Value::Bool(deferral != Deferral::NotDeferrable)),
                ("condeferred", Value::Bool(deferral == Deferral::Deferred)),
                ("convalidated", Value::Bool(validated)),
                ("conrelid", table.id.0.int()),
                ("conindid", index.int()),
                ("confrelid", key.map_or(0, |key| key.target.0).int()),
                ("confupdtype", letter(key.map(|key| key.on_update))),
                ("confdeltype", letter(key.map(|key| key.on_delete))),
                ("confmatchtype", Value::text(full)),
                ("conislocal", Value::Bool(true)),
                ("connoinherit", Value::Bool(kind != "c")),
                ("conkey", array_of(&columns)),
                ("confkey", key.map_or(Value::Null, |key| array_of(&key.target_columns))),
                ("conpfeqop", equals(&other, &own)),
                ("conppeqop", equals(&other, &other)),
                ("conffeqop", equals(&own, &own)),
                ("confdelsetcols", sets),
                ("conbin", check),
            ]);
        }
    }
}

/// The index of `target` that a foreign key relies on.
fn referenced(target: &Table, key: &ForeignKey) -> Option<u32> {
    let same = |parts: &[Part<'_>]| {
        parts.len() == key.target_columns.len() && parts.iter().all(|p| key.target_columns.contains(&ColumnId(p.number)))
    };
    let found = of(target)
        .find(|index| index.is_unique() && index.is_immediate() && index.predicate().is_none() && same(&index.parts(target)));
    found.map(|index| index.oid(target))
}

/// What constraints and their indexes depend on.
pub(super) fn fill_dependencies(store: &Store, rows: &mut Rows) {
    let catalog = &store.moment.catalog;
    for table in tables(store) {
        let mut add = |class: i64, object: u32, referenced_class: i64, referenced: u32, column: u16, how: &str| {
            rows.push([
                ("classid", Value::Int(class)),
                ("objid", object.int()),
                ("refclassid", Value::Int(referenced_class)),
                ("refobjid", referenced.int()),
                ("refobjsubid", Value::Int(column.into())),
                ("deptype", Value::text(how)),
            ]);
        };
        for constraint in constraints_of(table) {
            let oid = constraint.oid(table);
            let index = match &constraint {
                AConstraint::PrimaryKey => Some(AnIndex::PrimaryKey),
                AConstraint::Unique(index) => Some(AnIndex::Secondary(index)),
                AConstraint::Check(_) | AConstraint::ForeignKey(_) => None,
            };
            let columns = match (&constraint, index) {
                (_, Some(index)) => numbers(&index.parts(table)),
                (AConstraint::Check(check), _) => deparse::columns(&check.expression, table),
                (AConstraint::ForeignKey(key), _) => key.columns.clone(),
                _ => vec![],
            };
            columns.iter().for_each(|column| add(PG_CONSTRAINT, oid, PG_CLASS, table.id.0, column.0, "a"));
            if let Some(index) = index {
                add(PG_CLASS, index.oid(table), PG_CONSTRAINT, oid, 0, "i");
            }
            if let AConstraint::ForeignKey(key) = constraint {
                key.target_columns.iter().for_each(|column| add(PG_CONSTRAINT, oid, PG_CLASS, key.target.0, column.0, "n"));
                if let Some(index) = catalog.table_by_id(key.target).and_then(|target| referenced(target, key)) {
                    add(PG_CONSTRAINT, oid, PG_CLASS, index, 0, "n");
                }
            }
        }
        for index in &table.indexes {
            if index.constraint.is_none() {
                let parts = AnIndex::Secondary(index).parts(table);
                numbers(&parts)
                    .iter()
                    .filter(|id| id.0 > 0)
                    .for_each(|id| add(PG_CLASS, index.id.0, PG_CLASS, table.id.0, id.0, "a"));
            }
        }
    }
}
