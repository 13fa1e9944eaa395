//! Scrub: reads every segment again in the background, slowly, so that rot is known before somebody needs the rows.
//!
//! ```text
//! pass     the segments of a moment --a column of a row group at a time, with a pause by its bytes--> what is damaged, by table and file
//! then     the manifest, its copy and the deletion vectors; a pause until the next pass is due
//! ```
//!
//! 1. Reads past the cache, and compares checksums; nothing is decoded. A segment that has been retired meanwhile is left out.
//! 2. What is found is logged, once a pass, and in [`ScrubStatus`]; nothing is changed.
//!
//! Not here: dumps and the log, which every checkpoint makes anew, and everything else that `check` looks at.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use env::{JobHandle, Next, Priority};
use parking_lot::Mutex;
use segments::{LiveSegment, Manifest};
use types::{CommitTs, Kind, TableId};

use crate::check::Finding;
use crate::engine::{Inner, table_dir};
use crate::error::EngineError;

/// After opening, until the first pass begins.
const FIRST_PASS_AFTER: Duration = Duration::from_secs(30);

/// After a read that failed otherwise than by damage.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Findings of a pass that are kept to be shown.
const FINDINGS_MAX: usize = 100;

/// What scrubbing has done.
#[derive(Clone, Debug, Default)]
pub struct ScrubStatus {
    /// Passes that have ended.
    pub passes: u64,
    /// When the pass began that is under way, or was last, in microseconds since 1970-01-01 UTC.
    pub began: Option<i64>,
    /// When the last one that has ended did.
    pub ended: Option<i64>,
    /// Segments read in this pass.
    pub segments: u64,
    /// Bytes read in this pass.
    pub bytes: u64,
    /// What is damaged, by this pass and what it has not got to yet by the one before. The first hundred.
    pub findings: Vec<Finding>,
}

/// A pass under way.
#[derive(Default)]
struct Pass {
    left: VecDeque<(TableId, Arc<LiveSegment>)>,
    /// The next column of the first of them, counted over its row groups.
    next: usize,
    findings: Vec<Finding>,
    due: Duration,
    running: bool,
}

pub(crate) fn start(engine: &Arc<Inner>) -> Option<Arc<dyn JobHandle>> {
    if engine.options.scrub_bytes_per_second == 0 {
        return None;
    }
    let weak = Arc::downgrade(engine);
    let mut pass = Pass { due: engine.env.monotonic() + engine.options.scrub_interval.min(FIRST_PASS_AFTER), ..Pass::default() };
    let job = move || match weak.upgrade() {
        Some(engine) => step(&engine, &mut pass),
        None => Next::Done,
    };
    Some(engine.env.spawn("scrub", Priority::Background, Box::new(job)))
}

fn step(engine: &Inner, pass: &mut Pass) -> Next {
    let now = engine.env.monotonic();
    if !pass.running {
        if now < pass.due {
            return Next::Sleep(pass.due - now);
        }
        begin(engine, pass);
    }
    let Some((table, live)) = pass.left.front().map(|(table, live)| (*table, Arc::clone(live))) else {
        return match end(engine, pass) {
            Ok(()) => Next::Sleep(pass.due.saturating_sub(engine.env.monotonic())),
            Err(_) => Next::Sleep(AFTER_ERROR),
        };
    };
    let parts = live.segment.parts();
    if live.until() != CommitTs::MAX || pass.next >= parts {
        pass.left.pop_front();
        pass.next = 0;
        engine.scrub.lock().segments += 1;
        return Next::Again;
    }
    match live.segment.verify_part(pass.next) {
        Ok(bytes) => {
            pass.next += 1;
            engine.scrub.lock().bytes += bytes;
            Next::Sleep(Duration::from_secs_f64(bytes as f64 / engine.options.scrub_bytes_per_second as f64))
        }
        Err(error) if error.kind() == Kind::Corrupt => {
            pass.next += 1;
            note(engine, pass, Some(table), format!("segment {}", live.segment.id()), error.to_string());
            Next::Again
        }
        Err(error) => {
            tracing::warn!(%error, "scrub");
            Next::Sleep(AFTER_ERROR)
        }
    }
}

fn begin(engine: &Inner, pass: &mut Pass) {
    let live = |store: &Arc<crate::table::TableStore>| {
        let id = store.id();
        store.segments().at(CommitTs::MAX).map(|live| (id, Arc::clone(live))).collect::<Vec<_>>()
    };
    *pass = Pass {
        left: engine.stores().iter().flat_map(live).collect(),
        due: engine.env.monotonic() + engine.options.scrub_interval,
        running: true,
        ..Pass::default()
    };
    let mut status = engine.scrub.lock();
    (status.began, status.segments, status.bytes) = (Some(engine.env.now_micros()), 0, 0);
}

fn end(engine: &Inner, pass: &mut Pass) -> Result<(), EngineError> {
    for (table, error) in check_manifest(engine)? {
        note(engine, pass, table, "manifest".into(), error);
    }
    pass.running = false;
    let mut status = engine.scrub.lock();
    status.passes += 1;
    status.ended = Some(engine.env.now_micros());
    status.findings = std::mem::take(&mut pass.findings);
    tracing::info!(segments = status.segments, bytes = status.bytes, damaged = status.findings.len(), "a scrub has ended");
    Ok(())
}

/// The manifest, its copy, and the deletion vectors it names.
fn check_manifest(engine: &Inner) -> Result<Vec<(Option<TableId>, String)>, EngineError> {
    let _no_checkpoint = engine.checkpointing.lock();
    let dir = engine.dir.join("manifest");
    let manifest = match Manifest::load_newest(engine.env.as_ref(), &dir) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Ok(Vec::new()),
        Err(error) if error.kind() == Kind::Corrupt => return Ok(vec![(None, error.to_string())]),
        Err(error) => return Err(error.into()),
    };
    let mut wrong: Vec<_> =
        Manifest::verify(engine.env.as_ref(), &dir, &manifest).iter().map(|error| (None, error.to_string())).collect();
    for listed in &manifest.tables {
        let dir = table_dir(&engine.dir, listed.table);
        for segment in &listed.segments {
            if let Err(error) = segment.dead.load(engine.env.as_ref(), &dir, segment.id, segment.info.rows) {
                wrong.push((Some(listed.table), error.to_string()));
            }
        }
    }
    Ok(wrong)
}

fn note(engine: &Inner, pass: &mut Pass, table: Option<TableId>, place: String, what: String) {
    let name = table.and_then(|id| engine.store(id).ok()).map(|store| store.definition.name.clone());
    tracing::error!(table = name, place, "damage was found: {what}");
    let finding = Finding { table, place, what };
    if pass.findings.len() < FINDINGS_MAX {
        let mut status = engine.scrub.lock();
        if status.findings.len() < FINDINGS_MAX && !status.findings.contains(&finding) {
            status.findings.push(finding.clone());
        }
        pass.findings.push(finding);
    }
}

/// Where the status is kept.
pub(crate) type Scrubbed = Mutex<ScrubStatus>;
