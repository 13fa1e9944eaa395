//! A foreign key with the two tables it ties together.

use std::sync::Arc;

use catalog::{Catalog, ForeignKey, Index, IndexSource, Table};
use types::{ColumnId, Datum, Key, Oid, RowLayout, RowRef, SqlError, SqlState, SqlType, TableId, coerce, text};

/// See the module's head.
pub(super) struct Link {
    pub(super) key: ForeignKey,
    /// The table with the references, and its stored columns that are such.
    pub(super) child: Arc<Table>,
    pub(super) child_columns: Vec<usize>,
    /// The table they are to, and its stored columns.
    pub(super) parent: Arc<Table>,
    pub(super) parent_columns: Vec<usize>,
    pub(super) child_layout: RowLayout,
    pub(super) parent_layout: RowLayout,
    target: Target,
    /// The hidden table of a unique index that is the target.
    storage: Option<Table>,
    schema_name: String,
}

/// What a reference is looked up by.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    PrimaryKey,
    Unique(Box<Index>),
}

/// The key that makes these columns of a table unique, in whatever order: what a foreign key can be to.
pub(crate) fn unique_target(table: &Table, columns: &[ColumnId]) -> Option<Target> {
    if let Some(key) = &table.primary_key
        && are_same(key.columns.iter().map(|at| Some(table.columns[*at].id)), columns)
    {
        return Some(Target::PrimaryKey);
    }
    let mut fitting = unique_indexes(table, columns).filter(|index| index.refuses_duplicates());
    fitting.next().map(|index| Target::Unique(Box::new(index.clone())))
}

/// Whether a deferrable key makes these columns unique.
pub(crate) fn has_deferrable(table: &Table, columns: &[ColumnId]) -> bool {
    unique_indexes(table, columns).any(|index| !index.refuses_duplicates())
}

/// The unique indexes of exactly these columns, for all rows.
fn unique_indexes<'t>(table: &'t Table, columns: &[ColumnId]) -> impl Iterator<Item = &'t Index> {
    let source = |source: &IndexSource| match source {
        IndexSource::Column(id) => Some(*id),
        IndexSource::Expression { .. } => None,
    };
    let plain = table.indexes.iter().filter(|index| index.unique && index.predicate.is_none());
    plain.filter(move |index| are_same(index.columns.iter().map(|column| source(&column.source)), columns))
}

fn are_same(ids: impl Iterator<Item = Option<ColumnId>>, columns: &[ColumnId]) -> bool {
    let ids: Vec<Option<ColumnId>> = ids.collect();
    ids.len() == columns.len() && columns.iter().all(|column| ids.contains(&Some(*column)))
}

/// The index that a foreign key relies on: `None` for its target's primary key.
pub(crate) fn target_of(catalog: &Catalog, key: &ForeignKey) -> Option<(TableId, Option<TableId>)> {
    let table = catalog.table_by_id(key.target)?;
    match unique_target(table, &key.target_columns)? {
        Target::PrimaryKey => Some((table.id, None)),
        Target::Unique(index) => Some((table.id, Some(index.id))),
    }
}

impl Link {
    pub(super) fn of(catalog: &Catalog, constraint: Oid) -> Option<Link> {
        let (child, key) = catalog.tables().find_map(|table| {
            let key = table.foreign_keys.iter().find(|key| key.id == constraint)?;
            Some((table, key))
        })?;
        Link::new(catalog, child, key)
    }

    pub(super) fn new(catalog: &Catalog, child: &Arc<Table>, key: &ForeignKey) -> Option<Link> {
        let parent = catalog.table_by_id(key.target)?;
        let stored = |table: &Table, ids: &[ColumnId]| -> Option<Vec<usize>> {
            ids.iter().map(|id| table.position_of(*id).map(|at| at + table.hidden())).collect()
        };
        let target = unique_target(parent, &key.target_columns)?;
        Some(Link {
            child_layout: RowLayout::new(&child.stored_types()),
            parent_layout: RowLayout::new(&parent.stored_types()),
            storage: match &target {
                Target::PrimaryKey => None,
                Target::Unique(index) => Some(index.storage(parent)),
            },
            child_columns: stored(child, &key.columns)?,
            parent_columns: stored(parent, &key.target_columns)?,
            target,
            schema_name: catalog.schema_by_id(child.schema).map(|schema| schema.name.clone()).unwrap_or_default(),
            key: key.clone(),
            child: Arc::clone(child),
            parent: Arc::clone(parent),
        })
    }

    /// Where the row with these values of the referenced columns is looked up: the table or hidden table, and the key.
    pub(super) fn place_of(&self, values: &[Datum]) -> (TableId, Key) {
        let value = |stored: usize| {
            let at = self.parent_columns.iter().position(|column| *column == stored);
            at.and_then(|at| values.get(at)).cloned().unwrap_or(Datum::Null)
        };
        match (&self.target, &self.storage) {
            (Target::PrimaryKey, _) | (_, None) => {
                let values: Vec<Datum> = self.parent.key_columns().into_iter().map(value).collect();
                (self.parent.id, self.parent.key_from(&values))
            }
            (Target::Unique(index), Some(storage)) => {
                let of = |source: &IndexSource| match source {
                    IndexSource::Column(id) => {
                        self.parent.position_of(*id).map_or(Datum::Null, |at| value(at + self.parent.hidden()))
                    }
                    IndexSource::Expression { .. } => Datum::Null,
                };
                let mut key: Vec<Datum> = index.columns.iter().map(|column| of(&column.source)).collect();
                if index.has_tiebreak() {
                    key.extend(index.row_key_missing(&self.parent).iter().map(|_| Datum::Null));
                }
                (index.id, storage.key_from(&key))
            }
        }
    }

