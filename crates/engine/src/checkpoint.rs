//! Checkpoint: a manifest of the whole database at one moment, after which the log below it is not needed.
//!
//! ```text
//! F = visible   1 dump of each table's delta rows as of F, deletion vectors as of F     durable files nobody names yet
//!               2 manifest installed: file synced, named, directory synced              from here on recovery starts at F
//!               3 log truncated below Lsn(F)
//!               4 files that no manifest names, no table lists and nobody reads are removed
//! ```
//!
//! 1. A crash between any two lines leaves either the old manifest with its log, or the new one; files of the other are garbage.
//! 2. The log is durable up to Lsn(F) before the manifest is installed.
//! 3. Hot rows are dumped, not frozen: they never hold back the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use segments::files::FileName;
use segments::{DeletionVector, DumpWriter, Manifest, ManifestSegment, ManifestTable, Segment, files};
use types::{CommitTs, Oid, SegmentId};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::maintenance::Progress;
use crate::packing;
use crate::read_view::TableView;
use crate::recovery::{names, table_dirs};
use crate::table::TableStore;
use crate::transaction::Own;
use txn::Snapshot;

/// Between looks at the clock.
const ROWS_PER_LOOK: usize = 4096;

/// Makes a checkpoint of what is visible now, unless the last one has it already.
pub(crate) fn run(engine: &Inner) -> Result<(), EngineError> {
    run_until(engine, None)
}

/// The same, given up at a moment of the monotonic clock. Errors: `Canceled` then; what has been written is garbage.
pub(crate) fn run_until(engine: &Inner, until: Option<Duration>) -> Result<(), EngineError> {
    match attempt(engine, until) {
        // Not if a manifest may count by now.
        Err(error) if error.is_disk_full() && engine.check_open().is_ok() && make_room(engine) => attempt(engine, until),
        outcome => outcome,
    }
}

/// Gives up what is there for this, or is not needed; false if there is nothing.
fn make_room(engine: &Inner) -> bool {
    let (packed, reserve) = (packing::give_up(engine), engine.reserve.give_up(engine.env.as_ref()));
    packed || reserve
}

fn attempt(engine: &Inner, until: Option<Duration>) -> Result<(), EngineError> {
    let _one_at_a_time = engine.checkpointing.lock();
    let last = *engine.checkpointed.lock();
    let (guard, lsn) = engine.txns.snapshot_position(None);
    let (ts, guard) = (guard.ts, Arc::new(guard));
    if ts <= last.at && last.version > 0 {
        return Ok(());
    }
    tracing::debug!(%ts, %lsn, "making a checkpoint");
    env::point(engine.env.as_ref(), "checkpoint: begun");
    let wal_bytes = engine.wal_bytes.load(Ordering::Relaxed);
    let catalog = engine.catalog_at(ts);
    let snapshot = Snapshot { ts, own: None };
    let mut tables = Vec::new();
    for definition in catalog.stored_tables() {
        let store = engine.store(definition.id)?;
        let view = TableView::new(Arc::clone(&store), Arc::<Own>::default(), snapshot, Arc::clone(&guard))?;
        tables.push(describe(engine, &store, &view, ts, last.version + 1, until)?);
        env::point(engine.env.as_ref(), "checkpoint: table described");
    }
    let manifest = Manifest {
        version: last.version + 1,
        ts,
        lsn,
        next_oid: Oid(engine.next_oid()),
        next_segment: SegmentId(engine.next_segment()),
        catalog: catalog.encode(),
        tables,
        // As of now, which is not before F: what the log has after F is no older.
        extra: engine.counters.encode(&catalog),
    };
    // It may have commits that nobody waited for: what follows them in the log must find them there.
    engine.wal.wait_durable(lsn)?;
    env::point(engine.env.as_ref(), "checkpoint: all described");
    let dir = engine.dir.join("manifest");
    if env::seeded_bug("log-cut-before-manifest") {
        engine.wal.truncate_below(lsn)?;
    }
    if let Err(error) = Manifest::install(engine.env.as_ref(), &dir, &manifest) {
        // It may count or not: another attempt of this version would replace the dumps that it names. Without its name it does not.
        let is_named = engine.env.exists(&dir.join(files::manifest(manifest.version))).unwrap_or(true);
        if (is_named || !error.is_disk_full()) && !env::seeded_bug("failed-manifest-ignored") {
            engine.close_for_writes(&error.to_string());
        }
        return Err(error.into());
    }
    let now = engine.env.monotonic();
    env::point(engine.env.as_ref(), "checkpoint: manifest installed");
    *engine.checkpointed.lock() = Progress { at: ts, made: now, version: manifest.version };
    drop(guard);
    // Whether or not old files can be removed now.
    engine.wal_bytes.fetch_sub(wal_bytes, Ordering::Relaxed);
    engine.wal.truncate_below(lsn)?;
    env::point(engine.env.as_ref(), "checkpoint: log cut");
    engine.forget_counters();
    Manifest::remove_older_than(engine.env.as_ref(), &dir, manifest.version)?;
    env::point(engine.env.as_ref(), "checkpoint: older manifests removed");
    remove_superseded(engine, &manifest)?;
    env::point(engine.env.as_ref(), "checkpoint: superseded files removed");
    tracing::debug!(%ts, %lsn, version = manifest.version, "made a checkpoint");
    Ok(())
}

