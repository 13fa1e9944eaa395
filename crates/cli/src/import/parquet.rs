//! Rows from a Parquet file: columns that have the table's type already go through as they are.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use bench::Progress;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use types::arrow_form::{self, ColumnBuilder};
use types::{DatumRef, SqlType, coerce, text};

use crate::exit::Failure;
use crate::files::Input;
use crate::import::Column;
use crate::import::batch::{Faults, Lot, ROWS_PER_BATCH, good_rows, null_refused, schema};
use crate::import::infer::{Guess, Kind};
use crate::import::rejects::{Rejects, line_of};
use crate::import::values;

/// An open Parquet file.
pub(super) struct ParquetSource {
    input: Input,
    metadata: ArrowReaderMetadata,
    /// The same with the Arrow types that the database has: the reader gives text and bytes in its form, without a copy.
    reading: ArrowReaderMetadata,
    columns: Vec<Column>,
    /// The file's column for each of `columns`, and its SQL type.
    places: Vec<(usize, SqlType)>,
}

impl ParquetSource {
    pub(super) fn open(input: Input) -> Result<ParquetSource, Failure> {
        let metadata = guarded(|| ArrowReaderMetadata::load(&input.file, ArrowReaderOptions::new()))
            .map_err(|error| Failure::during(format!("read {}", input.path.display()), error))?;
        let options = ArrowReaderOptions::new().with_schema(with_views(metadata.schema()));
        let reading = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).unwrap_or_else(|_| metadata.clone());
        Ok(ParquetSource { input, metadata, reading, columns: Vec::new(), places: Vec::new() })
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
    pub(super) fn infer(&self) -> Result<Vec<Guess>, Failure> {
        (0..self.metadata.schema().fields().len())
            .map(|at| {
                let field = self.metadata.schema().field(at);
                let kind = Kind::Said(self.type_of(at)?);
                Ok(Guess { name: field.name().to_lowercase(), kind, not_null: !field.is_nullable() })
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
        take: &mut dyn FnMut(Lot) -> bool,
    ) -> Result<(), Failure> {
        let failed = |error: &dyn Display| Failure::during(format!("read {}", self.input.path.display()), error);
        let file = self.input.reopen().map_err(|error| failed(&error))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.reading.clone());
        let roots: Vec<usize> = self.places.iter().map(|(at, _)| *at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        let mut reader = builder.with_projection(mask).with_batch_size(ROWS_PER_BATCH).build().map_err(|error| failed(&error))?;
        // The reader gives the chosen columns in the file's order.
        let mut in_order = roots.clone();
        in_order.sort_unstable();
        in_order.dedup();
        let place_in_batch = |at: usize| in_order.binary_search(&at).expect("every chosen column is read");

        let schema = schema(&self.columns);
        let total_rows = self.metadata.metadata().file_metadata().num_rows().max(1) as u64;
        let (mut rows_before, mut bytes_told) = (0_u64, 0);
        let mut faults = Faults::default();
        while let Some(batch) = guarded(|| reader.next().transpose()).map_err(|error| failed(&error))? {
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
            let lines = (rows_before + 1, rows_before + batch.num_rows() as u64);
            rows_before = lines.1;
            let bytes = (u128::from(self.input.bytes) * u128::from(rows_before) / u128::from(total_rows)) as u64;
            progress.add(bytes - bytes_told);
            progress.add_rows(good.num_rows() as u64);
            bytes_told = bytes;
            if good.num_rows() > 0 && !take(Lot { rows: good, file: self.input.path.clone(), lines }) {
                return Ok(());
            }
        }
        progress.add(self.input.bytes.saturating_sub(bytes_told));
        Ok(())
    }
}

/// Has the decoder do something. It panics at some files that are damaged: that is an error here, and it is not used again.
fn guarded<T, E: Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(_) => Err("the file is damaged: its values cannot be decoded".into()),
    }
}

/// A file's column as the table's. Values that do not fit become NULL, and their rows faulty.
fn convert(array: &ArrayRef, from: SqlType, column: &Column, faults: &mut Faults) -> ArrayRef {
    if column.not_null && array.null_count() > 0 {
        (0..array.len()).filter(|row| array.is_null(*row)).for_each(|row| faults.add(row, &column.name, null_refused(column)));
    }
    let to = column.data_type;
    if let Some(converted) = without_values(array, from, to) {
        return converted;
    }
    let mut builder = ColumnBuilder::new(to, array.len());
    let mut refuse = |row: usize, reason: String, builder: &mut ColumnBuilder| {
        faults.add(row, &column.name, reason);
        builder.append(DatumRef::Null);
    };
    if let (true, Some(strings)) = (to.is_string(), Strings::of(array)) {
        let mut padded = String::new();
        for row in 0..array.len() {
            match strings.get(row) {
                None => builder.append(DatumRef::Null),
                Some(value) if value.contains('\0') => refuse(row, values::NUL_BYTE.to_owned(), &mut builder),
                Some(value) if pad(value, to, &mut padded) => builder.append(DatumRef::Text(&padded)),
                Some(value) => match text::fit_string(to, value) {
                    Ok(fitted) => builder.append(DatumRef::Text(&fitted)),
                    Err(error) => refuse(row, error.message, &mut builder),
                },
            }
        }
        return builder.finish();
    }
    for row in 0..array.len() {
        let value = arrow_form::datum_at(array, row, from);
        if let Some(reason) = values::refusal(array, row, &value) {
            refuse(row, reason, &mut builder);
            continue;
        }
        match coerce::assign(value, to) {
            Ok(value) => builder.append(value.as_ref()),
            Err(error) => refuse(row, error.message, &mut builder),
        }
    }
    builder.finish()
}

