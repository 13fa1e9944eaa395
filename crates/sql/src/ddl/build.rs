//! Filling an index with the entries of the rows that are there.
//!
//! ```text
//! newest view of the table --batches of rows--> batches of entries --> kept, a few    --> one by one
//!                                                                  \-> more: bulk load, sorted into segments
//! ```

use arrow::array::RecordBatch;
use engine::Transaction;
use env::blocking;
use point::write::{IndexRule, StoredBatch};
use types::{SqlError, SqlState, TableId};

use crate::dml::Target;

/// Fills an index, which has no entries, of a table that is held. Errors: 23505 if it is unique and the rows are not.
pub(crate) fn build_index(transaction: &mut Transaction, target: &Target, id: TableId) -> Result<(), SqlError> {
    let Some(index) = target.writer.indexes().iter().find(|index| index.id() == id) else {
        return Err(SqlError::bug("an index to build is not its table's"));
    };
    blocking(|| fill(transaction, target, index)).map_err(|error| not_unique(error, &index.definition().name))
}

fn fill(transaction: &mut Transaction, target: &Target, index: &IndexRule) -> Result<(), SqlError> {
    let (table, layout) = (&target.table, &target.layout);
    let view = transaction.newest_view()?.table(table.id)?;
    let columns: Vec<usize> = (0..layout.types().len()).collect();
    let mut waiting: Vec<RecordBatch> = Vec::new();
    let mut bulk = None;
    let cancel = transaction.cancel();
    for batch in view.rows(&columns, &cancel) {
        let entries = index.entries(&StoredBatch::of_stored_columns(table, layout, &batch?)?)?;
        match &mut bulk {
            Some(bulk) => append(bulk, target, &entries)?,
            None => waiting.push(entries),
        }
        if bulk.is_none() && transaction.loads_in_bulk(waiting.iter().map(RecordBatch::num_rows).sum()) {
            let new = bulk.insert(transaction.bulk(index.id())?);
            waiting.drain(..).try_for_each(|entries| append(new, target, &entries))?;
        }
    }
    if let Some(bulk) = bulk {
        bulk.finish(transaction).map_err(|error| target.writer.explain(error))?;
        return Ok(());
    }
    for entries in waiting {
        for at in 0..entries.num_rows() {
            let entry = index.entry_at(&entries, at);
            if index.add(transaction, &entry)?.is_some() {
                return Err(target.writer.unique_error(index, &index.values_of(&entry)));
            }
        }
    }
    Ok(())
}

fn append(bulk: &mut engine::Bulk, target: &Target, entries: &RecordBatch) -> Result<(), SqlError> {
    bulk.append(entries).map(drop).map_err(|error| target.writer.explain(error))
}

/// PostgreSQL's message where rows that are there are not unique.
pub(super) fn not_unique(mut error: SqlError, index: &str) -> SqlError {
    if error.state == SqlState::UNIQUE_VIOLATION {
        error.message = format!("could not create unique index \"{index}\"");
        error.fields.detail = error.fields.detail.map(|detail| detail.replace(" already exists.", " is duplicated."));
    }
    error
}
