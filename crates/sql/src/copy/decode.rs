//! From the client's bytes, cut anywhere, to records of fields.

use std::ops::Range;

use types::{SqlError, SqlState};

use crate::copy::options::{Format, Options};
use crate::copy::{binary, csv, text};

/// Bytes of one record, at most: a row's values have to fit into memory several times over.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// One record, taken apart. Reused from record to record.
///
/// A plain one has nothing to be undone and is UTF-8 as a whole: its fields lie in it as they were sent.
#[derive(Debug, Default)]
pub struct Record {
    /// The fields' values, escapes undone; empty in a plain record.
    pub(crate) bytes: Vec<u8>,
    /// The fields; `None` is NULL, else where the value is ([`Record::value`]).
    pub fields: Vec<Option<Range<usize>>>,
    /// True where the field was quoted (CSV).
    pub(crate) quoted: Vec<bool>,
    /// The record as it was sent; empty in a plain record.
    pub(crate) raw: Vec<u8>,
    /// A plain record as it was sent.
    plain: Option<String>,
    /// What was in the last plain record, for its memory.
    spare: String,
}

impl Record {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.quoted.clear();
        self.raw.clear();
        if let Some(line) = self.plain.take() {
            self.spare = line;
        }
    }

    /// Takes a line that has nothing to be undone apart at every `delimiter`; fields that are `null` are NULL. False, with nothing
    /// done, if it is not UTF-8.
    pub(crate) fn split_plain(&mut self, line: &[u8], delimiter: u8, null: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(line) else { return false };
        let mut plain = std::mem::take(&mut self.spare);
        plain.clear();
        plain.push_str(text);
        self.plain = Some(plain);
        let mut start = 0;
        for end in memchr::memchr_iter(delimiter, line).chain([line.len()]) {
            let is_null = line.get(start..end).unwrap_or_default() == null;
            self.fields.push((!is_null).then_some(start..end));
            start = end + 1;
        }
        true
    }

    /// The bytes of a field that is not NULL.
    pub fn value(&self, field: &Range<usize>) -> &[u8] {
        let bytes = self.plain.as_ref().map_or(&*self.bytes, String::as_bytes);
        bytes.get(field.clone()).unwrap_or_default()
    }

    /// The text of a field that is not NULL. Errors: it is not UTF-8.
    pub(crate) fn text(&self, field: &Range<usize>) -> Result<&str, std::str::Utf8Error> {
        match self.plain.as_ref().and_then(|plain| plain.get(field.clone())) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(self.value(field)),
        }
    }

    /// The record as it was sent, for messages.
    pub fn sent(&self) -> &[u8] {
        self.plain.as_ref().map_or(&*self.raw, String::as_bytes)
    }
}

/// How lines end; settled by the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    Newline,
    CarriageReturn,
    Both,
}

/// What a format's decoder found at the start of its input.
pub(crate) enum Step {
    /// A record of so many bytes was read into the record.
    Record(usize),
    /// Something without a record (a header, a trailer) took so many bytes.
    Skip(usize),
    /// The rest is not there yet.
    More,
    /// The end-of-data marker.
    End,
}

/// One format.
enum Decoder {
    Text(text::Decoder),
    Csv(csv::Decoder),
    Binary(binary::Decoder),
}

/// The stream of one COPY FROM STDIN, or a file read as one.
pub struct Input {
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    line: u64,
}

impl Input {
    pub(crate) fn new(options: &Options) -> Input {
        Input::of(match options.format {
            Format::Text => Decoder::Text(text::Decoder::new(options)),
            Format::Csv => Decoder::Csv(csv::Decoder::new(options)),
            Format::Binary => Decoder::Binary(binary::Decoder::default()),
        })
    }

    /// CSV with double quotes: a field that is `null` and not quoted is NULL.
    pub fn csv(delimiter: u8, null: &[u8]) -> Input {
        Input::of(Decoder::Csv(csv::Decoder::with(delimiter, b'"', b'"', null)))
    }

    fn of(decoder: Decoder) -> Input {
        Input { decoder, buffer: Vec::new(), start: 0, ended: false, line: 0 }
    }

    /// Takes the client's next bytes.
    pub fn push(&mut self, data: &[u8]) {
        if self.ended {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(data);
    }

    /// True once the end-of-data marker was read: what follows it is not looked at.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The line (or, in binary, the row) the last record began on, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Reads the next whole record. `last`: there will be no more bytes. False: none is there (yet). Errors: 22P04; they carry no
    /// context yet.
    pub fn next(&mut self, last: bool, record: &mut Record) -> Result<bool, SqlError> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if self.ended || (rest.is_empty() && !(last && matches!(self.decoder, Decoder::Binary(_)))) {
                return Ok(false);
            }
            record.clear();
            self.line += 1;
            let step = match &mut self.decoder {
                Decoder::Text(decoder) => decoder.step(rest, last, record)?,
                Decoder::Csv(decoder) => decoder.step(rest, last, record)?,
                Decoder::Binary(decoder) => decoder.step(rest, last, record)?,
            };
            match step {
                Step::Record(bytes) => {
                    self.start += bytes;
                    return Ok(true);
                }
                Step::Skip(bytes) => {
                    self.start += bytes;
                    self.line -= 1;
                    if bytes == 0 {
                        return Ok(false);
                    }
                }
                Step::More => {
                    self.line -= 1;
                    if rest.len() > RECORD_BYTES_MAX {
                        let message = format!("COPY: a record is longer than {RECORD_BYTES_MAX} bytes");
                        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
                    }
                    return Ok(false);
                }
                Step::End => {
                    self.line -= 1;
                    self.ended = true;
                    self.buffer = Vec::new();
                    self.start = 0;
                    return Ok(false);
                }
            }
        }
    }
}

/// The error for malformed COPY data.
pub(crate) fn bad_format(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Where a line that ends with what the stream's lines end with ends: the length of its contents and of all of it.
pub(crate) fn end_at(end: LineEnd, rest: &[u8], at: usize) -> (usize, usize) {
    match end {
        LineEnd::Newline | LineEnd::CarriageReturn => (at, at + 1),
        LineEnd::Both if at > 0 && rest.get(at - 1) == Some(&b'\r') => (at - 1, at + 1),
        LineEnd::Both => (at, at + 1),
    }
}
