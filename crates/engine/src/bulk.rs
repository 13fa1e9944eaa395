//! Bulk load: rows go straight into segments, the log carries only their files' names.
//!
//! ```text
//! append --> buffer of one segment's rows --> sorted by key if it is not --> segment files, durable
//! finish --> keys checked against each other, the delta and the table's segments --> part of the transaction
//! ```
//!
//! 1. A table with rows is locked against other writers until the transaction ends; readers go on.
//! 2. Nothing of it is seen before the commit; if the transaction is rolled back, the files are removed.
//!
//! Source: DuckDB's optimistic writes, Colibri's bulk loads.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use catalog::Table;
use delta::Newest;
use segments::{DeletionLog, KeyList, LiveSegment, Segment, SegmentWriter};
use txn::TableLock;
use types::{CommitTs, Datum, TxnId, arrow_form, text};

use crate::compact::settled;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;
use crate::transaction::Transaction;

/// Bytes of buffered Arrow rows from which a segment is written even if it has fewer rows than aimed at.
const BUFFER_BYTES_MAX: usize = 512 << 20;

/// A bulk load in progress. Dropping it without [`Bulk::finish`] removes what it has written.
pub struct Bulk {
    engine: Arc<Inner>,
    store: Arc<TableStore>,
    at: usize,
    me: TxnId,
    buffer: Vec<RecordBatch>,
    buffered_rows: usize,
    buffered_bytes: usize,
    written: Vec<Arc<Segment>>,
    rows: u64,
}

impl Transaction {
    /// Begins a bulk load into a table. Waits for other writers of the table, and keeps them out until this transaction ends.
    pub fn bulk(&mut self, table: types::TableId) -> Result<Bulk, EngineError> {
        let (at, me) = self.writable(table, TableLock::Exclusive)?;
        Ok(Bulk {
            engine: self.engine_handle(),
            store: Arc::clone(&self.tables[at].store),
            at,
            me,
            buffer: Vec::new(),
            buffered_rows: 0,
            buffered_bytes: 0,
            written: Vec::new(),
            rows: 0,
        })
    }
}

impl Bulk {
    /// The columns a batch has: the table's SQL columns, of their [`arrow_form`] types.
    pub fn definition(&self) -> &Arc<Table> {
        &self.store.definition
    }

    /// Adds rows: all SQL columns in order, each of exactly its [`arrow_form::data_type`], values already coerced. Keeps at most
    /// one segment's rows in memory. Errors: `NotNull`, and those of writing files.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        let definition = &self.store.definition;
        if batch.num_columns() != definition.columns.len() {
            return Err(EngineError::Bug(format!(
                "bulk load of {} columns into {}",
                batch.num_columns(),
                definition.columns.len()
            )));
        }
        for (column, array) in definition.columns.iter().zip(batch.columns()) {
            if column.not_null && array.null_count() > 0 {
                return Err(EngineError::NotNull { table: definition.name.clone(), column: column.name.clone() });
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.store.schema.columns().len());
        if definition.hidden() == 1 {
            let first = self.store.take_rowids(batch.num_rows());
            columns.push(Arc::new(Int64Array::from_iter_values(first..first + batch.num_rows() as i64)));
        }
        columns.extend(batch.columns().iter().cloned());
        let stored = RecordBatch::try_new(Arc::clone(self.store.schema.arrow()), columns)
            .map_err(|e| EngineError::Bug(format!("bulk load batch: {e}")))?;
        // A slice is split where a segment is full, so that segments are of even size.
        let mut rest = stored;
        loop {
            let room = self.engine.options.segment_rows - self.buffered_rows;
            let rows = rest.num_rows().min(room);
            let part = rest.slice(0, rows);
            self.buffered_rows += rows;
            self.buffered_bytes += part.get_array_memory_size() * rows / rest.num_rows().max(1);
            self.rows += rows as u64;
            self.buffer.push(part);
            if self.buffered_rows >= self.engine.options.segment_rows || self.buffered_bytes >= BUFFER_BYTES_MAX {
                self.write_buffer()?;
            }
            if rows == rest.num_rows() {
                return Ok(());
            }
            rest = rest.slice(rows, rest.num_rows() - rows);
        }
    }

    fn write_buffer(&mut self) -> Result<(), EngineError> {
        let batches = std::mem::take(&mut self.buffer);
        self.buffered_rows = 0;
        self.buffered_bytes = 0;
        let Some(segment) = write_segment(&self.engine, &self.store, batches)? else { return Ok(()) };
        self.written.push(segment);
        Ok(())
    }

    /// Checks keys and makes the rows part of the transaction. Returns how many there were. Errors: `DuplicateKey`; then nothing of
    /// this load remains.
    pub fn finish(mut self, transaction: &mut Transaction) -> Result<u64, EngineError> {
        self.write_buffer()?;
        if self.store.definition.primary_key.is_some() {
            let existing = self.store.segments();
            let older = existing.at(CommitTs::MAX).cloned().collect::<Vec<_>>();
            for (at, segment) in self.written.iter().enumerate() {
                for other in &self.written[..at] {
                    self.check_disjoint(segment, other, None)?;
                }
                for other in older.iter().chain(&transaction.tables[self.at].own.ingested) {
                    self.check_disjoint(segment, &other.segment, Some(other))?;
                }
                self.check_delta(segment)?;
            }
        }
        for segment in self.written.drain(..) {
            transaction.ingest(self.at, Arc::new(LiveSegment::new(segment, CommitTs::MAX, DeletionLog::default())));
        }
        Ok(self.rows)
    }

