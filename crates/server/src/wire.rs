//! The two buffers of a connection: what has arrived and is not yet a whole message, what is to be sent.
//!
//! 1. The input holds at most one incomplete frame (bounded by `frame`) and what one read brought after it: more is read only
//!    when no complete frame is left. It grows as bytes arrive.
//! 2. The output is sent when the input holds no complete message, on Flush, or when it is above [`FLUSH_BYTES`]; a client
//!    that does not read stops its own statement there, with about that much held for it.
//! 3. Sending can be interrupted anywhere: what was sent is remembered, and the rest goes out first next time.
//!
//! Source: measured: each write saved is about 4.5 us of server and 2 us of client CPU.

use std::io;
use std::time::Duration;

use bytes::BytesMut;

use crate::output::{FLUSH_BYTES, Output};
use crate::socket::Stream;

/// Room for one read from a client that has logged in.
const READ_BYTES: usize = 16 * 1024;
/// Room for one read from a client that has not.
const LOGIN_READ_BYTES: usize = 2 * 1024;
/// An input buffer that grew above this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// How long a connection that is being closed waits for the client to take the last message and to close.
const LINGER: Duration = Duration::from_secs(1);

/// A stream with its buffers.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) input: BytesMut,
    pub(crate) out: Output,
    /// Bytes of `out` that are sent already.
    sent: usize,
    /// Room for the next read.
    read_bytes: usize,
}

impl Wire {
    /// Buffers for a client that has not logged in.
    pub(crate) fn new(stream: Stream) -> Wire {
        Wire { stream, input: BytesMut::new(), out: Output::default(), sent: 0, read_bytes: LOGIN_READ_BYTES }
    }

    /// The client may now use more memory.
    pub(crate) fn logged_in(&mut self) {
        self.read_bytes = READ_BYTES;
    }

    /// Waits for input and appends it; false at the end of the stream. Can be dropped at any time.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES_MAX {
            self.input = BytesMut::new();
        }
        self.input.reserve(self.read_bytes);
        Ok(self.stream.read(&mut self.input).await? > 0)
    }

    /// Sends all output. Can be dropped at any time, and called again.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.bytes.is_empty() {
            return Ok(());
        }
        while self.sent < self.out.bytes.len() {
            let n = self.stream.write(&self.out.bytes[self.sent..]).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.sent += n;
        }
        self.stream.flush().await?;
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// True if there is so much output that it is to be sent before more is made.
    pub(crate) fn is_full(&self) -> bool {
        self.out.bytes.len() - self.sent >= FLUSH_BYTES
    }

    /// Sends what is left, says that nothing more comes, and gives the client a moment to read it: a socket closed with unread
    /// input would take the last message with it.
    pub(crate) async fn close(mut self) {
        let good_bye = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            while self.fill().await? {
                self.input.clear();
            }
            io::Result::Ok(())
        };
        // Whether the client hears it is up to the client.
        let _ = tokio::time::timeout(LINGER, good_bye).await;
    }
}
