//! LOCK TABLE.
//!
//! There are two locks of a table: one that keeps its definition, and one that keeps others from writing its rows too. PostgreSQL's modes
//! get the weaker of them that does what they are for; readers never wait.

use std::time::Duration;

use engine::EngineError;
use types::{SqlError, SqlState};

use crate::answer::Answer;
use crate::dml::renewed;
use crate::names::Name;
use crate::session::Session;

impl Session {
    /// Errors: 25P01 outside of a block, 55P03 with NOWAIT, 40P01 and the like.
    pub(crate) fn lock_tables(&mut self, tables: &[Name], keeps_writers: bool, nowait: bool) -> Result<Answer, SqlError> {
        self.transaction.need_block("LOCK TABLE")?;
        let timeout = self.settings.active().lock_timeout;
        self.begin_statement();
        for name in tables {
            loop {
                let catalog = self.catalog();
                let table = self.scope(&catalog).table(name)?.id;
                let transaction = self.open_transaction()?;
                transaction.set_lock_timeout(if nowait { Some(Duration::ZERO) } else { timeout });
                let held = if keeps_writers { transaction.hold_rows(table) } else { transaction.hold_definition(table) };
                match held {
                    Err(EngineError::LockTimeout) if nowait => {
                        let message = format!("could not obtain lock on relation \"{}\"", name.name);
                        return Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, message));
                    }
                    held => {
                        if renewed(transaction, held)? {
                            break;
                        }
                    }
                }
            }
        }
        // A transaction that keeps its snapshot takes it after its locks: it sees what those it waited for have done.
        let transaction = self.open_transaction()?;
        if transaction.isolation().keeps_snapshot() {
            transaction.begin_later()?;
        }
        Ok(Answer::Done("LOCK TABLE".into()))
    }
}