/// Writes what of a table is only in memory and names the rest.
fn describe(
    engine: &Inner,
    store: &TableStore,
    view: &TableView,
    ts: CommitTs,
    version: u64,
    until: Option<Duration>,
) -> Result<ManifestTable, EngineError> {
    let check_time = || match until {
        Some(until) if engine.env.monotonic() >= until => Err(EngineError::Canceled),
        _ => Ok(()),
    };
    check_time()?;
    let dir = store.dir(engine.env.as_ref(), &engine.dir)?;
    let mut listed = Vec::new();
    for live in store.segments().at(ts) {
        let id = live.segment.id();
        let inline_max = engine.options.dead_rows_inline_max;
        let dead = DeletionVector::store_beyond(inline_max, engine.env.as_ref(), &dir, id, ts, &live.dead.as_of(ts))?;
        env::point(engine.env.as_ref(), "checkpoint: dead rows stored");
        listed.push(ManifestSegment { id, info: live.segment.info(), from: live.from, dead });
    }
    let mut rows = view.dump().peekable();
    let dump = match rows.peek() {
        None => None,
        Some(_) => {
            let mut writer = DumpWriter::create(Arc::clone(&engine.env), &dir, version, store.id(), ts)?;
            for (at, (key, row)) in rows.enumerate() {
                if at % ROWS_PER_LOOK == 0 {
                    check_time()?;
                }
                writer.append(&key, &row.0)?;
            }
            env::point(engine.env.as_ref(), "checkpoint: rows dumped");
            Some(writer.finish()?)
        }
    };
    Ok(ManifestTable { table: store.id(), next_rowid: store.next_rowid() as u64, segments: listed, dump })
}

/// Removes the dumps and deletion vectors of earlier manifests, those of tables that are gone too.
fn remove_superseded(engine: &Inner, manifest: &Manifest) -> Result<(), EngineError> {
    for (table, dir) in table_dirs(engine.env.as_ref(), &engine.dir)? {
        for name in engine.env.list(&dir).map_err(|e| EngineError::io("list", &dir, &e))? {
            let unneeded = match files::parse(&name) {
                Some(file @ (FileName::Dump(_) | FileName::Deletions(..))) => !names(manifest, table, file),
                _ => false,
            };
            if unneeded {
                let path = dir.join(&name);
                engine.env.unlink(&path).map_err(|e| EngineError::io("remove", path, &e))?;
            }
        }
    }
    Ok(())
}

/// Removes the files of discarded segments that nobody reads and that neither the manifest nor the log can name any more.
pub(crate) fn collect(engine: &Inner) -> Result<(), EngineError> {
    let checkpointed = engine.checkpointed.lock().at;
    let gone: Vec<(CommitTs, Arc<Segment>)> = {
        let mut discarded = engine.discarded.lock();
        let is_named = |at: CommitTs| at > checkpointed && !env::seeded_bug("segments-removed-before-manifest");
        let unneeded = |(at, segment): &mut (CommitTs, Arc<Segment>)| !is_named(*at) && Arc::strong_count(segment) == 1;
        discarded.extract_if(.., unneeded).collect()
    };
    let mut result = Ok(());
    for (at, segment) in gone {
        env::point(engine.env.as_ref(), "collect: segment to be removed");
        if let Err(error) = remove_files(engine, &segment) {
            engine.discarded.lock().push((at, segment)); // for the next time
            result = result.and(Err(error));
        }
    }
    result
}

fn remove_files(engine: &Inner, segment: &Segment) -> Result<(), EngineError> {
    let path = segment.path();
    for path in [path.to_owned(), path.with_extension("idx"), path.with_extension("packed")] {
        env::point(engine.env.as_ref(), "collect: file to be removed");
        match engine.env.unlink(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(EngineError::io("remove", path, &error)),
            _ => {}
        }
    }
    Ok(())
}