/// The column where all of its values can be told to fit at once; None if each has to be looked at.
fn without_values(array: &ArrayRef, from: SqlType, to: SqlType) -> Option<ArrayRef> {
    let form = arrow_form::data_type(to);
    if *array.data_type() == form {
        if !values::are_all_of(array, from) {
            return None;
        }
        let fits = match (from, to) {
            _ if from == to => true,
            (_, SqlType::Text) => from.is_string(),
            (_, SqlType::Varchar(n)) if from.is_string() => {
                // The length in bytes is the view's lowest four; fewer bytes than characters allowed cannot be too many characters.
                array.as_string_view().views().iter().all(|view| *view as u32 <= n)
            }
            (_, SqlType::Char(n)) if from.is_string() => {
                array.as_string_view().iter().flatten().all(|value| value.len() == n as usize && value.is_ascii())
            }
            _ => false,
        };
        return fits.then(|| Arc::clone(array));
    }
    let is_integer = |t: SqlType| matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    if is_integer(from) && is_integer(to) && array.data_type().is_integer() {
        // A value out of range becomes NULL in the cast.
        return cast(array, &form).ok().filter(|cast| cast.null_count() == array.null_count());
    }
    None
}

/// Puts a value into `padded` with the blanks that make it a `char(n)`; false if it is none that only lacks those.
fn pad(value: &str, to: SqlType, padded: &mut String) -> bool {
    const BLANKS: &str = "                                ";
    let SqlType::Char(n) = to else { return false };
    let missing = (n as usize).checked_sub(value.len()).and_then(|missing| BLANKS.get(..missing));
    let Some(blanks) = missing.filter(|_| value.is_ascii()) else { return false };
    padded.clear();
    padded.push_str(value);
    padded.push_str(blanks);
    true
}

/// The schema with text and bytes as views.
fn with_views(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => field.as_ref().clone().with_data_type(DataType::BinaryView),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
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

#[cfg(test)]
mod tests {
    use arrow::array::{Int16Array, Int64Array};

    use super::*;

    fn converted(array: ArrayRef, from: SqlType, to: SqlType) -> (ArrayRef, Vec<(usize, crate::import::rejects::Fault)>) {
        let column = Column { name: "c".into(), data_type: to, not_null: false };
        let mut faults = Faults::default();
        (convert(&array, from, &column, &mut faults), faults.take())
    }

    #[test]
    fn text_that_fits_goes_through_and_text_that_does_not_is_told() {
        let text = |values: &[&str]| -> ArrayRef { Arc::new(StringViewArray::from(values.to_vec())) };
        let (array, faults) = converted(text(&["ab", "abc", "\u{e9}\u{e9}\u{e9}"]), SqlType::Text, SqlType::Varchar(3));
        assert_eq!((array.as_string_view().value(2), faults.len()), ("\u{e9}\u{e9}\u{e9}", 0));
        let (_, faults) = converted(text(&["ab", "abcd", "abc "]), SqlType::Text, SqlType::Varchar(3));
        assert_eq!(faults.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1]);
        let (array, faults) = converted(text(&["ab", "", "abc  ", "\u{e9}"]), SqlType::Text, SqlType::Char(3));
        assert_eq!(array.as_string_view().iter().flatten().collect::<Vec<_>>(), ["ab ", "   ", "abc", "\u{e9}  "]);
        assert!(faults.is_empty());
        let (array, _) = converted(text(&["\u{e9}a", "abc"]), SqlType::Text, SqlType::Char(3));
        assert_eq!(array.as_string_view().value(0), "\u{e9}a ");
    }

    #[test]
    fn integers_that_fit_are_cast_and_those_that_do_not_are_told() {
        let numbers = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let (array, faults) = converted(numbers(&[1, -32768]), SqlType::Int8, SqlType::Int2);
        assert_eq!((array.as_any().downcast_ref::<Int16Array>().unwrap().value(1), faults.len()), (-32768, 0));
        let (_, faults) = converted(numbers(&[1, 32768]), SqlType::Int8, SqlType::Int2);
        assert_eq!(faults[0].0, 1);
    }
}
