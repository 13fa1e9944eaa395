//! Rows from a Parquet file: columns that have the table's type already go through as they are.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringViewArray};
use arrow::util::display::array_value_to_string;
use bench::Progress;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use types::arrow_form::{self, ColumnBuilder};
use types::{DatumRef, SqlType, coerce, text};

use crate::exit::Failure;
use crate::files::Input;
use crate::import::Column;
use crate::import::batch::{Faults, ROWS_PER_BATCH, good_rows, null_refused, schema};
use crate::import::rejects::{Rejects, line_of};

/// An open Parquet file.
pub(super) struct ParquetSource {
    input: Input,
    metadata: ArrowReaderMetadata,
    columns: Vec<Column>,
    /// The file's column for each of `columns`, and its SQL type.
    places: Vec<(usize, SqlType)>,
}

impl ParquetSource {
    pub(super) fn open(input: Input) -> Result<ParquetSource, Failure> {
        let metadata = ArrowReaderMetadata::load(&input.file, ArrowReaderOptions::new())
            .map_err(|error| Failure::during(format!("read {}", input.path.display()), error))?;
        Ok(ParquetSource { input, metadata, columns: Vec::new(), places: Vec::new() })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.input.bytes
    }

    pub(super) fn path(&self) -> &Path {
        &self.input.path
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The file's own columns. Errors: one is nested.
    pub(super) fn infer(&self) -> Result<Vec<Column>, Failure> {
        (0..self.metadata.schema().fields().len())
            .map(|at| {
                let field = self.metadata.schema().field(at);
                Ok(Column { name: field.name().to_lowercase(), data_type: self.type_of(at)?, not_null: !field.is_nullable() })
            })
            .collect()
    }

    fn type_of(&self, at: usize) -> Result<SqlType, Failure> {
        let field = self.metadata.schema().field(at);
        arrow_form::sql_type_of(field).ok_or_else(|| {
            Failure::new(format!(
                "column {} of {} is of type {}, which has no place in a table",
                field.name(),
                self.input.path.display(),
                field.data_type()
            ))
        })
    }

    pub(super) fn bind(&mut self, columns: &[Column], places: Vec<usize>) -> Result<(), Failure> {
        self.columns = columns.to_vec();
        self.places = places.into_iter().map(|at| Ok((at, self.type_of(at)?))).collect::<Result<_, Failure>>()?;
        Ok(())
    }

    pub(super) fn read(
        self,
        rejects: &mut Rejects,
        progress: &Progress,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::during(format!("read {}", self.input.path.display()), error);
        let file = self.input.reopen().map_err(|error| failed(&error))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let roots: Vec<usize> = self.places.iter().map(|(at, _)| *at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        let reader = builder.with_projection(mask).with_batch_size(ROWS_PER_BATCH).build().map_err(|error| failed(&error))?;
        // The reader gives the chosen columns in the file's order.
        let mut in_order = roots.clone();
        in_order.sort_unstable();
        in_order.dedup();
        let place_in_batch = |at: usize| in_order.binary_search(&at).expect("every chosen column is read");

        let schema = schema(&self.columns);
        let total_rows = self.metadata.metadata().file_metadata().num_rows().max(1) as u64;
        let (mut rows_before, mut bytes_told) = (0_u64, 0);
        let mut faults = Faults::default();
        for batch in reader {
            let batch = batch.map_err(|error| failed(&error))?;
            let arrays: Vec<ArrayRef> = self
                .columns
                .iter()
                .zip(&self.places)
                .map(|(column, (at, from))| convert(batch.column(place_in_batch(*at)), *from, column, &mut faults))
                .collect();
            let bad = faults.take();
            for (row, fault) in &bad {
                let shown = batch.columns().iter().map(|column| array_value_to_string(column, *row).unwrap_or_default());
                let record = line_of(shown);
                rejects.add(&self.input.path, rows_before + *row as u64 + 1, fault, record.trim_end_matches('\n'))?;
            }
            let good = good_rows(&schema, arrays, &bad)?;
            rows_before += batch.num_rows() as u64;
            let bytes = (u128::from(self.input.bytes) * u128::from(rows_before) / u128::from(total_rows)) as u64;
            progress.add(bytes - bytes_told);
            progress.add_rows(good.num_rows() as u64);
            bytes_told = bytes;
            if good.num_rows() > 0 && !take(good) {
                return Ok(());
            }
        }
        progress.add(self.input.bytes.saturating_sub(bytes_told));
        Ok(())
    }
}

/// A file's column as the table's. Values that do not fit become NULL, and their rows faulty.
fn convert(array: &ArrayRef, from: SqlType, column: &Column, faults: &mut Faults) -> ArrayRef {
    if column.not_null && array.null_count() > 0 {
        (0..array.len()).filter(|row| array.is_null(*row)).for_each(|row| faults.add(row, &column.name, null_refused(column)));
    }
    let to = column.data_type;
    let has_form = *array.data_type() == arrow_form::data_type(to);
    if has_form && (from == to || (from.is_string() && to == SqlType::Text)) {
        return Arc::clone(array);
    }
    let mut builder = ColumnBuilder::new(to, array.len());
    let mut refuse = |row: usize, reason: String, builder: &mut ColumnBuilder| {
        faults.add(row, &column.name, reason);
        builder.append(DatumRef::Null);
    };
    if let (true, Some(strings)) = (to.is_string(), Strings::of(array)) {
        for row in 0..array.len() {
            match strings.get(row) {
                None => builder.append(DatumRef::Null),
                Some(value) => match text::fit_string(to, value) {
                    Ok(fitted) => builder.append(DatumRef::Text(&fitted)),
                    Err(error) => refuse(row, error.message, &mut builder),
                },
            }
        }
        return builder.finish();
    }
    for row in 0..array.len() {
        match coerce::assign(arrow_form::datum_at(array, row, from), to) {
            Ok(value) => builder.append(value.as_ref()),
            Err(error) => refuse(row, error.message, &mut builder),
        }
    }
    builder.finish()
}

/// The arrays that Parquet readers give for text.
enum Strings<'a> {
    View(&'a StringViewArray),
    Plain(&'a StringArray),
}

impl<'a> Strings<'a> {
    fn of(array: &'a ArrayRef) -> Option<Strings<'a>> {
        let any = array.as_any();
        any.downcast_ref().map(Strings::View).or_else(|| any.downcast_ref().map(Strings::Plain))
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Strings::View(array) => array.is_valid(row).then(|| array.value(row)),
            Strings::Plain(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}
