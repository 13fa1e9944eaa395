//! Opening a data directory: the newest manifest, then the log after it.
//!
//! ```text
//! dir/LOCK                     one owner
//! dir/manifest/<version>.mf    1 load the newest: catalog, segments, deletion vectors, dumps: the database at F
//! dir/wal/<number>.wal         2 redo commits after F, in order, by key
//! dir/data/<table>/...         3 remove files that neither names: they belong to work that was never finished
//! ```
//!
//! 1. What is redone takes the same path as what was done: versions in the delta, dead rows in deletion vectors.
//! 2. Redo obeys the delta's limit: above it rows are frozen while the log is read.
//! 3. A table of which something cannot be loaded is damaged: it takes no further part, the others are loaded. Then nothing is removed,
//!    and the database is for reading only.
//! 4. Nothing here writes to the log, and files are removed only after everything is loaded and the manifest is durable. Crashing
//!    at any point and opening again gives the same database.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use catalog::Catalog;
use delta::{Base, Expect, Newest, PutOutcome, Write};
use env::Env;
use roaring::RoaringBitmap;
use segments::files::FileName;
use segments::{Cache, DeletionLog, DumpReader, LiveSegment, Manifest, ManifestTable, Segment, SegmentFileInfo, files};
use txn::Transactions;
use types::{CommitTs, Key, Lsn, Row, SegmentId, TableId, TxnId};
use wal::{ReplayStop, Wal};

use crate::checkpoint;
use crate::directory;
use crate::engine::{Inner, Recovered, table_dir};
use crate::error::EngineError;
use crate::freeze::{self, Destination};
use crate::maintenance::Progress;
use crate::options::Options;
use crate::redo::{self, Op};
use crate::repair::Repairs;
use crate::sequences::Counters;
use crate::table::TableStore;

/// Under which redo writes; no transaction has it.
pub(crate) const REDO: TxnId = TxnId(0);

/// Between looks at how much the deltas hold while the log is redone.
const RECORDS_PER_LOOK: u64 = 1024;
/// The same in bytes of records: rows may be big.
const BYTES_PER_LOOK: u64 = 1 << 20;

/// Between two lines of the log that say how far recovery is.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

struct Loading {
    env: Arc<dyn Env>,
    dir: PathBuf,
    options: Options,
    cache: Arc<Cache>,
    catalog: Arc<Catalog>,
    counters: Counters,
    tables: HashMap<TableId, Arc<TableStore>>,
    /// The last commit in place.
    ts: CommitTs,
    next_segment: u64,
    redone_bytes: u64,
    records_since_look: u64,
    bytes_since_look: u64,
    /// What there is to redo, at most: files are reused, and the last one is seldom full.
    log_bytes_max: u64,
    /// When progress is told next, by the monotonic clock.
    next_told: Duration,
    /// Segments that the log names: the next recovery may read the same log, so their files stay even if they are retired.
    logged: HashSet<SegmentId>,
    /// If what is damaged is to be mended.
    repairs: Option<Repairs>,
}

