//! Verification of an open database, beside all other work: every byte on disk, and the invariants that tie delta and segments together.
//!
//! ```text
//! manifest, its copy, dumps, deletion vectors, log      read again as opening would read them; meanwhile no checkpoint is made
//! segments of a snapshot                                every byte, and that the sidecar says what the values say
//! delta and segments of a snapshot                      I1: each key in one place, and found there
//! manifest and catalog                                  I4, as far as it can be seen: what it names is there, and what is there it names
//! ```
//!
//! Not here: indexes against rows (`sql::check`); the same at leisure (`scrub`).

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryViewArray};
use catalog::Catalog;
use segments::{DumpInfo, DumpReader, Manifest, ManifestTable, SegmentError};
use types::{CommitTs, TableId};

use crate::directory;
use crate::engine::{Inner, table_dir};
use crate::error::EngineError;
use crate::read_view::{ReadView, SegmentView, TableView};
use crate::transaction::{Begin, Transaction};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table it concerns, if one.
    pub table: Option<TableId>,
    /// The file or place.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// Runs of rows of one segment that a finding names.
const RUNS_TOLD_MAX: usize = 5;

/// Rows per batch when the delta is read.
const ROWS_PER_BATCH: usize = 8192;

pub(crate) fn run(engine: &Arc<Inner>) -> Result<Vec<Finding>, EngineError> {
    let mut findings = Vec::new();
    check_files(engine, &mut findings)?;
    let mut transaction = Transaction::of_no_session(engine, Begin { read_only: true, ..Begin::default() });
    transaction.begin_statement();
    let view: Arc<ReadView> = transaction.read_view();
    for table in view.catalog().stored_tables() {
        match view.table(table.id) {
            Ok(table_view) => check_table(table.id, &table_view, &mut findings),
            Err(error) => {
                findings.push(Finding { table: Some(table.id), place: format!("table {}", table.id), what: error.to_string() })
            }
        }
    }
    Ok(findings)
}

/// The files that opening would read.
fn check_files(engine: &Inner, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
    // Keeps the manifest's files and the log after it where they are.
    let _no_checkpoint = engine.checkpointing.lock();
    let mut report =
        |table: Option<TableId>, place: &str, what: String| findings.push(Finding { table, place: place.into(), what });
    if let Some(error) = engine.wal.verify()? {
        report(None, "log", error.to_string());
    }
    directory::verify_format(engine.env.as_ref(), &engine.dir).unwrap_or_else(|error| report(None, "FORMAT", error.to_string()));
    let dir = engine.dir.join("manifest");
    let manifest = match Manifest::load_newest(engine.env.as_ref(), &dir) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            report(None, "manifest", "there is none".into());
            return Ok(());
        }
        Err(error) => {
            report(None, "manifest", error.to_string());
            return Ok(());
        }
    };
    for error in Manifest::verify(engine.env.as_ref(), &dir, &manifest) {
        report(None, "manifest", error.to_string());
    }
    for error in disagreements(engine, &manifest) {
        report(None, "manifest", error);
    }
    for listed in &manifest.tables {
        for (place, error) in check_listed(engine, listed, manifest.ts) {
            report(Some(listed.table), &place, error.to_string());
        }
    }
    Ok(())
}

/// Reads what a manifest names of a table beside its segments, which are read elsewhere. Returns what is wrong.
fn check_listed(engine: &Inner, listed: &ManifestTable, at: CommitTs) -> Vec<(String, SegmentError)> {
    let dir = table_dir(&engine.dir, listed.table);
    let mut wrong = Vec::new();
    for segment in &listed.segments {
        if let Err(error) = segment.dead.load(engine.env.as_ref(), &dir, segment.id, segment.info.rows) {
            wrong.push((format!("deletion vector of segment {}", segment.id), error));
        }
    }
    let read = |dump: &DumpInfo| {
        let mut reader = DumpReader::open(engine.env.as_ref(), &dir, dump, listed.table, at)?;
        while reader.next_row()?.is_some() {}
        Ok::<(), SegmentError>(())
    };
    if let Some(Err(error)) = listed.dump.as_ref().map(read) {
        wrong.push(("dump".to_owned(), error));
    }
    wrong
}

