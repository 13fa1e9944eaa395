//! A result on its way to the client: batches pulled one after the other, encoded in pieces, sent when there is enough.
//!
//! ```text
//! Rows --next()--> batch --encode up to 64 KiB--> output --flush--> client        suspended: batch and row are kept
//! ```
//!
//! 1. A batch is pulled only when the one before is encoded, and encoded only as the client takes it: a slow client slows its query,
//!    and holds about one batch and one buffer of memory. Only a suspended result that sees changes of its own transaction is read
//!    ahead, see [`Rows::hold`].
//! 2. A cancel, a shutdown and a vanished client stop it at the next piece.
//!
//! Not here: what starts a result (`simple`, `extended`).

use sql::{FormatOptions, RowBatch, Rows};

use crate::connection::Io;
use crate::encode::{Encoder, Format};
use crate::error::Failure;
use crate::output::FLUSH_BYTES;

/// A result with the place it is at.
pub(crate) struct RowStream {
    rows: Rows,
    encoder: Encoder,
    current: Option<(RowBatch, usize)>,
    ended: bool,
    sent: u64,
}

/// How far a result was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// To its end.
    Ended,
    /// As many rows as were asked for. There may be more, which is not looked at.
    Suspended,
}

impl RowStream {
    /// The rows in these formats (none: text everywhere).
    pub(crate) fn new(rows: Rows, formats: &[Format], options: FormatOptions) -> RowStream {
        let encoder = Encoder::new(rows.columns(), formats, options);
        RowStream { rows, encoder, current: None, ended: false, sent: 0 }
    }

    /// The result being pulled.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// See [`Rows::hold`]; the stream is suspended, and other statements may come.
    pub(crate) async fn hold(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        io.unless_interrupted(self.rows.hold()).await
    }

    /// Rows sent since the beginning.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends at most `limit` more rows.
    pub(crate) async fn send(&mut self, io: &mut Io<'_>, limit: u64) -> Result<Progress, Failure> {
        let last = self.sent.saturating_add(limit);
        while self.sent < last {
            let (batch, next) = match &mut self.current {
                Some((batch, next)) => (batch, next),
                None if self.ended => return Ok(Progress::Ended),
                None => match io.unless_interrupted(self.rows.next()).await? {
                    Some(batch) => {
                        let (batch, next) = self.current.insert((batch, 0));
                        (batch, next)
                    }
                    None => {
                        self.ended = true;
                        return Ok(Progress::Ended);
                    }
                },
            };
            let end = usize::try_from(last - self.sent).map_or(batch.rows(), |left| batch.rows().min(next.saturating_add(left)));
            if *next < end {
                let reached = self.encoder.encode(batch, *next..end, &mut io.wire.out, FLUSH_BYTES)?;
                self.sent += (reached - *next) as u64;
                *next = reached;
            }
            if *next >= batch.rows() {
                self.current = None;
            }
            io.flush_if_full().await?;
        }
        Ok(Progress::Suspended)
    }
}
