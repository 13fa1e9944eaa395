//! Bulk load: rows go straight into segments, the log carries only their files' names.
//!
//! ```text
//! append --keys ascend--> a row group's rows ----------------------------------------> build: encoded by other threads,
//!        \-else--> one segment's rows --> sorted --> its row groups ----------------/   files made durable
//! finish --> keys checked against each other, the delta and the table's segments --> part of the transaction
//! ```
//!
//! 1. A table with rows is locked against other writers until the transaction ends; readers go on.
//! 2. Nothing of it is seen before the commit; if the transaction is rolled back, the files are removed.
//! 3. Rows are taken to come in the order of their keys until one does not; from then on they are sorted, a segment at a time.
//!
//! Source: DuckDB's optimistic writes, Colibri's bulk loads.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use catalog::Table;
use delta::Newest;
use segments::{DeletionLog, KeyList, LiveSegment, Segment, WriterOptions, value_bytes};
use types::{CommitTs, Datum, Key, TxnId, arrow_form, text};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;
use crate::transaction::Transaction;

mod build;

use build::Build;

/// Bytes of Arrow rows from which a segment is closed even if it has fewer rows than aimed at.
const SEGMENT_BYTES_MAX: usize = 512 << 20;

/// A bulk load in progress. Dropping it without [`Bulk::finish`] removes what it has written.
pub struct Bulk {
    engine: Arc<Inner>,
    store: Arc<TableStore>,
    at: usize,
    me: TxnId,
    order: Order,
    buffer: Vec<RecordBatch>,
    buffered_rows: usize,
    buffered_bytes: usize,
    build: Build,
    written: Vec<Arc<Segment>>,
    rows: u64,
}

/// How the rows come, as far as is known.
enum Order {
    /// By their hidden row ids, which are given out here.
    RowIds,
    /// In the order of their keys; the last one's. The buffer has one row group's rows.
    Ascending(Vec<u8>),
    /// In any order. The buffer has one segment's rows.
    Any,
}

impl Transaction {
    /// Whether so many rows are worth a bulk load.
    pub fn loads_in_bulk(&self, rows: usize) -> bool {
        rows >= self.engine.options.bulk_rows_min
    }

    /// Begins a bulk load into a table. Waits for other writers of the table, and keeps them out until this transaction ends.
    pub fn bulk(&mut self, table: types::TableId) -> Result<Bulk, EngineError> {
        let (at, me) = self.writable_alone(table)?;
        let (engine, store) = (self.engine_handle(), Arc::clone(&self.tables[at].store));
        let order = if store.definition.primary_key.is_some() { Order::Ascending(Vec::new()) } else { Order::RowIds };
        Ok(Bulk {
            build: Build::new(Arc::clone(&engine), Arc::clone(&store), loaded()),
            engine,
            store,
            at,
            me,
            order,
            buffer: Vec::new(),
            buffered_rows: 0,
            buffered_bytes: 0,
            written: Vec::new(),
            rows: 0,
        })
    }
}

/// How rows are written that have just come: read soon, and merged or rewritten later if they change.
fn loaded() -> WriterOptions {
    WriterOptions::default()
}

impl Bulk {
    /// The columns a batch has: the table's SQL columns, of their [`arrow_form`] types.
    pub fn definition(&self) -> &Arc<Table> {
        &self.store.definition
    }