pub(crate) fn open(env: Arc<dyn Env>, dir: &Path, options: Options) -> Result<Arc<Inner>, EngineError> {
    let io = |action, error: std::io::Error| EngineError::io(action, dir, &error);
    let cache = Cache::new(options.cache_bytes_max as usize);
    let mut repairs = options.repair.then(|| Repairs::new(&env, dir, &cache));
    if repairs.is_none() && directory::is_new(env.as_ref(), dir)? && !options.create {
        return Err(EngineError::NotADataDirectory(dir.to_owned()));
    }
    if repairs.is_none() {
        env.create_dir_all(dir).map_err(|e| io("create data directory", e))?;
    } else if !env.exists(&dir.join("manifest")).map_err(|e| io("look into", e))? {
        return Err(EngineError::NotADataDirectory(dir.to_owned()));
    }
    let lock = env.lock(&dir.join("LOCK")).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => EngineError::Locked(dir.to_owned()),
        _ => io("lock data directory", e),
    })?;
    if let Some(repairs) = &mut repairs {
        repairs.mend_format()?;
    }
    // Another process may have made it meanwhile.
    let new = directory::is_new(env.as_ref(), dir)?;
    directory::prepare(env.as_ref(), dir, new)?;

    let manifest = Manifest::load_newest(env.as_ref(), &dir.join("manifest"))?;
    let mut loading = Loading {
        env: Arc::clone(&env),
        dir: dir.to_owned(),
        cache,
        catalog: Arc::new(Catalog::new()),
        counters: Counters::default(),
        tables: HashMap::new(),
        ts: CommitTs::ZERO,
        next_segment: 1,
        redone_bytes: 0,
        records_since_look: 0,
        bytes_since_look: 0,
        log_bytes_max: 0,
        next_told: Duration::ZERO,
        logged: HashSet::new(),
        repairs,
        options,
    };
    let wal_options = wal::Options {
        dir: dir.join("wal"),
        file_bytes: loading.options.wal_file_bytes,
        buffer_bytes_max: loading.options.wal_buffer_bytes,
    };
    let from = manifest.as_ref().map_or(Lsn(0), |manifest| manifest.lsn);
    if let Some(repairs) = loading.repairs.as_mut().filter(|_| !new) {
        repairs.mend_log(&wal_options, from)?;
    }
    let version = match &manifest {
        Some(manifest) => {
            loading.load(manifest)?;
            env::point(env.as_ref(), "recovery: manifest loaded");
            manifest.version
        }
        None if new => 0,
        None => return Err(EngineError::Incomplete { dir: dir.to_owned(), what: "it has no manifest" }),
    };
    loading.pass_used_segment_ids()?;
    // A process that was killed may have left the newest manifest readable but not durable: it is, before what it replaces goes, the
    // log first.
    env.sync_dir(&dir.join("manifest")).map_err(|e| io("sync manifests of", e))?;
    if env::seeded_bug("garbage-removed-before-redo") {
        loading.remove_garbage(manifest.as_ref())?;
    }
    let checkpoint = loading.ts;
    env::point(env.as_ref(), "recovery: manifest durable");
    let started = env.monotonic();
    loading.next_told = started + PROGRESS_EVERY;
    let log_files = env.list(&wal_options.dir).map_or(0, |names| names.len() as u64);
    loading.log_bytes_max = log_files * loading.options.wal_file_bytes;
    let mut failed = None;
    let opened = Wal::open(Arc::clone(&env), wal_options, from, &mut |lsn, record| {
        loading.redo(lsn, record).map_err(|error| {
            let stop = ReplayStop(error.to_string());
            failed = Some(error);
            stop
        })
    });
    let wal = match (opened, failed) {
        (_, Some(error)) => return Err(error),
        (Err(error), None) => return Err(error.into()),
        (Ok(wal), None) => wal,
    };
    env::point(env.as_ref(), "recovery: log redone");
    if new && !loading.tables.is_empty() {
        return Err(directory::no_format(dir));
    }
    if loading.redone_bytes > 0 {
        let (mib, seconds) = (loading.redone_bytes as f64 / f64::from(1 << 20), (env.monotonic() - started).as_secs_f64());
        tracing::info!("replayed {mib:.1} MiB of log in {seconds:.1} s");
    }
    if let Some(manifest) = &manifest {
        Manifest::restore_copy(env.as_ref(), &dir.join("manifest"), manifest);
    }
    let damage = loading.damage();
    let repairing = loading.repairs.is_some();
    if damage.is_none() && !repairing {
        loading.remove_garbage(manifest.as_ref())?;
    }

    let txns = Transactions::new(Arc::clone(&env), CommitTs::ZERO);
    txns.recovered(loading.ts, wal.end());
    let recovered = Recovered {
        txns,
        wal,
        cache: loading.cache,
        counters: loading.counters,
        tables: loading.tables,
        catalog: loading.catalog,
        catalog_at: loading.ts,
        next_segment: loading.next_segment,
        // After a repair the next checkpoint is not spared.
        progress: Progress { at: if repairing { CommitTs::ZERO } else { checkpoint }, made: env.monotonic(), version },
        wal_bytes: loading.redone_bytes,
        damage,
        repairs: loading.repairs.map_or_else(Vec::new, |repairs| repairs.done),
    };
    let inner = Inner::new(env, dir, loading.options, lock, recovered);
    let weak = Arc::downgrade(&inner);
    inner.wal.on_durable(Box::new(move |outcome| {
        let Some(engine) = weak.upgrade() else { return };
        match outcome {
            Ok(lsn) => engine.txns.durable(lsn),
            Err(error) => {
                tracing::error!(%error, "the log has failed, no more writes are taken");
                engine.close_for_writes(&error.to_string());
                engine.txns.fail_all(&error.to_string());
            }
        }
    }));
    if new {
        directory::complete(&inner)?;
    }
    if repairing {
        inner.check_open()?;
        checkpoint::run(&inner)?;
    }
    Ok(inner)
}

