//! What the server says: messages appended to one buffer, which the connection sends when it is time to.
//!
//! ```text
//! sent | complete messages | the message being written
//!      ^ flushed           ^ open
//! ```
//!
//! 1. A message becomes complete with [`Output::end`]; what is still open can be taken back, so an error in the middle of a row
//!    leaves whole messages only.
//! 2. A message is at most 2 GiB: its length is 32 bits.
//!
//! Not here: how a value looks (`encode`), when the buffer is sent (`wire`).
//! Source: PostgreSQL 15, "Message Formats". The rare messages of the login are `pgwire`'s.

use bytes::BytesMut;
use sql::{Notice, OutputColumn, TransactionStatus};
use types::{SqlError, SqlState};

use crate::encode::Format;
use crate::error::Severity;

/// Above this many bytes the buffer is sent although there is more to say.
pub(crate) const FLUSH_BYTES: usize = 64 * 1024;
/// A buffer that grew above this is given back once it is sent.
const KEPT_BYTES_MAX: usize = 4 * FLUSH_BYTES;

/// Messages on their way out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    open: Option<usize>,
}

impl Output {
    /// Starts a message; its body is then appended to `bytes`.
    pub(crate) fn begin(&mut self, tag: u8) {
        debug_assert!(self.open.is_none(), "messages do not nest");
        self.open = Some(self.bytes.len());
        self.bytes.extend_from_slice(&[tag, 0, 0, 0, 0]);
    }

    /// Ends the message that was begun. Errors: 54000 if it is too long; it is then as if it had not been begun.
    pub(crate) fn end(&mut self) -> Result<(), SqlError> {
        let start = self.open.take().expect("a message was begun");
        let Ok(length) = i32::try_from(self.bytes.len() - start - 1) else {
            self.bytes.truncate(start);
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is longer than a message can be (2 GiB)"));
        };
        self.bytes[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Takes back a message that was begun and not ended.
    pub(crate) fn abandon(&mut self) {
        if let Some(start) = self.open.take() {
            self.bytes.truncate(start);
        }
    }

    /// Forgets what was sent.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    /// A message whose body is short for certain.
    fn message(&mut self, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.begin(tag);
        body(&mut self.bytes);
        self.end().expect("only rows and errors can be long");
    }

    /// One of `pgwire`'s messages.
    pub(crate) fn rare(&mut self, message: &impl pgwire::messages::Message) -> Result<(), SqlError> {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes).map_err(|error| SqlError::bug(format!("encode a message: {error}")))?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    pub(crate) fn ready_for_query(&mut self, status: TransactionStatus) {
        self.bytes.extend_from_slice(&[b'Z', 0, 0, 0, 5, status.as_byte()]);
    }

    pub(crate) fn parse_complete(&mut self) {
        self.bytes.extend_from_slice(b"1\0\0\0\x04");
    }

    pub(crate) fn bind_complete(&mut self) {
        self.bytes.extend_from_slice(b"2\0\0\0\x04");
    }

    pub(crate) fn close_complete(&mut self) {
        self.bytes.extend_from_slice(b"3\0\0\0\x04");
    }

    pub(crate) fn no_data(&mut self) {
        self.bytes.extend_from_slice(b"n\0\0\0\x04");
    }

    pub(crate) fn portal_suspended(&mut self) {
        self.bytes.extend_from_slice(b"s\0\0\0\x04");
    }

    pub(crate) fn empty_query(&mut self) {
        self.bytes.extend_from_slice(b"I\0\0\0\x04");
    }

    pub(crate) fn copy_done(&mut self) {
        self.bytes.extend_from_slice(b"c\0\0\0\x04");
    }

    pub(crate) fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| string(out, tag));
    }

