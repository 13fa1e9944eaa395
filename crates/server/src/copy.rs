//! COPY on the wire: data from and to the client.
//!
//! ```text
//! in   CopyInResponse  <-- CopyData* CopyDone        (or CopyFail: 57014)
//! out  CopyOutResponse --> CopyData* CopyDone
//! ```
//!
//! 1. Flush and Sync are ignored while data comes in; any other message there means that client and server are out of step, and ends
//!    the connection.
//! 2. After an error the client's remaining data is ignored: by the simple protocol until its CopyDone or CopyFail, by the
//!    extended one until its Sync.
//! 3. What goes out, goes as [`crate::rows`] go: pulled as the client takes it.
//!
//! Not here: what the data looks like (`sql`).
//! Source: PostgreSQL 15, `CopyGetData` and the COPY part of "Message Flow".

use std::pin::pin;

use sql::{CopyInInfo, CopyOut};

use crate::connection::{Connection, Io};
use crate::error::{Failure, Severity, violation};
use crate::message::{self, Message};

impl Connection {
    /// Takes the client's data; returns the command tag.
    pub(crate) async fn copy_in(&mut self, io: &mut Io<'_>, info: CopyInInfo) -> Result<String, Failure> {
        io.wire.out.copy_response(b'G', info.columns, info.binary)?;
        loop {
            let frame = match io.next_frame(io.control.interrupted()).await {
                Ok(frame) => frame,
                Err(failure) => {
                    self.session.copy_in_fail("the client is gone");
                    return Err(failure);
                }
            };
            let message = match message::decode(&frame) {
                Ok(message) => message,
                Err(error) => {
                    self.session.copy_in_fail(&error.message);
                    return Err(error.into());
                }
            };
            match message {
                Message::CopyData(data) => {
                    self.session.copy_in_data(data)?;
                    io.let_others_in(data.len()).await;
                }
                Message::CopyDone => return io.begun_to_its_end(pin!(self.session.copy_in_finish())).await,
                Message::CopyFail(reason) => return Err(self.session.copy_in_fail(reason).into()),
                Message::Flush | Message::Sync => {}
                Message::Terminate => {
                    self.session.copy_in_fail("the client said good-bye");
                    return Err(Failure::Gone(None));
                }
                _ => {
                    let error = violation(format!("unexpected message type 0x{:02X} during COPY from stdin", frame.tag));
                    let context = self.session.copy_in_fail(&error.message).fields.context.unwrap_or_default();
                    self.notices(io);
                    io.wire.out.error(Severity::Error, &error.context(context));
                    let error = violation("terminating connection because protocol synchronization was lost");
                    return Err(Failure::Fatal(error));
                }
            }
        }
    }

    /// Sends data to the client; returns the command tag.
    pub(crate) async fn copy_out(&mut self, io: &mut Io<'_>, mut copy: CopyOut) -> Result<String, Failure> {
        io.wire.out.copy_response(b'H', copy.columns(), copy.binary())?;
        while let Some(data) = io.unless_interrupted(copy.next()).await? {
            let mut start = 0;
            for &end in copy.message_ends() {
                io.wire.out.copy_data(&data[start..end])?;
                start = end;
            }
            io.flush_if_full().await?;
        }
        io.wire.out.copy_done();
        Ok(copy.tag())
    }
}
