//! Some consecutive rows of a scan: columns that are loaded when they are first looked at, and unpacked as little as it takes.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{FilterBuilder, FilterPredicate};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_datafusion_err};
use segments::{Packed, PackedForm};
use types::SqlType;

use crate::session::ROWS_PER_BATCH;

/// A column of a unit, all of its rows.
#[derive(Clone)]
pub(super) enum Loaded {
    Packed(Arc<Packed>),
    Array(ArrayRef),
}

/// A unit's columns, as far as they are loaded, and what conditions know of its strings.
pub(super) struct Unpacking {
    columns: Vec<Option<Loaded>>,
    /// By condition: what it says of each distinct string of its column.
    known: Vec<Option<Arc<[bool]>>>,
}

impl Unpacking {
    pub(super) fn new(columns: usize, conditions: usize) -> Unpacking {
        Unpacking { columns: vec![None; columns], known: vec![None; conditions] }
    }
}

/// See the module's head.
pub(super) struct Rows<'a> {
    source: Source<'a>,
    /// By column: all its values in these rows.
    arrays: Vec<Option<ArrayRef>>,
    /// The same of a batch, packed.
    packed: Vec<Option<Arc<Packed>>>,
    rows: usize,
}

enum Source<'a> {
    Unit { unit: &'a mut Unpacking, start: usize, load: &'a dyn Fn(usize) -> Result<Loaded> },
    Batch,
}

/// Rows that are left of some, in the forms that are asked for.
pub(super) struct Chosen {
    mask: BooleanArray,
    count: usize,
    filter: OnceCell<FilterPredicate>,
    indices: OnceCell<Vec<u32>>,
}

impl Chosen {
    pub(super) fn new(mask: &BooleanArray) -> Chosen {
        Chosen { mask: mask.clone(), count: mask.true_count(), filter: OnceCell::new(), indices: OnceCell::new() }
    }

    fn filter(&self) -> &FilterPredicate {
        self.filter.get_or_init(|| FilterBuilder::new(&self.mask).optimize().build())
    }

    /// Their places among the rows.
    pub(super) fn indices(&self) -> &[u32] {
        self.indices.get_or_init(|| {
            let mut indices = Vec::with_capacity(self.count);
            indices.extend(self.mask.values().set_indices().map(|row| row as u32));
            indices
        })
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}

impl<'a> Rows<'a> {
    /// Rows of a unit; `load` gets a column of all of its rows.
    pub(super) fn of_unit(unit: &'a mut Unpacking, rows: Range<usize>, load: &'a dyn Fn(usize) -> Result<Loaded>) -> Rows<'a> {
        let columns = unit.columns.len();
        let source = Source::Unit { unit, start: rows.start, load };
        Rows { rows: rows.len(), source, arrays: vec![None; columns], packed: vec![None; columns] }
    }

    /// Rows that are there.
    pub(super) fn of_batch(columns: Vec<ArrayRef>, rows: usize) -> Rows<'a> {
        let packed = vec![None; columns.len()];
        Rows { source: Source::Batch, arrays: columns.into_iter().map(Some).collect(), packed, rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    fn loaded(&mut self, column: usize) -> Result<Option<(Loaded, usize)>> {
        let Source::Unit { unit, start, load } = &mut self.source else { return Ok(None) };
        let loaded = match &unit.columns[column] {
            Some(loaded) => loaded.clone(),
            None => unit.columns[column].insert(load(column)?).clone(),
        };
        Ok(Some((loaded, *start)))
    }

    /// A column that can be looked at as it is packed, and where these rows are in it.
    pub(super) fn packed(&mut self, column: usize) -> Result<Option<(Arc<Packed>, Range<usize>)>> {
        let rows = self.rows;
        Ok(match self.loaded(column)? {
            Some((Loaded::Packed(packed), start)) if !matches!(packed.form(), PackedForm::Plain) => {
                Some((packed, start..start + rows))
            }
            _ => None,
        })
    }

    /// A column, packed: also one that is not, of values of type `t`; and where these rows are in it.
    pub(super) fn as_packed(&mut self, column: usize, t: SqlType) -> Result<(Arc<Packed>, usize)> {
        if let Some(packed) = &self.packed[column] {
            return Ok((Arc::clone(packed), 0));
        }
        if let Some((Loaded::Packed(packed), start)) = self.loaded(column)? {
            return Ok((packed, start));
        }
        let packed = Packed::new(self.array(column)?, t).map(Arc::new);
        let packed = packed.ok_or_else(|| internal_datafusion_err!("column {column} is not {t}"))?;
        self.packed[column] = Some(Arc::clone(&packed));
        Ok((packed, 0))
    }

    /// What a condition is known to say of the strings of its column.
    pub(super) fn known(&self, condition: usize) -> Option<Arc<[bool]>> {
        match &self.source {
            Source::Unit { unit, .. } => unit.known[condition].clone(),
            Source::Batch => None,
        }
    }

    /// Keeps what a condition says of the strings of its column.
    pub(super) fn know(&mut self, condition: usize, says: &Arc<[bool]>) {
        if let Source::Unit { unit, .. } = &mut self.source {
            unit.known[condition] = Some(Arc::clone(says));
        }
    }

    /// All values of a column.
    pub(super) fn array(&mut self, column: usize) -> Result<ArrayRef> {
        if let Some(array) = &self.arrays[column] {
            return Ok(Arc::clone(array));
        }
        let rows = self.rows;
        let array = match self.loaded(column)? {
            Some((Loaded::Packed(packed), start)) => packed.array(start..start + rows),
            Some((Loaded::Array(array), start)) => array.slice(start, rows),
            None => return Err(internal_datafusion_err!("a batch without column {column}")),
        };
        self.arrays[column] = Some(Arc::clone(&array));
        Ok(array)
    }

    /// The values of a column in the rows that are left.
    pub(super) fn chosen(&mut self, column: usize, chosen: &Chosen) -> Result<ArrayRef> {
        if self.arrays[column].is_none()
            && let Some((packed, rows)) = self.packed(column)?
        {
            return Ok(packed.chosen(rows.start, chosen.indices()));
        }
        let array = self.array(column)?;
        Ok(chosen.filter().filter(&array)?)
    }
}

/// A batch of these columns, or of none.
pub(super) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The rows of a batch of any size as batches of the usual one.
pub(crate) fn pieces(all: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = all.num_rows();
    (0..rows).step_by(ROWS_PER_BATCH).map(move |start| all.slice(start, ROWS_PER_BATCH.min(rows - start)))
}
