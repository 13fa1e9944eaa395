//! The rows that refer to a key, as everything is that is committed by now: by an index if there is one.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use catalog::{IndexSource, Table};
use engine::{Cancel, RangeOf, ReadView, RowBlock};
use types::{Datum, Direction, Key, RowLayout, SqlError, arrow_form};

use super::link::Link;

/// Rows that are read at once.
const BLOCK_ROWS: usize = 256;

/// Keys of at most `limit` rows of the child with these values.
pub(super) fn children(
    view: &Arc<ReadView>,
    cancel: &Arc<Cancel>,
    link: &Link,
    values: &[Datum],
    limit: usize,
) -> Result<Vec<Key>, SqlError> {
    let child = &link.child;
    // The values of the first columns of a key, if those are the referring ones.
    let prefix = |columns: &mut dyn Iterator<Item = Option<usize>>| -> Option<Vec<Datum>> {
        let n = link.child_columns.len();
        let first: Vec<usize> = columns.take(n).collect::<Option<_>>()?;
        let distinct: BTreeSet<usize> = first.iter().copied().collect();
        if distinct.len() < n {
            return None;
        }
        first.iter().map(|column| Some(values[link.child_columns.iter().position(|c| c == column)?].clone())).collect()
    };
    if child.primary_key.is_some()
        && let Some(first) = prefix(&mut child.key_columns().into_iter().map(Some))
    {
        let mut keys = Vec::new();
        each_below(view, cancel, child, &child.key_from(&first), limit, &mut |block, at| keys.push(Key::from(block.key(at))))?;
        return Ok(keys);
    }
    for index in child.indexes.iter().filter(|index| index.predicate.is_none()) {
        let mut columns = index.columns.iter().map(|column| match &column.source {
            IndexSource::Column(id) => child.position_of(*id).map(|at| at + child.hidden()),
            IndexSource::Expression { .. } => None,
        });
        let Some(first) = prefix(&mut columns) else { continue };
        let (storage, of_row) = (index.storage(child), index.row_key_columns(child));
        let mut keys = Vec::new();
        each_below(view, cancel, &storage, &storage.key_from(&first), limit, &mut |block, at| {
            let row = block.row(at);
            let values: Vec<Datum> = of_row.iter().map(|column| row.get(*column).to_owned()).collect();
            keys.push(child.key_from(&values));
        })?;
        return Ok(keys);
    }
    scan(view, cancel, link, values, limit)
}

/// The rows of a table whose keys begin with these bytes.
pub(super) fn each_below(
    view: &Arc<ReadView>,
    cancel: &Arc<Cancel>,
    table: &Table,
    prefix: &[u8],
    limit: usize,
    row: &mut dyn FnMut(&RowBlock, usize),
) -> Result<(), SqlError> {
    let end = after(prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let of = RangeOf { from: Bound::Included(prefix), to, direction: Direction::Forward, wanted: None };
    let mut range = view.table(table.id)?.range(of, Arc::clone(cancel))?;
    let mut block = range.block();
    let mut left = limit;
    while left > 0 {
        range.next(&mut block, left.min(BLOCK_ROWS))?;
        if block.is_empty() {
            break;
        }
        (0..block.len()).for_each(|at| row(&block, at));
        left -= block.len();
    }
    Ok(())
}

/// The least key that is greater than every one that begins with these bytes.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn scan(view: &Arc<ReadView>, cancel: &Cancel, link: &Link, values: &[Datum], limit: usize) -> Result<Vec<Key>, SqlError> {
    let child = &link.child;
    let key_columns = child.key_columns();
    let columns: Vec<usize> = link.child_columns.iter().chain(&key_columns).copied().collect();
    let types: Vec<_> = columns.iter().map(|column| child.stored_type(*column)).collect();
    let wanted = link.key_of(values);
    let mut keys = Vec::new();
    for batch in view.table(child.id)?.rows(&columns, cancel) {
        let batch = batch?;
        let value = |column: usize, row: usize| arrow_form::datum_at(batch.column(column), row, types[column]);
        for row in 0..batch.num_rows() {
            let found: Vec<Datum> = (0..values.len()).map(|column| value(column, row)).collect();
            if link.key_of(&found) == wanted {
                let key: Vec<Datum> = (values.len()..columns.len()).map(|column| value(column, row)).collect();
                keys.push(child.key_from(&key));
                if keys.len() >= limit {
                    return Ok(keys);
                }
            }
        }
    }
    Ok(keys)
}

/// Whether each row of the child has its target. Both tables are held. Errors: 23503 for one that has not.
pub(super) fn check_all(view: &Arc<ReadView>, cancel: &Cancel, link: &Link) -> Result<(), SqlError> {
    let child = &link.child;
    let columns: Vec<usize> = link.child_columns.clone();
    let layout = RowLayout::new(&columns.iter().map(|column| child.stored_type(*column)).collect::<Vec<_>>());
    for batch in view.table(child.id)?.rows(&columns, cancel) {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let values: Vec<Datum> =
                layout.types().iter().enumerate().map(|(at, t)| arrow_form::datum_at(batch.column(at), row, *t)).collect();
            let nulls = values.iter().filter(|value| value.is_null()).count();
            if nulls > 0 {
                if link.key.match_full && nulls < values.len() {
                    return Err(link.mixed());
                }
                continue;
            }
            let found = match link.to_parent(&values) {
                None => false,
                Some(values) => {
                    let (table, key) = link.place_of(&values);
                    view.table(table)?.get(&key)?.is_some()
                }
            };
            if !found {
                return Err(link.not_present(&values));
            }
        }
    }
    Ok(())
}