impl Loading {
    /// The database at the manifest's timestamp.
    fn load(&mut self, manifest: &Manifest) -> Result<(), EngineError> {
        self.catalog = Arc::new(Catalog::decode(&manifest.catalog)?.apply(&catalog::Edit::ReserveOids(manifest.next_oid.0))?);
        self.counters = Counters::decode(&manifest.extra).map_err(|what| EngineError::Record { lsn: 0, what })?;
        self.ts = manifest.ts;
        self.next_segment = manifest.next_segment.0;
        self.pass_used_segment_ids()?;
        for definition in self.catalog.stored_tables() {
            self.tables.insert(definition.id, Arc::new(TableStore::new(Arc::clone(definition))));
        }
        for listed in &manifest.tables {
            let Some(store) = self.tables.get(&listed.table) else {
                return Err(EngineError::Record {
                    lsn: 0,
                    what: format!("manifest names table {}, which does not exist", listed.table),
                });
            };
            store.raise_rowid(listed.next_rowid as i64);
            let store = &Arc::clone(store);
            match self.load_table(store, listed, manifest.ts) {
                Err(error) if error.is_corrupt() => store.set_damaged(&error),
                loaded => loaded?,
            }
        }
        Ok(())
    }

    fn load_table(&mut self, store: &TableStore, listed: &ManifestTable, at: CommitTs) -> Result<(), EngineError> {
        let dir = table_dir(&self.dir, listed.table);
        if let Some(repairs) = &mut self.repairs {
            let (live, dump) = repairs.table(store, listed, &mut self.next_segment)?;
            store.change_segments(|list| *list = live);
            return dump.map_or(Ok(()), |dump| load_dump(store, dump, at));
        }
        let mut live = Vec::with_capacity(listed.segments.len());
        for segment in &listed.segments {
            let opened = self.open_segment(store, segment.id, &segment.info)?;
            let dead = segment.dead.load(self.env.as_ref(), &dir, segment.id, segment.info.rows)?;
            live.push(Arc::new(LiveSegment::new(opened, segment.from, DeletionLog::new(dead))));
        }
        store.change_segments(|list| *list = live);
        if let Some(dump) = &listed.dump {
            load_dump(store, DumpReader::open(self.env.as_ref(), &dir, dump, listed.table, at)?, at)?;
        }
        Ok(())
    }

    /// Gives no segment an id that a file has already: what was frozen or loaded after the manifest is still there.
    fn pass_used_segment_ids(&mut self) -> Result<(), EngineError> {
        for (_, dir) in table_dirs(self.env.as_ref(), &self.dir)? {
            for name in self.env.list(&dir).map_err(|e| EngineError::io("list", &dir, &e))? {
                if let Some(FileName::Segment(id) | FileName::Sidecar(id)) = files::parse(&name) {
                    self.next_segment = self.next_segment.max(id.0 + 1);
                }
            }
        }
        Ok(())
    }

    fn open_segment(&self, store: &TableStore, id: SegmentId, info: &SegmentFileInfo) -> Result<Arc<Segment>, EngineError> {
        let dir = table_dir(&self.dir, store.id());
        Ok(Segment::open(Arc::clone(&self.env), &dir, id, info, Arc::clone(&self.cache))?)
    }

    /// Does a commit again, unless the manifest has it.
    fn redo(&mut self, lsn: Lsn, record: &[u8]) -> Result<(), EngineError> {
        let malformed = |what: String| EngineError::Record { lsn: lsn.0, what };
        let (ts, ops) = redo::decode(record).map_err(malformed)?;
        env::point(self.env.as_ref(), "recovery: record to be redone");
        if ts <= self.ts {
            return Ok(());
        }
        for op in ops {
            match op {
                Op::Put { table, .. } | Op::Delete { table, .. } | Op::Ingest { table, .. } => {
                    if let Op::Ingest { segment, .. } = op {
                        self.next_segment = self.next_segment.max(segment.0 + 1);
                        self.logged.insert(segment);
                    }
                    let Some(store) = self.tables.get(&table).filter(|store| store.damage().is_none()) else { continue };
                    let store = &Arc::clone(store);
                    match self.redo_in(store, op, ts, lsn) {
                        // The record itself is whole.
                        Err(error @ EngineError::Segment(_)) if error.is_corrupt() => store.set_damaged(&error),
                        redone => redone?,
                    }
                }
                Op::Counter { storage, counter } => self.counters.recover(storage, counter),
                Op::Catalog(edit) => {
                    self.catalog = Arc::new(self.catalog.apply(&edit)?);
                    use catalog::Edit::{AlterTable, CreateTable, DropTable};
                    if matches!(edit, CreateTable(_) | AlterTable(_) | DropTable(_)) {
                        self.tables.retain(|id, _| self.catalog.stored_table(*id).is_some());
                        for definition in self.catalog.stored_tables() {
                            let new = || Arc::new(TableStore::new(Arc::clone(definition)));
                            self.tables.entry(definition.id).or_insert_with(new);
                        }
                    }
                }
            }
        }
        self.ts = ts;
        self.redone_bytes += record.len() as u64;
        self.records_since_look += 1;
        self.bytes_since_look += record.len() as u64;
        if self.records_since_look < RECORDS_PER_LOOK && self.bytes_since_look < BYTES_PER_LOOK {
            return Ok(());
        }
        (self.records_since_look, self.bytes_since_look) = (0, 0);
        self.tell_progress();
        self.keep_within_limit()
    }

