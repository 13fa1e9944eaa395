//! Rows from a CSV file.
//!
//! 1. Quotes are RFC 4180's: a field in double quotes may hold delimiters, line ends and doubled quotes.
//! 2. Whether a field was quoted does not matter: by default every empty field is NULL (`--null` chooses another text).
//! 3. Values are read by the database's own rules (`types::text`), dates in UTC.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use bench::Progress;
use csv::{ByteRecord, Reader, ReaderBuilder};
use types::arrow_form::ColumnBuilder;
use types::{DatumRef, SqlError, SqlType, text};

use crate::exit::Failure;
use crate::files::Input;
use crate::import::Column;
use crate::import::batch::{Faults, ROWS_PER_BATCH, good_rows, null_refused, schema};
use crate::import::infer::Inference;
use crate::import::rejects::{Rejects, line_of};
use crate::import::source::CsvForm;

/// Rows looked at to infer columns: enough to meet most kinds of values, and read in a moment.
const ROWS_INFERRED_FROM: usize = 100_000;

/// An open CSV file.
pub(super) struct CsvSource {
    input: Input,
    reader: Reader<File>,
    form: CsvForm,
    names: Option<Vec<String>>,
    columns: Vec<Column>,
    /// The file's column for each of `columns`.
    places: Vec<usize>,
}

impl CsvSource {
    pub(super) fn open(input: Input, form: &CsvForm, delimiter: u8) -> Result<CsvSource, Failure> {
        let form = CsvForm { delimiter: Some(form.delimiter.unwrap_or(delimiter)), ..form.clone() };
        let reader = reader(&input, &form)?;
        let mut source = CsvSource { input, reader, form, names: None, columns: Vec::new(), places: Vec::new() };
        source.names = source.read_header()?;
        Ok(source)
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        Failure::during(format!("read {}", self.input.path.display()), error)
    }

    fn read_header(&mut self) -> Result<Option<Vec<String>>, Failure> {
        if !self.form.header {
            return Ok(None);
        }
        let mut record = ByteRecord::new();
        if !self.reader.read_byte_record(&mut record).map_err(|error| self.failed(error))? {
            return Err(self.failed("it is empty, so it has no header").next("--no-header takes every line as a row"));
        }
        let names: Vec<String> = record.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect();
        let without_mark = names.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect::<Vec<_>>();
        if without_mark.iter().any(String::is_empty) {
            return Err(self.failed("a column in its header has no name").next("--no-header takes the first line as a row"));
        }
        Ok(Some(without_mark))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.input.bytes
    }

    pub(super) fn path(&self) -> &Path {
        &self.input.path
    }

    pub(super) fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Looks at the first rows, with a reader of its own.
    pub(super) fn infer(&self) -> Result<Vec<Column>, Failure> {
        let mut reader = reader(&self.input, &self.form)?;
        let mut record = ByteRecord::new();
        if self.form.header {
            reader.read_byte_record(&mut record).map_err(|error| self.failed(error))?;
        }
        let mut kinds: Vec<Inference> = self.names.iter().flatten().map(|_| Inference::default()).collect();
        for _ in 0..ROWS_INFERRED_FROM {
            if !reader.read_byte_record(&mut record).map_err(|error| self.failed(error))? {
                break;
            }
            if self.names.is_none() && kinds.len() < record.len() {
                kinds.resize_with(record.len(), Inference::default);
            }
            for (field, kind) in record.iter().zip(&mut kinds) {
                if field != self.form.null {
                    kind.see(&String::from_utf8_lossy(field));
                }
            }
        }
        let name = |at: usize| match &self.names {
            Some(names) => names[at].to_lowercase(),
            None => format!("column{}", at + 1),
        };
        Ok(kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| Column { name: name(at), data_type: kind.sql_type(), not_null: false })
            .collect())
    }

    pub(super) fn bind(&mut self, columns: &[Column], places: Vec<usize>) {
        self.columns = columns.to_vec();
        self.places = places;
    }

    pub(super) fn read(
        mut self,
        rejects: &mut Rejects,
        progress: &Progress,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), Failure> {
        let fields = self.names.as_ref().map_or(self.columns.len(), Vec::len);
        let schema = schema(&self.columns);
        let mut builders: Vec<_> =
            self.columns.iter().map(|column| ColumnBuilder::new(column.data_type, ROWS_PER_BATCH)).collect();
        let mut faults = Faults::default();
        let mut bad_records: Vec<(u64, String)> = Vec::new();
        let mut record = ByteRecord::new();
        let mut position = 0;
        let mut more = true;
        while more {
            let mut rows = 0;
            bad_records.clear();
            while rows < ROWS_PER_BATCH {
                more = self.reader.read_byte_record(&mut record).map_err(|error| self.failed(error))?;
                if !more {
                    break;
                }
                let bad = match record.len() == fields {
                    true => self.append(&record, rows, &mut builders, &mut faults),
                    false => {
                        builders.iter_mut().for_each(|builder| builder.append(DatumRef::Null));
                        faults.add(rows, "", format!("{} fields, expected {fields}", record.len()));
                        true
                    }
                };
                if bad {
                    let line = record.position().map_or(0, csv::Position::line);
                    bad_records.push((line, line_of(record.iter()).trim_end_matches('\n').to_owned()));
                }
                rows += 1;
            }
            let bad = faults.take();
            for ((_, fault), (line, text)) in bad.iter().zip(&bad_records) {
                rejects.add(&self.input.path, *line, fault, text)?;
            }
            let arrays = builders.iter_mut().map(ColumnBuilder::finish).collect();
            let batch = good_rows(&schema, arrays, &bad)?;
            let now = self.reader.position().byte();
            progress.add(now - position);
            progress.add_rows(batch.num_rows() as u64);
            position = now;
            if batch.num_rows() > 0 && !take(batch) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends a row's values, NULL for those that do not fit. Returns whether there was one.
    fn append(&self, record: &ByteRecord, row: usize, builders: &mut [ColumnBuilder], faults: &mut Faults) -> bool {
        let mut bad = false;
        for ((column, place), builder) in self.columns.iter().zip(&self.places).zip(builders) {
            let reason = match record.get(*place) {
                Some(field) if field != self.form.null => match append_value(column.data_type, field, builder) {
                    Ok(()) => continue,
                    Err(error) => error.message,
                },
                _ if !column.not_null => {
                    builder.append(DatumRef::Null);
                    continue;
                }
                _ => null_refused(column),
            };
            builder.append(DatumRef::Null);
            faults.add(row, &column.name, reason);
            bad = true;
        }
        bad
    }
}

fn reader(input: &Input, form: &CsvForm) -> Result<Reader<File>, Failure> {
    let failed = |error: std::io::Error| Failure::during(format!("read {}", input.path.display()), error);
    let file = input.reopen().map_err(failed)?;
    Ok(ReaderBuilder::new()
        .delimiter(form.delimiter.unwrap_or(b','))
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 20)
        .from_reader(file))
}

/// Appends a field as a value of a type, or nothing if it is none.
fn append_value(t: SqlType, field: &[u8], builder: &mut ColumnBuilder) -> Result<(), SqlError> {
    let field = match std::str::from_utf8(field) {
        Ok(field) => field,
        Err(_) => {
            return Err(SqlError::new(
                types::SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\"",
            ));
        }
    };
    if t.is_string() {
        let fitted: Cow<'_, str> = text::fit_string(t, text::no_zero_byte(field)?)?;
        builder.append(DatumRef::Text(&fitted));
    } else {
        builder.append(text::parse(t, field)?.as_ref());
    }
    Ok(())
}