    pub(crate) fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            string(out, name);
            string(out, value);
        });
    }

    /// BackendKeyData: what a CancelRequest for this connection must carry.
    pub(crate) fn backend_key_data(&mut self, process_id: i32, secret: &[u8]) {
        self.message(b'K', |out| {
            out.extend_from_slice(&process_id.to_be_bytes());
            out.extend_from_slice(secret);
        });
    }

    /// Errors: 54000 for more parameters than a message can count.
    pub(crate) fn parameter_description(&mut self, oids: &[u32]) -> Result<(), SqlError> {
        let count = count(oids.len(), "parameters")?;
        self.message(b't', |out| {
            out.extend_from_slice(&count);
            oids.iter().for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
        });
        Ok(())
    }

    /// RowDescription. `formats` has one format per column, or none for "not yet known", which is sent as text. Errors: 54000 for
    /// more columns than a message can count.
    pub(crate) fn row_description(&mut self, columns: &[OutputColumn], formats: &[Format]) -> Result<(), SqlError> {
        let count = count(columns.len(), "columns")?;
        self.message(b'T', |out| {
            out.extend_from_slice(&count);
            for (i, column) in columns.iter().enumerate() {
                string(out, &column.name);
                out.extend_from_slice(&column.table_oid.to_be_bytes());
                out.extend_from_slice(&column.attnum.to_be_bytes());
                out.extend_from_slice(&column.type_oid.to_be_bytes());
                out.extend_from_slice(&column.wire_len().to_be_bytes());
                out.extend_from_slice(&column.type_modifier.to_be_bytes());
                out.extend_from_slice(&formats.get(i).copied().unwrap_or(Format::Text).code().to_be_bytes());
            }
        });
        Ok(())
    }

    /// CopyInResponse (`G`) or CopyOutResponse (`H`). Errors: 54000 for more columns than a message can count.
    pub(crate) fn copy_response(&mut self, tag: u8, columns: usize, binary: bool) -> Result<(), SqlError> {
        let count = count(columns, "columns")?;
        self.message(tag, |out| {
            out.push(u8::from(binary));
            out.extend_from_slice(&count);
            (0..columns).for_each(|_| out.extend_from_slice(&[0, u8::from(binary)]));
        });
        Ok(())
    }

    /// Errors: 54000 for more than a message can carry.
    pub(crate) fn copy_data(&mut self, data: &[u8]) -> Result<(), SqlError> {
        self.begin(b'd');
        self.bytes.extend_from_slice(data);
        self.end()
    }

    /// ErrorResponse.
    pub(crate) fn error(&mut self, severity: Severity, error: &SqlError) {
        self.abandon();
        self.fields(b'E', severity, error);
    }

    /// NoticeResponse.
    pub(crate) fn notice(&mut self, notice: &Notice) {
        self.fields(b'N', Severity::Notice(notice.severity), &notice.message);
    }

    fn fields(&mut self, tag: u8, severity: Severity, error: &SqlError) {
        let fields = &error.fields;
        let position = fields.position.map(|position| position.to_string());
        self.begin(tag);
        let out = &mut self.bytes;
        for (field, text) in [
            (b'S', Some(severity.as_str())),
            (b'V', Some(severity.as_str())),
            (b'C', Some(error.state.as_str())),
            (b'M', Some(error.message.as_str())),
            (b'D', fields.detail.as_deref()),
            (b'H', fields.hint.as_deref()),
            (b'W', fields.context.as_deref()),
            (b's', fields.schema.as_deref()),
            (b't', fields.table.as_deref()),
            (b'c', fields.column.as_deref()),
            (b'd', fields.data_type.as_deref()),
            (b'n', fields.constraint.as_deref()),
            (b'P', position.as_deref()),
        ] {
            if let Some(text) = text {
                out.push(field);
                string(out, text);
            }
        }
        out.push(0);
        if self.end().is_err() {
            self.fields(tag, severity, &SqlError::new(error.state, "the error message is too long to be sent"));
        }
    }
}

/// A zero-terminated string. Our texts hold no zero byte; one that did would shift everything behind it, so it ends there.
fn string(out: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(&text[..end]);
    out.push(0);
}

fn count(count: usize, of: &str) -> Result<[u8; 2], SqlError> {
    u16::try_from(count)
        .map(u16::to_be_bytes)
        .map_err(|_| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("{count} {of} are more than a message can count")))
}

#[cfg(test)]
mod tests {
    use types::SqlType;

    use super::*;

    #[test]
    fn an_error_has_its_fields_in_postgresqls_order() {
        let mut out = Output::default();
        let error = SqlError::new(SqlState::UNIQUE_VIOLATION, "duplicate key")
            .detail("Key (a)=(1) already exists.")
            .hint("h")
            .context("w")
            .position(8)
            .table("t")
            .column("c")
            .constraint("t_pkey");
        out.error(Severity::Error, &error);
        let body = b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (a)=(1) already exists.\0Hh\0Ww\0tt\0cc\0nt_pkey\0P8\0\0";
        assert_eq!(out.bytes[0], b'E');
        assert_eq!(out.bytes[1..5], (body.len() as u32 + 4).to_be_bytes());
        assert_eq!(&out.bytes[5..], body);
    }

    #[test]
    fn an_error_takes_back_what_was_being_written() {
        let mut out = Output::default();
        out.bind_complete();
        out.begin(b'D');
        out.bytes.extend_from_slice(b"half a row");
        out.error(Severity::Fatal, &SqlError::bug("x"));
        assert!(out.bytes.starts_with(b"2\0\0\0\x04E"), "{:?}", out.bytes);
    }

    #[test]
    fn a_zero_byte_in_a_text_cannot_shift_the_message() {
        let mut out = Output::default();
        out.command_complete("A\0B");
        assert_eq!(out.bytes, b"C\0\0\0\x06A\0");
    }

    #[test]
    fn columns_are_described_with_type_length_and_modifier() {
        let column = |name: &str, data_type: SqlType, table_oid, attnum| OutputColumn {
            name: name.into(),
            data_type,
            type_oid: data_type.oid(),
            type_modifier: if table_oid == 0 { -1 } else { data_type.typmod() },
            table_oid,
            attnum,
        };
        let numeric = SqlType::Numeric { precision: 10, scale: 2 };
        let mut out = Output::default();
        out.row_description(
            &[column("a", SqlType::Varchar(3), 16384, 2), column("b", numeric, 0, 0), column("c", numeric, 16384, 1)],
            &[Format::Text, Format::Binary, Format::Text],
        )
        .unwrap();
        let mut expected = b"T\0\0\0\x3f\0\x03".to_vec();
        expected.extend_from_slice(b"a\0\0\0\x40\0\0\x02\0\0\x04\x13\xff\xff\0\0\0\x07\0\0");
        expected.extend_from_slice(b"b\0\0\0\0\0\0\0\0\0\x06\xa4\xff\xff\xff\xff\xff\xff\0\x01");
        expected.extend_from_slice(b"c\0\0\0\x40\0\0\x01\0\0\x06\xa4\xff\xff\0\x0a\0\x06\0\0");
        let length = expected.len() as u32 - 1;
        expected[1..5].copy_from_slice(&length.to_be_bytes());
        assert_eq!(out.bytes, expected);
    }
}