    /// Says how far it is, now and then.
    fn tell_progress(&mut self) {
        let now = self.env.monotonic();
        if now < self.next_told {
            return;
        }
        self.next_told = now + PROGRESS_EVERY;
        let mib = |bytes: u64| bytes >> 20;
        tracing::info!("redoing the log: {} of at most {} MiB", mib(self.redone_bytes), mib(self.log_bytes_max));
    }

    /// Does one operation on a table again.
    fn redo_in(&mut self, store: &TableStore, op: Op<'_>, ts: CommitTs, lsn: Lsn) -> Result<(), EngineError> {
        match op {
            Op::Put { image, .. } => {
                let row = store.layout.decode(image).map_err(|e| EngineError::Record { lsn: lsn.0, what: e.to_string() })?;
                redo_put(store, &row, ts)
            }
            Op::Delete { .. } if env::seeded_bug("deletes-not-redone") => Ok(()),
            Op::Delete { key, .. } => redo_delete(store, key, ts),
            Op::Ingest { segment, info, .. } => {
                let segment = match &mut self.repairs {
                    None => self.open_segment(store, segment, &info)?,
                    Some(repairs) => {
                        let left = repairs.segment(store, segment, &info, ts, RoaringBitmap::new(), &mut self.next_segment)?;
                        let Some(live) = left else { return Ok(()) };
                        Arc::clone(&live.segment)
                    }
                };
                if store.definition.hidden() == 1
                    && let Some(types::Datum::Int8(last)) = segment.statistics(0).max
                {
                    store.raise_rowid(last + 1);
                }
                // A slot that says of one of its keys that it is deleted would be taken for newer. Nobody else reads yet.
                store.delta.reclaim(ts);
                store.change_segments(|list| list.push(Arc::new(LiveSegment::new(segment, ts, DeletionLog::default()))));
                Ok(())
            }
            Op::Counter { .. } | Op::Catalog(_) => Ok(()),
        }
    }

    /// The damage of the tables, if any.
    fn damage(&self) -> Option<String> {
        let mut damaged: Vec<_> = self.tables.values().filter_map(|store| Some((store.id(), store.damage()?))).collect();
        damaged.sort_by_key(|(id, _)| *id);
        match damaged.as_slice() {
            [] => None,
            [(_, first)] => Some(first.to_string()),
            [(_, first), rest @ ..] => Some(format!("{first}, and {} more tables", rest.len())),
        }
    }

