//! COPY FROM STDIN: the client's bytes into a table.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use types::arrow_form::ColumnBuilder;
use types::text::{self, Session as Dates};
use types::{DatumRef, SqlError, SqlState, SqlType, binary};

use crate::copy::decode::{Input, Record, bad_format};
use crate::copy::options::{Format, Header, Options};
use crate::dml::{Default, Loader, Target};
use crate::watch::Watch;

/// Rows handed on at a time.
const BATCH_ROWS: usize = 8192;

/// Bytes of a line shown in an error, as in PostgreSQL.
const SHOWN_BYTES_MAX: usize = 100;

/// A COPY FROM STDIN in progress.
pub(crate) struct CopyFrom {
    pub(crate) target: Target,
    /// The table's columns that the data has, in its order.
    pub(crate) columns: Vec<usize>,
    pub(crate) defaults: Vec<(usize, Default)>,
    pub(crate) loader: Loader,
    pub(crate) dates: Dates,
    pub(crate) watch: Option<Watch>,
    options: Options,
    input: Input,
    record: Record,
    builders: Vec<ColumnBuilder>,
    lines: Vec<u64>,
    header_read: bool,
}

impl CopyFrom {
    pub(crate) fn new(
        target: Target,
        columns: Vec<usize>,
        defaults: Vec<(usize, Default)>,
        options: Options,
        dates: Dates,
        watch: Option<Watch>,
    ) -> CopyFrom {
        let builders = columns.iter().map(|&column| ColumnBuilder::new(target.type_of(column), BATCH_ROWS)).collect();
        CopyFrom {
            loader: Loader::new(target.clone()),
            input: Input::new(&options),
            header_read: options.header == Header::No,
            target,
            columns,
            defaults,
            dates,
            watch,
            options,
            record: Record::default(),
            builders,
            lines: Vec::with_capacity(BATCH_ROWS),
        }
    }

    /// The types of the data's columns.
    pub(crate) fn types(&self) -> Vec<SqlType> {
        self.columns.iter().map(|&column| self.target.type_of(column)).collect()
    }