    /// What a row of the child refers to: values of the referenced columns' types. `None` if no row of the parent can have them.
    pub(super) fn to_parent(&self, values: &[Datum]) -> Option<Vec<Datum>> {
        exactly(values, (&self.child, &self.child_columns), (&self.parent, &self.parent_columns))
    }

    /// What rows of the child have that refer to these values. `None` if none can.
    pub(super) fn to_child(&self, values: &[Datum]) -> Option<Vec<Datum>> {
        exactly(values, (&self.parent, &self.parent_columns), (&self.child, &self.child_columns))
    }

    /// Values of the child as a key has them: equal ones have equal bytes.
    pub(super) fn key_of(&self, values: &[Datum]) -> Vec<u8> {
        let mut out = Vec::new();
        for (value, column) in values.iter().zip(&self.child_columns) {
            types::key::encode_nullable(value.as_ref(), self.child.stored_type(*column), &mut out);
        }
        out
    }

    pub(super) fn child_values(&self, row: RowRef<'_>) -> Vec<Datum> {
        self.child_columns.iter().map(|column| row.get(*column).to_owned()).collect()
    }

    pub(super) fn parent_values(&self, row: RowRef<'_>) -> Vec<Datum> {
        self.parent_columns.iter().map(|column| row.get(*column).to_owned()).collect()
    }

    /// 23503: these values of the child are not in the parent.
    pub(super) fn not_present(&self, values: &[Datum]) -> SqlError {
        let key = shown(&self.child, &self.child_columns, values);
        self.violation(format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            self.child.name, self.key.name
        ))
        .detail(format!("Key {key} is not present in table \"{}\".", self.parent.name))
    }

    /// 23503: some of the columns are NULL.
    pub(super) fn mixed(&self) -> SqlError {
        self.violation(format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            self.child.name, self.key.name
        ))
        .detail("MATCH FULL does not allow mixing of null and nonnull key values.")
    }

    /// 23503: rows of the child refer to these values of the parent.
    pub(super) fn still_referenced(&self, values: &[Datum]) -> SqlError {
        let key = shown(&self.parent, &self.parent_columns, values);
        let (parent, child, name) = (&self.parent.name, &self.child.name, &self.key.name);
        self.violation(format!(
            "update or delete on table \"{parent}\" violates foreign key constraint \"{name}\" on table \"{child}\""
        ))
        .detail(format!("Key {key} is still referenced from table \"{child}\"."))
    }

    fn violation(&self, message: String) -> SqlError {
        let mut error = SqlError::new(SqlState::FOREIGN_KEY_VIOLATION, message);
        error.fields.schema = Some(self.schema_name.clone());
        error.table(&self.child.name).constraint(&self.key.name)
    }
}

/// `(a, b)=(1, 2)`
fn shown(table: &Table, columns: &[usize], values: &[Datum]) -> String {
    let names = columns.iter().filter_map(|column| table.columns.get(column.checked_sub(table.hidden())?));
    let names: Vec<&str> = names.map(|column| column.name.as_str()).collect();
    let values: Vec<String> = values.iter().map(|value| text::to_string(value.as_ref())).collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// Values of columns of one table as values of columns of another, if those have them.
fn exactly(values: &[Datum], from: (&Table, &[usize]), to: (&Table, &[usize])) -> Option<Vec<Datum>> {
    let same = values.iter().zip(from.1).zip(to.1);
    same.map(|((value, own), other)| same_value(value, from.0.stored_type(*own), to.0.stored_type(*other))).collect()
}

fn same_value(value: &Datum, from: SqlType, to: SqlType) -> Option<Datum> {
    let other = coerce::assign(value.clone(), to).ok()?;
    let same = match (value, &other) {
        // Blanks at the end of a char do not count; those of a text do.
        (Datum::Text(a), Datum::Text(b)) if matches!(from, SqlType::Char(_)) => {
            a.trim_end_matches(' ') == b.trim_end_matches(' ')
        }
        // Of one type: NaN is itself.
        (Datum::Float4(_), Datum::Float4(_)) | (Datum::Float8(_), Datum::Float8(_)) => true,
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) && !matches!(a, Datum::Numeric(_)) => a == b,
        (a, b) => same_number(a, b),
    };
    same.then_some(other)
}

/// Whether two numbers are equal as numerics, whatever their types.
fn same_number(a: &Datum, b: &Datum) -> bool {
    let plain = |value: &Datum| {
        let text = text::to_string(value.as_ref());
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    };
    plain(a) == plain(b)
}
