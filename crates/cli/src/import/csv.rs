//! Rows from a CSV file.
//!
//! 1. Records are COPY's (`records`). A file of several columns may have empty lines: they are no rows.
//! 2. Values are read by the database's own rules (`types::text`), dates in UTC.
//! 3. In a column whose type was inferred, a value that the type would change is refused (`infer::keeps`).

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use bench::Progress;
use sql::CopyRecord;
use types::arrow_form::ColumnBuilder;
use types::{DatumRef, SqlError, SqlState, SqlType, text};

use crate::exit::Failure;
use crate::files::{self, Input};
use crate::import::Column;
use crate::import::batch::{Faults, Lot, ROWS_PER_BATCH, good_rows, null_refused, schema};
use crate::import::infer::{Guess, Inference, Kind, keeps};
use crate::import::records::Records;
use crate::import::rejects::Rejects;
use crate::import::source::CsvForm;

/// An open CSV file.
pub(super) struct CsvSource {
    input: Input,
    records: Records,
    form: CsvForm,
    names: Option<Vec<String>>,
    columns: Vec<Column>,
    /// The file's column for each of `columns`.
    places: Vec<usize>,
    /// The columns' types were inferred.
    inferred: bool,
}

impl CsvSource {
    pub(super) fn open(input: Input, form: &CsvForm, delimiter: u8) -> Result<CsvSource, Failure> {
        let guessed = form.delimiter.is_none();
        let form = CsvForm { delimiter: Some(form.delimiter.unwrap_or(delimiter)), ..form.clone() };
        let records = Records::open(&input, &form)?;
        let mut source =
            CsvSource { input, records, form, names: None, columns: Vec::new(), places: Vec::new(), inferred: false };
        source.names = source.read_header(guessed)?;
        Ok(source)
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        Failure::during(format!("read {}", self.input.path.display()), error)
    }