    /// Takes the client's next bytes.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.input.push(data);
    }

    /// The next rows, with their lines: as soon as there are enough of them, or, if `last`, what is left.
    pub(crate) fn next(&mut self, last: bool) -> Result<Option<(RecordBatch, Vec<u64>)>, SqlError> {
        if let Some(watch) = &self.watch {
            watch.check()?;
        }
        while self.lines.len() < BATCH_ROWS {
            let found = self.input.next(last, &mut self.record).map_err(|error| self.located(error, None))?;
            if !found {
                break;
            }
            if !self.header_read {
                self.header_read = true;
                if self.options.header == Header::Match {
                    self.check_header()?;
                }
                continue;
            }
            self.row()?;
        }
        if self.lines.is_empty() || (self.lines.len() < BATCH_ROWS && !last) {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        let fields = self.columns.iter().map(|&column| {
            let definition = &self.target.table.columns[column];
            types::arrow_form::field(&definition.name, definition.data_type, true)
        });
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, arrays).map_err(|e| SqlError::bug(format!("rows to load: {e}")))?;
        Ok(Some((batch, std::mem::take(&mut self.lines))))
    }

    /// The line that would be read next.
    pub(crate) fn next_line(&self) -> u64 {
        self.input.line() + 1
    }

    /// One record's fields into the builders.
    fn row(&mut self) -> Result<(), SqlError> {
        let given = self.record.fields.len();
        let wanted = self.columns.len();
        if self.options.format == Format::Binary && given != wanted {
            return Err(self.located(bad_format(format!("row field count is {given}, expected {wanted}")), None));
        }
        if given > wanted {
            return Err(self.located(bad_format("extra data after last expected column"), None));
        }
        if given < wanted {
            let name = &self.target.table.columns[self.columns[given]].name;
            return Err(self.located(bad_format(format!("missing data for column \"{name}\"")), None));
        }
        for at in 0..wanted {
            let CopyFrom { target, columns, record, options, builders, dates, .. } = &mut *self;
            let column = &target.table.columns[columns[at]];
            let field = match options.format {
                Format::Csv => csv_field(record, options, at, &column.name),
                Format::Text | Format::Binary => record.fields[at].as_ref().map(FieldText::Of),
            };
            let outcome = match field {
                None => {
                    builders[at].append(DatumRef::Null);
                    Ok(())
                }
                Some(FieldText::Of(range)) if options.format == Format::Binary => {
                    binary::parse(column.data_type, record.value(range)).map(|value| builders[at].append(value.as_ref()))
                }
                Some(FieldText::Of(range)) => match record.text(range) {
                    Ok(text) => append_text(column.data_type, text, dates, &mut builders[at]),
                    Err(error) => Err(invalid_utf8(record.value(range), error)),
                },
                Some(FieldText::Null(null)) => match std::str::from_utf8(null) {
                    Ok(text) => append_text(column.data_type, text, dates, &mut builders[at]),
                    Err(error) => Err(invalid_utf8(null, error)),
                },
            };
            outcome.map_err(|error| self.located(error, Some(at)))?;
        }
        self.lines.push(self.input.line());
        Ok(())
    }

    fn check_header(&self) -> Result<(), SqlError> {
        let (given, wanted) = (self.record.fields.len(), self.columns.len());
        if given != wanted {
            let message = format!("wrong number of fields in header line: got {given}, expected {wanted}");
            return Err(self.located(bad_format(message), None));
        }
        for (at, (field, column)) in self.record.fields.iter().zip(&self.columns).enumerate() {
            let name = &self.target.table.columns[*column].name;
            let found = field.as_ref().map(|range| String::from_utf8_lossy(self.record.value(range)).into_owned());
            if found.as_deref() != Some(name) {
                let found = found.map_or("null value".to_owned(), |found| format!("\"{found}\""));
                let message = format!("column name mismatch in header line field {}: got {found}, expected \"{name}\"", at + 1);
                return Err(self.located(bad_format(message), None));
            }
        }
        Ok(())
    }

    /// An error with where it happened: the line, and the column and its text or the line's text.
    fn located(&self, error: SqlError, field: Option<usize>) -> SqlError {
        if error.fields.context.is_some() {
            return error;
        }
        let place = format!("COPY {}, line {}", self.target.table.name, self.input.line());
        if self.options.format == Format::Binary {
            let column = field.map(|at| format!(", column {}", self.target.table.columns[self.columns[at]].name));
            return error.context(place + &column.unwrap_or_default());
        }
        match field {
            None => error.context(format!("{place}: \"{}\"", cut(self.record.sent()))),
            Some(at) => {
                let column = &self.target.table.columns[self.columns[at]].name;
                match &self.record.fields[at] {
                    None => error.context(format!("{place}, column {column}: null input")),
                    Some(range) => error.context(format!("{place}, column {column}: \"{}\"", cut(self.record.value(range)))),
                }
            }
        }
    }
}

/// What a field that is not NULL says.
enum FieldText<'r> {
    Of(&'r Range<usize>),
    /// The text that otherwise means NULL.
    Null(&'r [u8]),
}

/// A CSV field after FORCE_NULL and FORCE_NOT_NULL.
fn csv_field<'r>(record: &'r Record, options: &'r Options, at: usize, name: &str) -> Option<FieldText<'r>> {
    let quoted = record.quoted.get(at).copied().unwrap_or(false);
    match &record.fields[at] {
        None if options.force_not_null.has(name) => Some(FieldText::Null(&options.null)),
        None => None,
        Some(range) => {
            let is_null = quoted && record.value(range) == options.null && options.force_null.has(name);
            (!is_null).then_some(FieldText::Of(range))
        }
    }
}

/// A value of a text or CSV field. Strings go from the client's bytes to the column without a copy between.
fn append_text(t: SqlType, s: &str, dates: &Dates, builder: &mut ColumnBuilder) -> Result<(), SqlError> {
    match t {
        SqlType::Text => builder.append(DatumRef::Text(text::no_zero_byte(s)?)),
        SqlType::Varchar(_) | SqlType::Char(_) => builder.append(DatumRef::Text(&text::fit_string(t, text::no_zero_byte(s)?)?)),
        _ => builder.append(text::parse_in(t, s, dates)?.as_ref()),
    }
    Ok(())
}

fn invalid_utf8(bytes: &[u8], error: std::str::Utf8Error) -> SqlError {
    let from = error.valid_up_to();
    let len = error.error_len().unwrap_or(bytes.len() - from);
    let shown: Vec<String> = bytes.iter().skip(from).take(len.max(1)).map(|b| format!("0x{b:02x}")).collect();
    let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
    SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
}

/// Data as an error shows it.
fn cut(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}
