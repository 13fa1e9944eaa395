//! Reading a whole database by scans, as the model has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryViewArray, RecordBatch};
use catalog::Table;
use engine::{EngineError, ReadView};
use types::{Datum, Key, arrow_form};

use crate::model::State;
use crate::tables;

pub(crate) enum Reading {
    Twice(String),
    Error(EngineError),
}

impl From<EngineError> for Reading {
    fn from(error: EngineError) -> Reading {
        Reading::Error(error)
    }
}

impl From<segments::SegmentError> for Reading {
    fn from(error: segments::SegmentError) -> Reading {
        Reading::Error(error.into())
    }
}

/// Every row of a view, by scanning deltas and segments. A row that is produced twice is an error of its own.
pub(crate) fn read_everything(view: &ReadView, tables: &[Arc<Table>]) -> Result<State, Reading> {
    let mut all = BTreeMap::new();
    for (number, table) in tables.iter().enumerate() {
        all.append(&mut read_table(view, number, table)?);
    }
    Ok(all)
}

/// Every row of one table.
pub(crate) fn read_table(view: &ReadView, number: usize, table: &Table) -> Result<State, Reading> {
    let mut all = BTreeMap::new();
    let view = view.table(table.id)?;
    let mut places: BTreeMap<Key, String> = BTreeMap::new();
    let mut add = |key: Key, content, place: String| {
        all.insert((number, key.clone()), content);
        match places.insert(key.clone(), place.clone()) {
            None => Ok(()),
            Some(other) => Err(Reading::Twice(format!("key {key:?} of table {number} is in {other} and in {place}"))),
        }
    };
    let columns: Vec<usize> = (0..table.stored_types().len()).collect();
    for batch in view.delta(&columns, true, 100) {
        for row in 0..batch.num_rows() {
            let stored = stored_row(table, &batch, row, 1);
            let (key, content) = tables::split(table, number, &stored);
            assert_eq!(key_at(batch.column(0), row), key.0.as_ref(), "the delta's key column is the key");
            add(key, content, "the delta".into())?;
        }
    }
    for live in view.segments() {
        let mut position = 0;
        for group in 0..live.segment.groups().len() {
            let arrays = live.segment.read_group(group, &columns)?;
            let batch = RecordBatch::try_new(Arc::clone(live.segment.schema().arrow()), arrays).expect("columns of one group");
            for row in 0..batch.num_rows() {
                if !live.dead.contains(position) {
                    let (key, content) = tables::split(table, number, &stored_row(table, &batch, row, 0));
                    add(key, content, format!("segment {} at {position}", live.segment.id()))?;
                }
                position += 1;
            }
        }
    }
    Ok(all)
}

fn stored_row(table: &Table, batch: &RecordBatch, row: usize, skip: usize) -> Vec<Datum> {
    let types = table.stored_types();
    (0..types.len()).map(|c| arrow_form::datum_at(batch.column(c + skip), row, types[c])).collect()
}

fn key_at(column: &dyn Array, row: usize) -> &[u8] {
    match column.as_any().downcast_ref::<BinaryArray>() {
        Some(array) => array.value(row),
        None => column.as_any().downcast_ref::<BinaryViewArray>().expect("keys are binary").value(row),
    }
}