    /// `guessed`: nobody has said which delimiter the file has.
    fn read_header(&mut self, guessed: bool) -> Result<Option<Vec<String>>, Failure> {
        if !self.form.header {
            return Ok(None);
        }
        let mut record = CopyRecord::default();
        if !self.records.next(&mut record)? {
            return Err(self.failed("it is empty, so it has no header").next("--no-header takes every line as a row"));
        }
        let mut names = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let value = field.as_ref().map_or(&[][..], |at| record.value(at));
            let name = std::str::from_utf8(value)
                .ok()
                .filter(|name| !name.contains('\0'))
                .ok_or_else(|| self.failed("its header is not text in UTF-8").next(files::CONVERT))?;
            names.push(match name.trim() {
                "" => format!("column{}", names.len() + 1),
                name => name.to_owned(),
            });
        }
        if let ([name], true) = (&names[..], guessed && !record.sent().starts_with(b"\""))
            && let Some(found) = [';', '\t', '|'].into_iter().find(|c| name.contains(*c))
        {
            let shown = if found == '\t' { "\\t".to_owned() } else { found.to_string() };
            return Err(self.failed(format!("its header is one column, named {name:?}")).next(format!(
                "is the delimiter '{shown}'? use --delimiter '{shown}' (naming any other takes it as one column)"
            )));
        }
        self.refuse_twice(&names)?;
        Ok(Some(names))
    }

    /// Errors: a column's name is there twice.
    fn refuse_twice(&self, names: &[String]) -> Result<(), Failure> {
        let mut seen = HashSet::with_capacity(names.len());
        match names.iter().find(|name| !seen.insert(*name)) {
            Some(name) => Err(self
                .failed(format!("its header names column {name} twice"))
                .next("give each column a name of its own; --create makes no difference between A and a")),
            None => Ok(()),
        }
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

    /// Looks at so many of the first rows, with a reader of its own.
    pub(super) fn infer(&self, rows: usize) -> Result<Vec<Guess>, Failure> {
        let mut records = Records::open(&self.input, &self.form)?;
        let mut record = CopyRecord::default();
        if self.form.header {
            records.next(&mut record)?;
        }
        let mut kinds: Vec<Inference> = self.names.iter().flatten().map(|_| Inference::default()).collect();
        for _ in 0..rows {
            if !records.next(&mut record)? {
                break;
            }
            if self.names.is_none() && kinds.len() < record.fields.len() {
                kinds.resize_with(record.fields.len(), Inference::default);
            }
            for (field, kind) in record.fields.iter().zip(&mut kinds) {
                if let Some(field) = field {
                    kind.see(&String::from_utf8_lossy(record.value(field)));
                }
            }
        }
        let names: Vec<String> = match &self.names {
            Some(names) => names.iter().map(|name| name.to_lowercase()).collect(),
            None => (1..=kinds.len()).map(|at| format!("column{at}")).collect(),
        };
        self.refuse_twice(&names)?;
        let guess = |(name, kind)| Guess { name, kind: Kind::Seen(kind), not_null: false };
        Ok(names.into_iter().zip(kinds).map(guess).collect())
    }

    pub(super) fn bind(&mut self, columns: &[Column], places: Vec<usize>) {
        self.columns = columns.to_vec();
        self.places = places;
    }

    /// Says that the columns' types were inferred.
    pub(super) fn hold_to_inferred(&mut self) {
        self.inferred = true;
    }

    pub(super) fn read(
        mut self,
        rejects: &mut Rejects,
        progress: &Progress,
        take: &mut dyn FnMut(Lot) -> bool,
    ) -> Result<(), Failure> {
        let fields = self.names.as_ref().map_or(self.columns.len(), Vec::len);
        let schema = schema(&self.columns);
        let mut builders: Vec<_> =
            self.columns.iter().map(|column| ColumnBuilder::new(column.data_type, ROWS_PER_BATCH)).collect();
        let mut faults = Faults::default();
        let mut bad_records: Vec<(u64, String)> = Vec::new();
        let mut record = CopyRecord::default();
        let mut position = 0;
        let mut more = true;
        while more {
            let mut rows = 0;
            let mut first_line = None;
            bad_records.clear();
            while rows < ROWS_PER_BATCH {
                more = self.records.next(&mut record)?;
                if !more {
                    break;
                }
                if fields > 1 && record.sent().is_empty() {
                    continue;
                }
                first_line.get_or_insert(self.records.line());
                let bad = match record.fields.len() == fields {
                    true => self.append(&record, rows, &mut builders, &mut faults),
                    false => {
                        builders.iter_mut().for_each(|builder| builder.append(DatumRef::Null));
                        faults.add(rows, "", format!("{} fields, expected {fields}", record.fields.len()));
                        true
                    }
                };
                if bad {
                    bad_records.push((self.records.line(), String::from_utf8_lossy(record.sent()).into_owned()));
                }
                rows += 1;
            }
            let bad = faults.take();
            for ((_, fault), (line, text)) in bad.iter().zip(&bad_records) {
                rejects.add(&self.input.path, *line, fault, text)?;
            }
            let arrays = builders.iter_mut().map(ColumnBuilder::finish).collect();
            let batch = good_rows(&schema, arrays, &bad)?;
            let now = self.records.bytes();
            progress.add(now - position);
            progress.add_rows(batch.num_rows() as u64);
            position = now;
            let lines = (first_line.unwrap_or(0), self.records.line());
            if batch.num_rows() > 0 && !take(Lot { rows: batch, file: self.input.path.clone(), lines }) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends a row's values, NULL for those that do not fit. Returns whether there was one.
    fn append(&self, record: &CopyRecord, row: usize, builders: &mut [ColumnBuilder], faults: &mut Faults) -> bool {
        let mut bad = false;
        for ((column, place), builder) in self.columns.iter().zip(&self.places).zip(builders) {
            let reason = match record.fields.get(*place).and_then(Option::as_ref) {
                Some(field) => match self.append_value(column.data_type, record.value(field), builder) {
                    Ok(()) => continue,
                    Err(error) => error.message,
                },
                None if !column.not_null => {
                    builder.append(DatumRef::Null);
                    continue;
                }
                None => null_refused(column),
            };
            builder.append(DatumRef::Null);
            faults.add(row, &column.name, reason);
            bad = true;
        }
        bad
    }

    /// Appends a field as a value of a type, or nothing if it is none.
    fn append_value(&self, t: SqlType, field: &[u8], builder: &mut ColumnBuilder) -> Result<(), SqlError> {
        let field = std::str::from_utf8(field)
            .map_err(|_| SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\""))?;
        if t.is_string() {
            let fitted: Cow<'_, str> = text::fit_string(t, text::no_zero_byte(field)?)?;
            builder.append(DatumRef::Text(&fitted));
            return Ok(());
        }
        let value = text::parse(t, field)?;
        if self.inferred && !keeps(t, field) {
            let message = format!("\"{field}\" would be changed: the first rows made the column {t}");
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        builder.append(value.as_ref());
        Ok(())
    }
}