    /// No key of one segment is a live key of the other.
    fn check_disjoint(&self, new: &Segment, other: &Segment, live: Option<&Arc<LiveSegment>>) -> Result<(), EngineError> {
        if new.max_key() < other.min_key() || other.max_key() < new.min_key() {
            return Ok(());
        }
        let (few, many) = if new.rows() <= other.rows() { (new, other) } else { (other, new) };
        for group in 0..few.groups().len() {
            let keys = few.group_keys(group)?;
            for key in keys.iter() {
                let Some(position) = many.find(key)? else { continue };
                let dead = match live {
                    None => false,
                    Some(live) => {
                        let position = if std::ptr::eq(many, other) { Some(position) } else { other.find(key)? };
                        position.is_some_and(|p| live.dead.contains(p, CommitTs::MAX))
                            || !matches!(self.store.delta.newest(key, self.me), Newest::NoSlot)
                    }
                };
                if !dead {
                    return Err(self.duplicate(new, key)?);
                }
            }
        }
        Ok(())
    }

    /// No key of the segment is a row in the delta, which nobody else changes while the table is locked.
    fn check_delta(&self, segment: &Segment) -> Result<(), EngineError> {
        if self.store.delta.rows() == 0 {
            return Ok(());
        }
        for group in 0..segment.groups().len() {
            let keys = segment.group_keys(group)?;
            for key in keys.iter() {
                match self.store.delta.newest(key, self.me) {
                    Newest::NoSlot | Newest::Deleted { .. } => {}
                    Newest::Row { .. } | Newest::InSegment { .. } | Newest::Blocked(_) => {
                        return Err(self.duplicate(segment, key)?);
                    }
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, segment: &Segment, key: &[u8]) -> Result<EngineError, EngineError> {
        let definition = &self.store.definition;
        let row = match segment.find(key)? {
            Some(position) => segment.row(position, &self.store.layout)?,
            None => return Err(EngineError::Bug("a key of a segment is not found in it".into())),
        };
        let row = self.store.layout.read(&row);
        Ok(duplicate_key(definition, &definition.key_columns().iter().map(|&c| row.get(c).to_owned()).collect::<Vec<_>>()))
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        for segment in self.written.drain(..) {
            self.engine.discard_unseen(segment);
        }
    }
}

/// The error for a key that exists, with PostgreSQL's rendering of it.
pub(crate) fn duplicate_key(definition: &Table, values: &[Datum]) -> EngineError {
    let name = |&c: &usize| definition.columns[c].name.clone();
    let (constraint, names) = match &definition.primary_key {
        Some(key) => (key.name.clone(), key.columns.iter().map(name).collect::<Vec<_>>().join(", ")),
        None => (String::new(), catalog::ROWID.to_owned()),
    };
    let mut shown = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            shown.extend_from_slice(b", ");
        }
        text::format(value.as_ref(), &mut shown);
    }
    let key = format!("({names})=({})", String::from_utf8_lossy(&shown));
    EngineError::DuplicateKey { table: definition.name.clone(), constraint, key }
}

/// Writes rows of the stored columns, in any order, as one segment. None if there are no rows. Errors: `DuplicateKey` within them.
fn write_segment(engine: &Inner, store: &TableStore, batches: Vec<RecordBatch>) -> Result<Option<Arc<Segment>>, EngineError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows == 0 {
        return Ok(None);
    }
    let batches = if store.definition.primary_key.is_some() { sorted(store, batches)? } else { batches };
    let mut writer = SegmentWriter::create(
        Arc::clone(&engine.env),
        &store.dir(engine.env.as_ref(), &engine.dir)?,
        engine.new_segment(),
        Arc::clone(&store.schema),
        settled(),
        Arc::clone(&engine.cache),
    )?;
    for batch in &batches {
        writer.append(batch)?;
    }
    Ok(Some(writer.finish()?))
}

/// The same rows in the order of their keys, as they are if they are in order already. Errors: `DuplicateKey` within them.
fn sorted(store: &TableStore, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, EngineError> {
    let bug = |e: arrow::error::ArrowError| EngineError::Bug(format!("sort of a bulk load: {e}"));
    let mut lists = Vec::with_capacity(batches.len());
    for batch in &batches {
        let columns: Vec<ArrayRef> = store.schema.key().iter().map(|&k| Arc::clone(batch.column(k))).collect();
        lists.push(KeyList::of_columns(&store.schema, &columns, 0..batch.num_rows())?);
    }
    let mut keys = lists.iter().flat_map(|list| list.iter());
    let mut last = keys.next();
    let in_order = keys.all(|key| {
        let ascends = last.is_some_and(|last| last < key);
        last = Some(key);
        ascends
    });
    if in_order {
        return Ok(batches);
    }
    let all_keys: Vec<&[u8]> = lists.iter().flat_map(|list| list.iter()).collect();
    let mut order: Vec<u32> = (0..all_keys.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| all_keys[a as usize].cmp(all_keys[b as usize]));
    let all = concat_batches(store.schema.arrow(), &batches).map_err(bug)?;
    if let Some(pair) = order.windows(2).find(|pair| all_keys[pair[0] as usize] == all_keys[pair[1] as usize]) {
        let definition = &store.definition;
        let value = |&c: &usize| arrow_form::datum_at(all.column(c), pair[1] as usize, definition.stored_type(c));
        return Err(duplicate_key(definition, &definition.key_columns().iter().map(value).collect::<Vec<_>>()));
    }
    Ok(vec![take_record_batch(&all, &UInt32Array::from(order)).map_err(bug)?])
}
