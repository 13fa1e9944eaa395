//! COPY's own text format.
//!
//! ```text
//! 1<tab>plain<tab>\N<tab>back\\slash, tab \t, newline \n, byte \x41 or \101
//! \.                                                                           end of data
//! ```

use memchr::{memchr, memchr2};
use types::SqlError;

use crate::copy::decode::{LineEnd, Record, Step, bad_format, end_at};
use crate::copy::options::Options;

pub(crate) struct Decoder {
    delimiter: u8,
    null: Vec<u8>,
    line_end: Option<LineEnd>,
    /// Bytes of an incomplete line that were looked at already.
    scanned: usize,
}

impl Decoder {
    pub(crate) fn new(options: &Options) -> Decoder {
        Decoder { delimiter: options.delimiter, null: options.null.clone(), line_end: None, scanned: 0 }
    }

    pub(crate) fn step(&mut self, rest: &[u8], last: bool, record: &mut Record) -> Result<Step, SqlError> {
        let (contents, length) = match self.find_end(rest, last)? {
            Some(ends) => ends,
            None if last => (rest.len(), rest.len()),
            None => return Ok(Step::More),
        };
        self.scanned = 0;
        let line = rest.get(..contents).unwrap_or_default();
        if line == b"\\." {
            return Ok(Step::End);
        }
        if memchr(b'\\', line).is_some() || !record.split_plain(line, self.delimiter, &self.null) {
            record.raw.extend_from_slice(line);
            self.split(line, record);
        }
        Ok(Step::Record(length))
    }

    /// Where the first line ends: length of its contents, length with its end.
    fn find_end(&mut self, rest: &[u8], last: bool) -> Result<Option<(usize, usize)>, SqlError> {
        let mut from = self.scanned;
        while let Some(at) = rest.get(from..).and_then(|tail| memchr2(b'\n', b'\r', tail)).map(|at| at + from) {
            let backslashes = rest.iter().take(at).rev().take_while(|&&b| b == b'\\').count();
            if backslashes % 2 == 1 {
                from = at + 1;
                continue;
            }
            let is_newline = rest.get(at) == Some(&b'\n');
            match self.line_end {
                None if is_newline => self.line_end = Some(LineEnd::Newline),
                None => match rest.get(at + 1) {
                    None if !last => {
                        self.scanned = at;
                        return Ok(None);
                    }
                    Some(b'\n') => {
                        self.line_end = Some(LineEnd::Both);
                        return Ok(Some((at, at + 2)));
                    }
                    _ => self.line_end = Some(LineEnd::CarriageReturn),
                },
                Some(LineEnd::Newline) if !is_newline => {
                    return Err(
                        bad_format("literal carriage return found in data").hint("Use \"\\r\" to represent carriage return.")
                    );
                }
                Some(LineEnd::CarriageReturn) if is_newline => {
                    return Err(bad_format("literal newline found in data").hint("Use \"\\n\" to represent newline."));
                }
                Some(LineEnd::Both) if !is_newline => match rest.get(at + 1) {
                    None if !last => {
                        self.scanned = at;
                        return Ok(None);
                    }
                    Some(b'\n') => return Ok(Some((at, at + 2))),
                    _ => {
                        return Err(
                            bad_format("literal carriage return found in data").hint("Use \"\\r\" to represent carriage return.")
                        );
                    }
                },
                _ => {}
            }
            let end = self.line_end.unwrap_or(LineEnd::Newline);
            return Ok(Some(end_at(end, rest, at)));
        }
        self.scanned = rest.len();
        Ok(None)
    }

    fn split(&self, line: &[u8], record: &mut Record) {
        let mut rest = line;
        loop {
            // The end of the field, escapes skipped.
            let mut end = 0;
            let end = loop {
                match rest.get(end..).and_then(|tail| memchr2(self.delimiter, b'\\', tail)).map(|at| at + end) {
                    Some(at) if rest.get(at) == Some(&b'\\') => end = at + 2,
                    Some(at) => break Some(at),
                    None => break None,
                }
            };
            let raw = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if raw == self.null {
                record.fields.push(None);
            } else {
                let start = record.bytes.len();
                unescape(raw, &mut record.bytes);
                record.fields.push(Some(start..record.bytes.len()));
            }
            match end {
                Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
                None => return,
            }
        }
    }
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut bytes = raw.iter().copied().peekable();
    if !raw.contains(&b'\\') {
        return out.extend_from_slice(raw);
    }
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(escaped) = bytes.next() else {
            out.push(b'\\');
            return;
        };
        out.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let mut value = escaped - b'0';
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|b| matches!(b, b'0'..=b'7')) else { break };
                    value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                }
                value
            }
            b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut value = 0u8;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    value = value * 16 + (digit as char).to_digit(16).unwrap_or(0) as u8;
                }
                value
            }
            other => other,
        });
    }
}

/// Appends a value with what has a meaning in this format escaped.
pub(crate) fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            _ if byte == delimiter => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}
