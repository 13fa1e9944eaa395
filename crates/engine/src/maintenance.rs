//! Background work, one step at a time: reclaim, freeze, compact, checkpoint, collect, and local files of packed columns.
//!
//! 1. Every step looks at what is due by bytes and rows and does all of it, a segment at a time for each table; nothing due: it
//!    sleeps until it is woken, or for a moment. While the delta is full one compaction is enough for a step.
//! 2. A piece that fails is logged and tried again later, and keeps no other from being done: a checkpoint may make the room that a
//!    freeze has not found. If the log has failed the database takes no writes any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use env::{JobHandle, Next, Priority};
use types::{CommitTs, TableId};

use crate::checkpoint;
use crate::compact;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::freeze::{self, Least};
use crate::packing;
use crate::pressure::{Pressure, measure};
use crate::table::TableStore;

/// When the last checkpoint was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// What it has.
    pub(crate) at: CommitTs,
    /// When it was made, by the monotonic clock.
    pub(crate) made: Duration,
    /// The manifest's version.
    pub(crate) version: u64,
}

/// Steps that a row has to be left alone for before it is frozen: 5 s of an idle database, less while there is work to do.
const COLD_TICKS: u16 = 25;
/// Between looks at an idle database.
const IDLE: Duration = Duration::from_millis(200);
/// After a step of which a piece failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) fn start(engine: &Arc<Inner>) -> Arc<dyn JobHandle> {
    let weak = Arc::downgrade(engine);
    let (mut pressure, mut turn) = (Pressure::default(), TableId(0));
    let job = move || {
        let Some(engine) = weak.upgrade() else { return Next::Done };
        step(&engine, &mut pressure, &mut turn)
    };
    engine.env.spawn("maintenance", Priority::Background, Box::new(job))
}

/// `turn`: of tables from this id on compaction comes first.
fn step(engine: &Inner, pressure: &mut Pressure, turn: &mut TableId) -> Next {
    if engine.check_open().is_err() {
        return Next::Done;
    }
    let stores = engine.stores();
    for store in &stores {
        reclaim(engine, store);
        store.delta.tick();
    }
    if measure(engine, &stores) > engine.options.delta_bytes_max / 2 {
        // A long snapshot keeps one version of a row then, not all that were made since.
        let needed = engine.txns.needed();
        for store in &stores {
            // As in `reclaim`, where an error is told.
            if store.bury_rest().is_ok() {
                store.delta.reclaim_between(&needed);
            }
        }
    }
    if measure(engine, &stores) > engine.options.delta_bytes_max {
        stores.iter().for_each(|store| store.delta.squeeze());
    }
    engine.forget_catalogs(engine.txns.oldest());

    packing::keep_room(engine);
    let (mut worked, mut failed, mut full) = (false, false, false);
    let mut note = |done: Result<bool, EngineError>| match done {
        Ok(something) => worked |= something,
        Err(error) => {
            tracing::error!(%error, "background maintenance");
            failed = true;
            full |= error.is_disk_full();
        }
    };
    note(checkpoint::collect(engine).map(|()| false));
    pressure.relieve(engine, &stores, &mut note);
    let rows_min = engine.options.freeze_rows_min;
    for store in stores.iter().filter(|store| store.delta.rows() >= rows_min) {
        note(freeze::run(engine, store, Least::Rows(rows_min), COLD_TICKS).map(|moved| moved.is_some()));
    }
    let (before, after): (Vec<_>, Vec<_>) = stores.iter().partition(|store| store.id() < *turn);
    for store in after.into_iter().chain(before) {
        let compacted = compact::run(engine, store);
        let has_worked = matches!(compacted, Ok(true));
        note(compacted);
        if has_worked && measure(engine, &stores) > engine.options.delta_bytes_max {
            *turn = TableId(store.id().0 + 1);
            break;
        }
    }
    if checkpoint_due(engine) {
        note(checkpoint::run(engine).map(|()| true));
    }
    if full {
        packing::give_up(engine);
    }
    if !worked && !failed {
        match packing::step(engine, &stores) {
            Ok(something) => worked = something,
            Err(error) => tracing::warn!(%error, "no local file of packed columns"),
        }
    }
    if !failed {
        engine.reserve.keep(engine.env.as_ref());
    }
    match (failed, worked) {
        (true, _) => Next::Sleep(AFTER_ERROR),
        (false, true) => Next::Again,
        (false, false) => Next::Sleep(IDLE),
    }
}

fn checkpoint_due(engine: &Inner) -> bool {
    let last = *engine.checkpointed.lock();
    engine.wal_bytes.load(Ordering::Relaxed) >= engine.options.checkpoint_wal_bytes
        || engine.log_is_full.swap(false, Ordering::Relaxed)
        || (engine.txns.visible() > last.at
            && engine.env.monotonic().saturating_sub(last.made) >= engine.options.checkpoint_interval)
}

/// Gives back what no snapshot can see any more.
pub(crate) fn reclaim(engine: &Inner, store: &TableStore) {
    let oldest = engine.txns.oldest();
    // After `oldest` is known: what is left over of later commits is in slots that stay.
    match store.bury_rest() {
        Ok(()) => drop(store.delta.reclaim(oldest)),
        Err(error) => tracing::warn!(%error, table = %store.id(), "cannot give back old versions"),
    }
    let retired = |l: &segments::LiveSegment| l.until() <= oldest;
    if store.segments().segments().iter().any(|l| retired(l)) {
        store.change_segments(|list| {
            list.retain(|l| {
                let gone = retired(l);
                if gone {
                    engine.discard(Arc::clone(&l.segment));
                    env::point(engine.env.as_ref(), "reclaim: retired segment leaves");
                }
                !gone
            });
        });
    }
    for live in store.segments().segments() {
        live.dead.fold(oldest);
    }
    if store.dropped_at() <= oldest {
        env::point(engine.env.as_ref(), "reclaim: dropped table leaves");
        engine.change_tables(|tables| {
            tables.remove(&store.id());
        });
        store.change_segments(|list| list.drain(..).for_each(|l| engine.discard(Arc::clone(&l.segment))));
    }
}

/// See [`crate::Engine::merge`].
pub(crate) fn merge_now(engine: &Inner, table: Option<TableId>) -> Result<(), EngineError> {
    let catalog = engine.catalog_at(engine.txns.visible());
    let of = |index| catalog.table_of_index(index).map(|t| t.id);
    for store in engine.stores() {
        if table.is_none_or(|t| t == store.id() || of(store.id()) == Some(t)) {
            reclaim(engine, &store);
            while freeze::run(engine, &store, Least::Rows(1), 0)?.is_some() {
                reclaim(engine, &store);
            }
            while compact::run(engine, &store)? {
                reclaim(engine, &store);
            }
        }
    }
    Ok(())
}