    /// Adds rows: all SQL columns in order, each of exactly its [`arrow_form::data_type`], values already coerced. Keeps a few row
    /// groups in memory, or one segment's rows where they have to be sorted. Errors: `NotNull`, `DuplicateKey`, and those of
    /// writing files, of earlier rows too. Returns the row id of the first row of a table without a primary key; the others follow it.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<Option<i64>, EngineError> {
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
        let first = (definition.hidden() == 1).then(|| self.store.take_rowids(batch.num_rows()));
        if let Some(first) = first {
            columns.push(Arc::new(Int64Array::from_iter_values(first..first + batch.num_rows() as i64)));
        }
        columns.extend(batch.columns().iter().cloned());
        let mut rest = RecordBatch::try_new(Arc::clone(self.store.schema.arrow()), columns)
            .map_err(|e| EngineError::Bug(format!("bulk load batch: {e}")))?;
        self.rows += rest.num_rows() as u64;
        self.check_order(&rest)?;
        // A batch is split where a row group or a segment is full, so that they are of even size.
        while rest.num_rows() > 0 {
            let rows = rest.num_rows().min(self.room());
            let part = rest.slice(0, rows);
            self.buffered_rows += rows;
            self.buffered_bytes += value_bytes(&part);
            self.buffer.push(part);
            rest = rest.slice(rows, rest.num_rows() - rows);
            if self.room() == 0 || self.buffered_bytes >= self.bytes_max() {
                self.write_buffer()?;
            }
        }
        Ok(first)
    }

    /// Rows that still go into the buffer.
    fn room(&self) -> usize {
        let segment_rows = self.engine.options.segment_rows;
        let rows = match self.order {
            Order::Any => segment_rows,
            _ => loaded().rows_per_group.min(segment_rows - self.build.rows()),
        };
        rows - self.buffered_rows
    }

    fn bytes_max(&self) -> usize {
        match self.order {
            Order::Any => SEGMENT_BYTES_MAX,
            _ => loaded().group_bytes_max,
        }
    }

    /// Notices rows that do not come in the order of their keys.
    fn check_order(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        let Order::Ascending(last) = &mut self.order else { return Ok(()) };
        let keys = keys_of(&self.store, batch)?;
        let Some(first) = keys.iter().next() else { return Ok(()) };
        if (last.is_empty() || last.as_slice() < first) && keys.ascends() {
            last.clear();
            last.extend_from_slice(keys.get(keys.len() - 1));
        } else {
            self.order = Order::Any;
            // What was handed on is in order, and before nothing that comes now: it is a segment of its own.
            self.build.close_segment();
        }
        Ok(())
    }

    /// Hands on what is buffered: a row group, or a segment's rows, sorted.
    fn write_buffer(&mut self) -> Result<(), EngineError> {
        let batches = std::mem::take(&mut self.buffer);
        let rows = std::mem::take(&mut self.buffered_rows);
        let bytes = std::mem::take(&mut self.buffered_bytes);
        if rows == 0 {
            return Ok(());
        }
        if !matches!(self.order, Order::Any) {
            self.build.add(batches, bytes)?;
            env::point(self.engine.env.as_ref(), "load: row group handed on");
            if self.build.rows() >= self.engine.options.segment_rows || self.build.bytes() >= SEGMENT_BYTES_MAX {
                self.build.close_segment();
            }
            return Ok(());
        }
        let batches = sorted(&self.store, batches)?;
        env::point(self.engine.env.as_ref(), "load: rows sorted");
        let per_group = loaded().rows_per_group.min((rows * loaded().group_bytes_max / bytes.max(1)).max(1));
        for group in groups(&batches, per_group) {
            let bytes = group.iter().map(value_bytes).sum();
            self.build.add(group, bytes)?;
        }
        self.build.close_segment();
        Ok(())
    }

    /// Checks keys and makes the rows part of the transaction. Returns how many there were. Errors: `DuplicateKey`; then nothing of
    /// this load remains.
    pub fn finish(mut self, transaction: &mut Transaction) -> Result<u64, EngineError> {
        self.write_buffer()?;
        self.written = self.build.finish()?;
        env::point(self.engine.env.as_ref(), "load: segments written");
        let mut deleted = Vec::new();
        if self.store.definition.primary_key.is_some() {
            self.store.bury_rest()?;
            let existing = self.store.segments();
            let older = existing.at(CommitTs::MAX).cloned().collect::<Vec<_>>();
            for (at, segment) in self.written.iter().enumerate() {
                for other in &self.written[..at] {
                    self.check_disjoint(segment, other, None)?;
                }
                for other in older.iter().chain(&transaction.tables[self.at].own.ingested) {
                    self.check_disjoint(segment, &other.segment, Some(other))?;
                }
                self.check_delta(segment, &mut deleted)?;
            }
        }
        env::point(self.engine.env.as_ref(), "load: keys checked");
        let before = transaction.savepoint();
        for key in &deleted {
            transaction.revive(self.at, key).inspect_err(|_| transaction.rollback_to(&before))?;
        }
        transaction.note_load(self.store.id())?;
        for segment in self.written.drain(..) {
            transaction.ingest(self.at, Arc::new(LiveSegment::new(segment, CommitTs::MAX, DeletionLog::default())));
        }
        env::point(self.engine.env.as_ref(), "load: part of the transaction");
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

    /// No key of the segment is a row in the delta, which nobody else changes while the table is locked. Adds those that the delta
    /// says are deleted to `deleted`.
    fn check_delta(&self, segment: &Segment, deleted: &mut Vec<Key>) -> Result<(), EngineError> {
        if self.store.delta.rows() == 0 {
            return Ok(());
        }
        for group in 0..segment.groups().len() {
            let keys = segment.group_keys(group)?;
            for key in keys.iter() {
                match self.store.delta.newest(key, self.me) {
                    Newest::NoSlot => {}
                    Newest::Deleted { .. } => deleted.push(Key::from(key)),
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
            Some(position) => segment.row(position, &self.store.layout, None)?,
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
    EngineError::DuplicateKey { id: definition.id, table: definition.name.clone(), constraint, key, values: values.to_vec() }
}

fn keys_of(store: &TableStore, batch: &RecordBatch) -> Result<KeyList, EngineError> {
    let columns: Vec<ArrayRef> = store.schema.key().iter().map(|&k| Arc::clone(batch.column(k))).collect();
    Ok(KeyList::of_columns(&store.schema, &columns, 0..batch.num_rows())?)
}

/// The rows of `batches` in runs of `rows_per_group`, the last one shorter.
fn groups(batches: &[RecordBatch], rows_per_group: usize) -> Vec<Vec<RecordBatch>> {
    let mut groups = Vec::new();
    let (mut group, mut rows) = (Vec::new(), 0);
    for batch in batches {
        let mut start = 0;
        while start < batch.num_rows() {
            let take = (rows_per_group - rows).min(batch.num_rows() - start);
            group.push(batch.slice(start, take));
            start += take;
            rows += take;
            if rows == rows_per_group {
                groups.push(std::mem::take(&mut group));
                rows = 0;
            }
        }
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

/// The same rows in the order of their keys, as they are if they are in order already. Errors: `DuplicateKey` within them.
fn sorted(store: &TableStore, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, EngineError> {
    let bug = |e: arrow::error::ArrowError| EngineError::Bug(format!("sort of a bulk load: {e}"));
    let mut lists = Vec::with_capacity(batches.len());
    for batch in &batches {
        lists.push(keys_of(store, batch)?);
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
    // Eight bytes of the key beside the row's number settle most comparisons without a look at the key itself.
    let head = |key: &[u8]| {
        let mut bytes = [0; 8];
        let len = key.len().min(8);
        bytes[..len].copy_from_slice(&key[..len]);
        u64::from_be_bytes(bytes)
    };
    let mut order: Vec<(u64, u32)> = all_keys.iter().zip(0u32..).map(|(key, row)| (head(key), row)).collect();
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| all_keys[a.1 as usize].cmp(all_keys[b.1 as usize])));
    let order: Vec<u32> = order.into_iter().map(|(_, row)| row).collect();
    let all = concat_batches(store.schema.arrow(), &batches).map_err(bug)?;
    if let Some(pair) = order.windows(2).find(|pair| all_keys[pair[0] as usize] == all_keys[pair[1] as usize]) {
        let definition = &store.definition;
        let value = |&c: &usize| arrow_form::datum_at(all.column(c), pair[1] as usize, definition.stored_type(c));
        return Err(duplicate_key(definition, &definition.key_columns().iter().map(value).collect::<Vec<_>>()));
    }
    Ok(vec![take_record_batch(&all, &UInt32Array::from(order)).map_err(bug)?])
}
