//! A relation in memory: columns, rows, and indexes made when they are first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::kind::Kind;
use super::value::Value;

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    /// In a base relation: whether NULL cannot occur.
    pub(crate) not_null: bool,
    /// Of a row: its columns.
    pub(crate) fields: Option<Fields>,
}

/// The columns of a row that is a value.
pub(crate) type Fields = Arc<[(String, Kind)]>;

pub(crate) type Row = Vec<Value>;
type Index = Arc<HashMap<Value, Vec<u32>>>;

/// Rows that do not change any more.
#[derive(Debug, Default)]
pub(crate) struct Relation {
    rows: Vec<Row>,
    indexes: Mutex<HashMap<usize, Index>>,
}

impl Relation {
    pub(crate) fn new(rows: Vec<Row>) -> Relation {
        Relation { rows, indexes: Mutex::default() }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The positions of the rows where a column equals a value; none for NULL. O(rows) the first time, then O(1).
    pub(crate) fn find(&self, column: usize, value: &Value) -> Vec<u32> {
        if value.is_null() {
            return vec![];
        }
        self.index(column).get(value).cloned().unwrap_or_default()
    }

    fn index(&self, column: usize) -> Index {
        let mut indexes = self.indexes.lock();
        let index = indexes.entry(column).or_insert_with(|| {
            let mut index: HashMap<Value, Vec<u32>> = HashMap::new();
            for (at, row) in (0..).zip(&self.rows) {
                if let Some(value) = row.get(column) {
                    index.entry(value.clone()).or_default().push(at);
                }
            }
            Arc::new(index)
        });
        Arc::clone(index)
    }
}
