//! Verification of an open database: every byte of its segments, and the invariants that tie delta and segments together.
//!
//! Not here: the manifest, its dumps and deletion vectors, and the log. Opening reads and verifies them; they are not read again.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryViewArray};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::read_view::{ReadView, TableView};
use crate::transaction::{Begin, Transaction};
use types::TableId;

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

/// Rows per batch when the delta is read.
const ROWS_PER_BATCH: usize = 8192;

pub(crate) fn run(engine: &Arc<Inner>) -> Result<Vec<Finding>, EngineError> {
    let mut transaction = Transaction::new(Arc::clone(engine), Begin { read_only: true, ..Begin::default() });
    transaction.begin_statement();
    let view: Arc<ReadView> = transaction.read_view();
    let mut findings = Vec::new();
    for table in view.catalog().stored_tables() {
        let table_view = view.table(table.id)?;
        check_table(table.id, &table_view, &mut findings);
    }
    Ok(findings)
}

fn check_table(table: TableId, view: &TableView, findings: &mut Vec<Finding>) {
    let mut report = |place: String, what: String| findings.push(Finding { table: Some(table), place, what });
    let mut readable = true;
    for live in view.segments() {
        let place = format!("segment {}", live.segment.id());
        if let Err(error) = live.segment.verify() {
            readable = false;
            report(place.clone(), error.to_string());
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