    /// Freezes what is in the deltas if they have outgrown their limit, tables that hold most first, until half of it is left.
    fn keep_within_limit(&mut self) -> Result<(), EngineError> {
        let limit = self.options.delta_bytes_max;
        let bytes_max = (limit / 2).max(1) as usize;
        let bytes = |tables: &HashMap<TableId, Arc<TableStore>>| tables.values().map(|s| s.delta.bytes() as u64).sum::<u64>();
        if bytes(&self.tables) <= limit {
            return Ok(());
        }
        for store in self.tables.values() {
            store.delta.reclaim(self.ts);
        }
        let whole = self.tables.values().filter(|store| store.damage().is_none());
        let mut by_bytes: Vec<(usize, Arc<TableStore>)> = whole.map(|s| (s.delta.bytes(), Arc::clone(s))).collect();
        by_bytes.sort_unstable_by_key(|(bytes, store)| (Reverse(*bytes), store.id()));
        for (_, store) in by_bytes {
            if bytes(&self.tables) <= limit / 2 {
                break;
            }
            let dir = store.dir(self.env.as_ref(), &self.dir)?;
            let to = Destination { env: &self.env, dir, cache: &self.cache };
            while bytes(&self.tables) > limit / 2 {
                let id = SegmentId(self.next_segment);
                self.next_segment += 1;
                if !freeze::while_loading(&to, &store, id, self.options.segment_rows, bytes_max, self.ts)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes files in the tables' folders that nothing names, and folders' worth of tables that are gone.
    fn remove_garbage(&self, manifest: Option<&Manifest>) -> Result<(), EngineError> {
        let io = |action, path: &Path, error: std::io::Error| EngineError::io(action, path, &error);
        for (table, dir) in table_dirs(self.env.as_ref(), &self.dir)? {
            let live: HashSet<SegmentId> = match self.tables.get(&table) {
                Some(store) => store.segments().segments().iter().map(|l| l.segment.id()).collect(),
                None => HashSet::new(),
            };
            for name in self.env.list(&dir).map_err(|e| io("list", &dir, e))? {
                let named = match files::parse(&name) {
                    None => true,
                    Some(FileName::Segment(id) | FileName::Sidecar(id) | FileName::Packed(id))
                        if live.contains(&id) || self.logged.contains(&id) =>
                    {
                        true
                    }
                    Some(file) => manifest.is_some_and(|m| names(m, table, file)),
                };
                if !named {
                    let path = dir.join(&name);
                    env::point(self.env.as_ref(), "recovery: garbage to be removed");
                    self.env.unlink(&path).map_err(|e| io("remove", &path, e))?;
                }
            }
        }
        Ok(())
    }
}

/// Puts the rows of a dump as of `at` into a delta that has none of them.
fn load_dump(store: &TableStore, mut reader: DumpReader, at: CommitTs) -> Result<(), EngineError> {
    while let Some((key, image)) = reader.next_row()? {
        let row = store.layout.decode(image).map_err(|e| EngineError::Record { lsn: 0, what: format!("dump: {e}") })?;
        // A dumped row is in no segment: its position, if it ever had one, is dead as of the manifest.
        put(store, &Key::from(key), Expect::NoSlot(Base::Absent), Write::Row(&row), at)?;
    }
    Ok(())
}

/// The tables' folders, also of tables that are gone.
pub(crate) fn table_dirs(env: &dyn Env, dir: &Path) -> Result<Vec<(TableId, PathBuf)>, EngineError> {
    let data = dir.join("data");
    let names = env.list(&data).map_err(|e| EngineError::io("list", &data, &e))?;
    Ok(names.iter().filter_map(|name| Some((TableId(name.parse().ok()?), data.join(name)))).collect())
}

/// True if a manifest needs this file of a table.
pub(crate) fn names(manifest: &Manifest, table: TableId, file: FileName) -> bool {
    manifest.tables.iter().any(|t| t.table == table && t.files().contains(&file))
}

fn redo_put(store: &TableStore, row: &Row, ts: CommitTs) -> Result<(), EngineError> {
    let read = store.layout.read(row);
    let key = store.definition.key_of(&read);
    if store.definition.hidden() == 1
        && let types::DatumRef::Int8(rowid) = read.get(0)
    {
        store.raise_rowid(rowid + 1);
    }
    write(store, &key, Write::Row(row), ts)
}

fn redo_delete(store: &TableStore, key: &[u8], ts: CommitTs) -> Result<(), EngineError> {
    write(store, &Key::from(key), Write::Deleted, ts)
}

/// Puts a version on top of whatever there is.
fn write(store: &TableStore, key: &Key, write: Write<'_>, ts: CommitTs) -> Result<(), EngineError> {
    let (expect, in_segment) = match store.delta.newest(key, REDO) {
        Newest::Row { version, .. } | Newest::Deleted { version } => (Expect::Version(version), None),
        Newest::InSegment { version } => (Expect::Version(version), store.find_newest(key)?),
        Newest::NoSlot => match store.find_newest(key)? {
            None => (Expect::NoSlot(Base::Absent), None),
            found => (Expect::NoSlot(Base::InSegment), found),
        },
        Newest::Blocked(txn) => return Err(EngineError::Bug(format!("transaction {txn} holds a row during recovery"))),
    };
    if let Some((live, position)) = in_segment {
        store.bury(&live, position, ts);
    }
    put(store, key, expect, write, ts)
}

fn put(store: &TableStore, key: &Key, expect: Expect, write: Write<'_>, ts: CommitTs) -> Result<(), EngineError> {
    match store.delta.put(key, REDO, expect, write) {
        PutOutcome::Done(slot) => {
            store.delta.stamp(slot, REDO, ts);
            Ok(())
        }
        PutOutcome::TooBig => Err(EngineError::RowTooBig),
        PutOutcome::Changed => Err(EngineError::Bug("a row changed during recovery".into())),
    }
}