/// I4: what a manifest, its catalog and the engine say of each other.
fn disagreements(engine: &Inner, manifest: &Manifest) -> Vec<String> {
    let mut wrong = Vec::new();
    let last = *engine.checkpointed.lock();
    if manifest.version != last.version {
        wrong.push(format!("the newest is version {}, but {} was installed", manifest.version, last.version));
    }
    match Catalog::decode(&manifest.catalog) {
        Err(error) => wrong.push(error.to_string()),
        Ok(catalog) => {
            let named: HashSet<TableId> = manifest.tables.iter().map(|table| table.table).collect();
            let known: HashSet<TableId> = catalog.stored_tables().map(|table| table.id).collect();
            wrong.extend(known.difference(&named).map(|id| format!("table {id} is in its catalog and has no storage")));
            wrong.extend(named.difference(&known).map(|id| format!("table {id} has storage and is not in its catalog")));
        }
    }
    let segments = manifest.tables.iter().flat_map(|table| &table.segments);
    wrong.extend(
        segments.clone().filter(|s| s.id >= manifest.next_segment).map(|s| format!("segment {} has an id to come", s.id)),
    );
    wrong.extend(segments.filter(|s| s.from > manifest.ts).map(|s| format!("segment {} is of a later commit", s.id)));
    wrong
}

fn check_table(table: TableId, view: &TableView, findings: &mut Vec<Finding>) {
    let mut report = |place: String, what: String| findings.push(Finding { table: Some(table), place, what });
    let mut readable = true;
    for live in view.segments() {
        let place = format!("segment {}", live.segment.id());
        if let Err(error) = live.segment.verify() {
            readable = false;
            report(place.clone(), format!("{error}{}", rows_affected(live)));
        }
        if let Some(position) = live.dead.max()
            && position >= live.segment.rows()
        {
            report(place, format!("deletion vector names position {position} of {} rows", live.segment.rows()));
        }
    }
    if !readable {
        return;
    }
    // I1: no key is produced twice, and each row is found under its own key.
    if let Err(error) = check_keys(view, &mut report) {
        report(format!("table {table}"), error.to_string());
    }
}

/// Which rows of a damaged segment cannot be read, in words.
fn rows_affected(live: &SegmentView) -> String {
    let Ok(lost) = live.segment.unreadable() else { return String::new() };
    let alive = |run: &Range<u32>| u64::from(run.end - run.start) - live.dead.range_cardinality(run.clone());
    let rows: u64 = lost.iter().map(alive).sum();
    let told = lost.iter().take(RUNS_TOLD_MAX).map(|run| {
        let (from, to) = live.segment.keys_around(run);
        format!("rows {} to {} with keys from {from} to {to}", run.start, run.end - 1)
    });
    match lost.len() {
        0 => "; every row can be read".to_owned(),
        _ => format!("; {rows} rows cannot be read: {}", told.collect::<Vec<_>>().join(", ")),
    }
}

/// Reads every key once. Memory: the keys of the delta and some 20 bytes for each, plus one row group.
fn check_keys(view: &TableView, report: &mut impl FnMut(String, String)) -> Result<(), EngineError> {
    let mut in_delta: HashSet<Box<[u8]>> = HashSet::new();
    for batch in view.delta(&[], true, ROWS_PER_BATCH) {
        for key in binary_values(batch.column(0)) {
            if !in_delta.insert(key.into()) {
                report("delta".into(), format!("key {} is there twice", hex(key)));
            }
            if view.get(key)?.is_none() {
                report("delta".into(), format!("key {} is scanned but not found", hex(key)));
            }
        }
    }
    for (at, live) in view.segments().iter().enumerate() {
        let mut position = 0u32;
        for group in 0..live.segment.groups().len() {
            let keys = live.segment.group_keys(group)?;
            for key in keys.iter() {
                if !live.dead.contains(position) {
                    if in_delta.contains(key) {
                        report(format!("segment {}", live.segment.id()), format!("key {} is in the delta too", hex(key)));
                    }
                    for other in &view.segments()[..at] {
                        if other.segment.find(key)?.is_some_and(|p| !other.dead.contains(p)) {
                            report(
                                format!("segment {}", live.segment.id()),
                                format!("key {} is in segment {} too", hex(key), other.segment.id()),
                            );
                        }
                    }
                }
                position += 1;
            }
        }
    }
    Ok(())
}

fn binary_values(column: &dyn Array) -> Box<dyn Iterator<Item = &[u8]> + '_> {
    if let Some(array) = column.as_any().downcast_ref::<BinaryArray>() {
        return Box::new(array.iter().flatten());
    }
    match column.as_any().downcast_ref::<BinaryViewArray>() {
        Some(array) => Box::new(array.iter().flatten()),
        None => Box::new(std::iter::empty()),
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|b| format!("{b:02x}")).collect()
}
