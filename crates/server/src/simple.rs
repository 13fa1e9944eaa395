//! The simple protocol: one Query with any number of statements, answered in order.
//!
//! ```text
//! Query "a; b; c"  -->  answer a, answer b, commit, CommandComplete c, ReadyForQuery
//!                       an error ends it there: ErrorResponse, ReadyForQuery; what ran before is rolled back with it
//! ```
//!
//! 1. The statements are one implicit transaction; the last one is complete only once that is durable.
//! 2. Results are text, but for rows of BINARY cursors.
//!
//! Source: PostgreSQL 15, `exec_simple_query`.

use std::pin::pin;

use sql::Answer;

use crate::connection::{Connection, Io, MESSAGE_COST_BYTES};
use crate::encode::Format;
use crate::error::Failure;
use crate::rows::RowStream;

impl Connection {
    pub(crate) async fn simple_query(&mut self, io: &mut Io<'_>, text: &str) -> Result<(), Failure> {
        self.statements.close("");
        self.portals.close("");
        let statements = self.session.parse(text)?;
        let count = statements.len();
        if count == 0 {
            self.finish(io).await?;
            io.wire.out.empty_query();
        }
        for (i, statement) in statements.into_iter().enumerate() {
            io.let_others_in(MESSAGE_COST_BYTES).await;
            io.flush_if_full().await?;
            let prepared = self.session.prepare(&statement, &[])?;
            if !prepared.params.is_empty() {
                return Err(statement.parameter_error().into());
            }
            let answer = io.begun_to_its_end(pin!(self.session.execute(&prepared, vec![]))).await?;
            let tag = match answer {
                Answer::Rows(rows) => {
                    let formats = if rows.is_binary() { vec![Format::Binary; rows.columns().len()] } else { vec![] };
                    io.wire.out.row_description(rows.columns(), &formats)?;
                    let mut stream = RowStream::new(rows, &formats, self.session.format_options());
                    stream.send(io, u64::MAX).await?;
                    Some(stream.rows().tag(stream.sent()))
                }
                Answer::Done(tag) => Some(tag),
                Answer::Empty => None,
                Answer::CopyIn(info) => Some(self.copy_in(io, info).await?),
                Answer::CopyOut(copy) => Some(self.copy_out(io, copy).await?),
            };
            if i + 1 == count {
                self.finish(io).await?;
            }
            self.notices(io);
            match tag {
                Some(tag) => {
                    tracing::debug!(tag, "done");
                    io.wire.out.command_complete(&tag);
                }
                None => io.wire.out.empty_query(),
            }
        }
        self.end_cycle(io).await
    }
}
