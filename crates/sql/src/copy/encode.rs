//! From rows to COPY's bytes.

use types::{DatumRef, SqlType, binary as wire};

use crate::copy::options::{Format, Header, Options};
use crate::copy::{binary, csv, text};
use crate::format::FormatOptions;

/// Writes the rows of one COPY TO.
pub(crate) struct Encoder {
    options: Options,
    format: FormatOptions,
    columns: Vec<Column>,
    scratch: Vec<u8>,
}

struct Column {
    name: String,
    data_type: SqlType,
    force_quote: bool,
}

impl Encoder {
    pub(crate) fn new(options: Options, format: FormatOptions, columns: &[(String, SqlType)]) -> Encoder {
        let columns = columns.iter().map(|(name, data_type)| Column {
            force_quote: options.force_quote.has(name),
            name: name.clone(),
            data_type: *data_type,
        });
        Encoder { columns: columns.collect(), options, format, scratch: Vec::new() }
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.options.format == Format::Binary
    }

    /// What comes before the first row.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.is_binary() {
            return binary::header(out);
        }
        if self.options.header == Header::No {
            return;
        }
        let alone = self.columns.len() == 1;
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(self.options.delimiter);
            }
            match self.options.format {
                Format::Csv => csv::quote(column.name.as_bytes(), &self.options, false, alone, out),
                Format::Text | Format::Binary => text::escape(column.name.as_bytes(), self.options.delimiter, out),
            }
        }
        out.push(b'\n');
    }

    /// One row; `value` gives its columns.
    pub(crate) fn row<'v>(&mut self, value: impl Fn(usize) -> DatumRef<'v>, out: &mut Vec<u8>) {
        let alone = self.columns.len() == 1;
        if self.is_binary() {
            out.extend_from_slice(&(self.columns.len() as i16).to_be_bytes());
        }
        for (at, column) in self.columns.iter().enumerate() {
            let value = value(at);
            match self.options.format {
                Format::Binary if value.is_null() => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Format::Binary => {
                    let length_at = out.len();
                    out.extend_from_slice(&[0; 4]);
                    wire::format(value, column.data_type, out);
                    let length = (out.len() - length_at - 4) as i32;
                    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
                    continue;
                }
                Format::Text | Format::Csv => {
                    if at > 0 {
                        out.push(self.options.delimiter);
                    }
                    if value.is_null() {
                        out.extend_from_slice(&self.options.null);
                        continue;
                    }
                    self.scratch.clear();
                    self.format.write(value, &mut self.scratch);
                    if self.options.format == Format::Csv {
                        csv::quote(&self.scratch, &self.options, column.force_quote, alone, out);
                    } else {
                        text::escape(&self.scratch, self.options.delimiter, out);
                    }
                }
            }
        }
        if !self.is_binary() {
            out.push(b'\n');
        }
    }

    /// What comes after the last row.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if self.is_binary() {
            binary::trailer(out);
        }
    }
}
