//! CSV.
//!
//! ```text
//! 1,plain,,"quoted, with ""quotes"" and
//! a newline",""            the third field is NULL, the last an empty string
//! ```

use memchr::{memchr, memchr2, memchr3};
use types::SqlError;

use crate::copy::decode::{LineEnd, Record, Step, bad_format};
use crate::copy::options::Options;

pub(crate) struct Decoder {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    line_end: Option<LineEnd>,
    scan: Scan,
}

/// How far an incomplete record was looked at.
#[derive(Clone, Copy, Default)]
struct Scan {
    at: usize,
    in_quotes: bool,
}

impl Decoder {
    pub(crate) fn new(options: &Options) -> Decoder {
        Decoder::with(options.delimiter, options.quote, options.escape, &options.null)
    }

    pub(crate) fn with(delimiter: u8, quote: u8, escape: u8, null: &[u8]) -> Decoder {
        Decoder { delimiter, quote, escape, null: null.into(), line_end: None, scan: Scan::default() }
    }

    pub(crate) fn step(&mut self, rest: &[u8], last: bool, record: &mut Record) -> Result<Step, SqlError> {
        let (contents, length) = match self.find_end(rest, last)? {
            Some(ends) => ends,
            None if last => {
                if self.scan.in_quotes {
                    record.raw.extend_from_slice(rest);
                    return Err(bad_format("unterminated CSV quoted field"));
                }
                (rest.len(), rest.len())
            }
            None => return Ok(Step::More),
        };
        self.scan = Scan::default();
        let line = rest.get(..contents).unwrap_or_default();
        if line == b"\\." {
            return Ok(Step::End);
        }
        if memchr(self.quote, line).is_none() && record.split_plain(line, self.delimiter, &self.null) {
            record.quoted.resize(record.fields.len(), false);
        } else {
            record.raw.extend_from_slice(line);
            self.split(line, record)?;
        }
        Ok(Step::Record(length))
    }

    fn find_end(&mut self, rest: &[u8], last: bool) -> Result<Option<(usize, usize)>, SqlError> {
        let mut scan = self.scan;
        // From one byte that has a meaning to the next.
        let next = |scan: &Scan| {
            let tail = rest.get(scan.at..)?;
            let at =
                if scan.in_quotes { memchr2(self.quote, self.escape, tail) } else { memchr3(self.quote, b'\n', b'\r', tail) };
            Some(scan.at + at.unwrap_or(tail.len()))
        };
        while let Some(at) = next(&scan) {
            scan.at = at;
            let Some(&byte) = rest.get(at) else { break };
            if scan.in_quotes {
                if byte == self.escape && self.escape != self.quote {
                    match rest.get(scan.at + 1) {
                        None if !last => break,
                        Some(&next) if next == self.quote || next == self.escape => scan.at += 1,
                        _ => {}
                    }
                } else if byte == self.quote {
                    scan.in_quotes = false;
                }
            } else if byte == self.quote {
                scan.in_quotes = true;
            } else if byte == b'\n' || byte == b'\r' {
                let followed = rest.get(scan.at + 1);
                if byte == b'\r' && followed.is_none() && !last {
                    break;
                }
                let this = match (byte, followed) {
                    (b'\n', _) => LineEnd::Newline,
                    (_, Some(b'\n')) => LineEnd::Both,
                    _ => LineEnd::CarriageReturn,
                };
                match *self.line_end.get_or_insert(this) {
                    expected if expected == this => {}
                    LineEnd::Both if this == LineEnd::Newline => {
                        return Err(
                            bad_format("unquoted newline found in data").hint("Use quoted CSV field to represent newline.")
                        );
                    }
                    LineEnd::CarriageReturn if this == LineEnd::Newline => {
                        return Err(
                            bad_format("unquoted newline found in data").hint("Use quoted CSV field to represent newline.")
                        );
                    }
                    _ => {
                        return Err(bad_format("unquoted carriage return found in data")
                            .hint("Use quoted CSV field to represent carriage return."));
                    }
                }
                let width = if this == LineEnd::Both { 2 } else { 1 };
                return Ok(Some((scan.at, scan.at + width)));
            }
            scan.at += 1;
        }
        self.scan = scan;
        Ok(None)
    }

    fn split(&self, line: &[u8], record: &mut Record) -> Result<(), SqlError> {
        let mut at = 0;
        loop {
            let start = record.bytes.len();
            let begin = at;
            let (mut quoted, mut in_quotes, mut ended) = (false, false, true);
            while let Some(&byte) = line.get(at) {
                at += 1;
                if in_quotes {
                    let next = line.get(at).copied();
                    if byte == self.escape && next.is_some_and(|n| n == self.quote || n == self.escape) {
                        record.bytes.extend(next);
                        at += 1;
                    } else if byte == self.quote {
                        in_quotes = false;
                    } else {
                        record.bytes.push(byte);
                    }
                } else if byte == self.delimiter {
                    ended = false;
                    break;
                } else if byte == self.quote {
                    quoted = true;
                    in_quotes = true;
                } else {
                    record.bytes.push(byte);
                }
            }
            if in_quotes {
                return Err(bad_format("unterminated CSV quoted field"));
            }
            let raw = line.get(begin..at - usize::from(!ended)).unwrap_or_default();
            let is_null = !quoted && raw == self.null;
            record.fields.push((!is_null).then_some(start..record.bytes.len()));
            record.quoted.push(quoted);
            if ended {
                return Ok(());
            }
        }
    }
}

/// Appends a value, quoted if it must be or `force` says so. `alone`: it is the only column.
pub(crate) fn quote(value: &[u8], options: &Options, force: bool, alone: bool, out: &mut Vec<u8>) {
    let special = |b: &u8| *b == options.delimiter || *b == options.quote || matches!(b, b'\n' | b'\r');
    let must = force || value == options.null || value.iter().any(special) || (alone && value == b"\\.");
    if !must {
        return out.extend_from_slice(value);
    }
    out.push(options.quote);
    for &byte in value {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}
