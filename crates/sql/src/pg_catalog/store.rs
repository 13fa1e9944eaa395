//! The relations of `pg_catalog` as one session sees them at one moment, each computed when it is first read.
//!
//! ```text
//! catalog (tables, views, schemas, databases)  --+
//! data (PostgreSQL's own rows)                 --+-->  Relation, kept for the statement
//! sessions, settings, figures of the engine    --+
//! ```
//!
//! 1. Every relation of PostgreSQL 15 is there with its columns; those with nothing to say are empty.
//! 2. Views are not here: they are PostgreSQL's own texts over these relations (`data::view`).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::data::{self, Shape};
use super::kind::{self, Kind};
use super::relation::{Column, Relation, Row};
use super::value::{self, Value};
use super::{Moment, objects, server};

/// The relations of a moment.
pub(crate) struct Store {
    pub(crate) moment: Moment,
    relations: Mutex<HashMap<&'static str, Arc<Relation>>>,
    status: OnceLock<engine::Status>,
}

impl Store {
    pub(crate) fn new(moment: Moment) -> Store {
        Store { moment, relations: Mutex::default(), status: OnceLock::new() }
    }

    /// The figures of the engine, looked at once.
    pub(crate) fn status(&self) -> &engine::Status {
        self.status.get_or_init(|| self.moment.instance.engine().status())
    }

    /// The rows of a base relation.
    pub(crate) fn relation(&self, shape: &'static Shape) -> Arc<Relation> {
        if let Some(found) = self.relations.lock().get(shape.name) {
            return Arc::clone(found);
        }
        let mut rows = Rows::of(shape);
        if let Some(table) = data::table(shape.name) {
            rows.fill(&table);
        }
        if shape.schema == "pg_catalog" {
            objects::fill(self, shape.name, &mut rows);
            server::fill(self, shape.name, &mut rows);
        }
        let relation = Arc::new(Relation::new(rows.rows));
        self.relations.lock().insert(shape.name, Arc::clone(&relation));
        relation
    }

    /// The rows of a base relation of `pg_catalog`.
    pub(crate) fn catalog_relation(&self, name: &str) -> Option<Arc<Relation>> {
        data::shape("pg_catalog", name).map(|shape| self.relation(shape))
    }
}

/// The columns of a system relation.
pub(crate) fn columns(shape: &Shape) -> Vec<Column> {
    let column = |c: data::ShapeColumn| Column {
        name: c.name.into(),
        kind: kind::by_name(c.type_name).unwrap_or(kind::TEXT),
        not_null: c.not_null,
        fields: None,
    };
    shape.columns().map(column).collect()
}

/// Rows being made for a relation.
pub(crate) struct Rows {
    columns: Vec<Column>,
    blank: Row,
    rows: Vec<Row>,
}

impl Rows {
    fn of(shape: &Shape) -> Rows {
        let columns = columns(shape);
        let blank = columns.iter().map(|c| if c.not_null { blank(c.kind) } else { Value::Null }).collect();
        Rows { columns, blank, rows: vec![] }
    }

    fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == column)
    }

    /// Adds a row; columns that are not named are zero, empty or NULL.
    pub(crate) fn push<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, Value)>) {
        let mut row = self.blank.clone();
        for (column, value) in values {
            if let Some(cell) = self.position(column).and_then(|at| row.get_mut(at)) {
                *cell = value;
            }
        }
        self.rows.push(row);
    }

    fn fill(&mut self, table: &data::Table) {
        let targets: Vec<Option<usize>> = table.columns().map(|c| self.position(c)).collect();
        for line in table.lines() {
            let mut row = self.blank.clone();
            for (cell, target) in data::cells(line).into_iter().zip(&targets) {
                let Some(at) = *target else { continue };
                if let (Some(slot), Some(column)) = (row.get_mut(at), self.columns.get(at)) {
                    *slot = cell.map_or(Value::Null, |text| plain(&text, column.kind));
                }
            }
            self.rows.push(row);
        }
    }
}

fn blank(kind: Kind) -> Value {
    match kind {
        kind::BOOL => Value::Bool(false),
        kind::FLOAT4 | kind::FLOAT8 => Value::Float(0.0),
        kind if kind::is_integer(kind) => Value::Int(0),
        kind if kind::is_string(kind) => Value::text(""),
        kind if kind::is_array(kind) => Value::array([]),
        _ => Value::Null,
    }
}

/// A value of the program's own data. Names of functions are looked up as `regproc` reads them.
fn plain(text: &str, kind: Kind) -> Value {
    match kind {
        kind::BOOL => Value::Bool(text == "t"),
        kind::FLOAT4 | kind::FLOAT8 => text.parse().map_or(Value::Null, Value::Float),
        kind::REGPROC => Value::Int(objects::function_oid(text).unwrap_or(0).into()),
        kind if kind::is_integer(kind) => text.parse().map_or(Value::Null, Value::Int),
        kind::INT2VECTOR | kind::OIDVECTOR => {
            Value::array(text.split_whitespace().map(|word| word.parse().map_or(Value::Null, Value::Int)))
        }
        kind if kind::is_array(kind) => {
            let element = kind::element(kind);
            let elements = value::array_elements(text).unwrap_or_default();
            Value::array(elements.into_iter().map(|e| e.map_or(Value::Null, |text| plain(&text, element))))
        }
        _ => Value::text(text),
    }
}
