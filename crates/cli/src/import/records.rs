//! The records of a CSV file, taken apart as COPY does.
//!
//! 1. A field that is NULL's text is NULL unless it is quoted; an empty line is a field as well: what `export` writes comes back.
//! 2. What cannot be taken apart (a quote without its end, a record longer than COPY takes) ends the import: where the next record
//!    begins is not known.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use sql::{CopyInput, CopyRecord};

use crate::exit::Failure;
use crate::files::{self, Input};
use crate::import::source::CsvForm;

/// See [`files::BYTE_ORDER_MARK`].
const BYTE_ORDER_MARK: &[u8] = files::BYTE_ORDER_MARK.as_bytes();

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A file being read.
pub(super) struct Records {
    path: PathBuf,
    file: File,
    input: CopyInput,
    chunk: Vec<u8>,
    at_end: bool,
    bytes: u64,
    line: u64,
    next_line: u64,
}

impl Records {
    pub(super) fn open(input: &Input, form: &CsvForm) -> Result<Records, Failure> {
        let path = input.path.clone();
        let file = input.reopen().map_err(|error| Failure::during(format!("read {}", path.display()), error))?;
        Ok(Records {
            path,
            file,
            input: CopyInput::csv(form.delimiter.unwrap_or(b','), &form.null),
            chunk: vec![0; CHUNK_BYTES],
            at_end: false,
            bytes: 0,
            line: 0,
            next_line: 1,
        })
    }

    /// Reads the next record. False: there is none. Errors: the file cannot be read on; they name the line.
    pub(super) fn next(&mut self, record: &mut CopyRecord) -> Result<bool, Failure> {
        while !self.input.next(self.at_end, record).map_err(|error| self.failed(error.message))? {
            if self.input.is_ended() {
                return Err(self.failed("\\. ends the data of a COPY, and would hide what follows").next("take the line out"));
            }
            if self.at_end {
                return Ok(false);
            }
            self.fill()?;
        }
        let sent = record.sent();
        let count = |end: u8| sent.iter().filter(|byte| **byte == end).count();
        self.line = self.next_line;
        self.next_line += 1 + count(b'\n').max(count(b'\r')) as u64;
        Ok(true)
    }

    fn fill(&mut self) -> Result<(), Failure> {
        // At the start the mark must come whole.
        let least = if self.bytes == 0 { BYTE_ORDER_MARK.len() } else { 1 };
        let mut filled = 0;
        while filled < least && !self.at_end {
            let rest = self.chunk.get_mut(filled..).unwrap_or_default();
            let read = self.file.read(rest).map_err(|error| Failure::during(format!("read {}", self.path.display()), error))?;
            self.at_end = read == 0;
            filled += read;
        }
        let read = self.chunk.get(..filled).unwrap_or_default();
        self.input.push(if self.bytes == 0 { read.strip_prefix(BYTE_ORDER_MARK).unwrap_or(read) } else { read });
        self.bytes += filled as u64;
        Ok(())
    }

    fn failed(&self, cause: impl std::fmt::Display) -> Failure {
        Failure::during(format!("read {}, line {}", self.path.display(), self.next_line), cause)
    }

    /// The line on which the last record began, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of the user's, not the database's")]
mod tests {
    use super::*;

    type Read = (u64, Vec<Option<String>>);

    /// Each record's line and fields.
    fn records(text: &str) -> Result<Vec<Read>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.csv");
        std::fs::write(&path, text).unwrap();
        let input = files::open_all(&[path.display().to_string()]).unwrap().remove(0);
        let mut records = Records::open(&input, &CsvForm::new(None, "", false).unwrap())?;
        let (mut record, mut found) = (CopyRecord::default(), Vec::new());
        while records.next(&mut record)? {
            let text = |range: &std::ops::Range<usize>| String::from_utf8_lossy(record.value(range)).into_owned();
            found.push((records.line(), record.fields.iter().map(|field| field.as_ref().map(text)).collect()));
        }
        assert_eq!(records.bytes(), text.len() as u64);
        Ok(found)
    }

    fn row(line: u64, fields: &[Option<&str>]) -> Read {
        (line, fields.iter().map(|field| field.map(str::to_owned)).collect())
    }

    #[test]
    fn null_and_the_empty_text_are_told_apart() {
        assert_eq!(records("1\n\n\"\"\n").unwrap(), [row(1, &[Some("1")]), row(2, &[None]), row(3, &[Some("")])]);
        assert_eq!(records("\u{feff}a,\r\n\"\",b").unwrap(), [row(1, &[Some("a"), None]), row(2, &[Some(""), Some("b")])]);
    }

    #[test]
    fn a_record_knows_the_line_it_begins_on() {
        assert_eq!(records("\"a\nb\nc\"\nd\n").unwrap(), [row(1, &[Some("a\nb\nc")]), row(4, &[Some("d")])]);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_an_error_that_names_its_line() {
        let Err(error) = records("1\n\"2\n3\n4\n") else { panic!("accepted") };
        assert!(error.message().ends_with("line 2: unterminated CSV quoted field"), "{}", error.message());
        let Err(error) = records("1\n\\.\n3\n") else { panic!("accepted") };
        assert!(error.message().contains("line 2: "), "{}", error.message());
    }
}
