//! What a statement that writes has done.

use std::sync::Arc;

use analytic::Kept;
use types::{Datum, SqlError};

use crate::answer::{Answer, Rows, tag};
use crate::dml::returning::{Returned, Returning};
use crate::prepare::OutputColumn;
use crate::session::Session;

/// See the module's head.
pub(crate) struct Outcome {
    command: &'static str,
    /// Rows written.
    rows: u64,
    pub(crate) returned: Option<(Arc<[OutputColumn]>, Returned)>,
    /// For those.
    pub(crate) room: Kept,
}

impl Outcome {
    pub(crate) fn answer(self) -> Answer {
        match self.returned {
            None => Answer::Done(tag(self.command, self.rows)),
            Some((columns, Returned::Datums(rows))) => {
                Answer::Rows(Rows::ready(columns, self.command, rows).with_room(self.room))
            }
            Some((columns, Returned::Batches(batches))) => {
                Answer::Rows(Rows::batches(columns, self.command, batches).with_room(self.room))
            }
        }
    }
}

impl Session {
    /// The outcome of a statement that has written `rows` rows. `returned`: what [`Returning::row`] kept of each, in `room`.
    pub(crate) async fn outcome(
        &mut self,
        command: &'static str,
        rows: u64,
        returning: Option<&Returning>,
        returned: Vec<Vec<Datum>>,
        params: &[Datum],
        mut room: Kept,
    ) -> Result<Outcome, SqlError> {
        let returned = match returning {
            None => None,
            Some(returning) => {
                Some((Arc::clone(&returning.output), self.returned(returning, returned, params, &mut room).await?))
            }
        };
        Ok(Outcome { command, rows, returned, room })
    }
}
