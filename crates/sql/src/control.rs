//! Statements about the session itself: transactions, settings, cached things, maintenance.

use std::sync::Arc;

use engine::Isolation;
use env::blocking;
use types::{Datum, SqlError, SqlState, SqlType, TableId};

use crate::answer::{Answer, Rows};
use crate::names::Name;
use crate::notice::Notice;
use crate::parse::{Discard, Modes, Set, SetValue, Statement};
use crate::prepare::OutputColumn;
use crate::references::Looking;
use crate::session::Session;
use crate::settings::{Reach, Reader, active, unrecognized};

impl Session {
    pub(crate) fn begin(&mut self, start: bool, modes: Modes) -> Result<Answer, SqlError> {
        let now = self.instance.env().now_micros();
        let notice = self.transaction.begin(modes, &self.settings, now)?;
        self.notices.extend(notice);
        Ok(Answer::Done(if start { "START TRANSACTION" } else { "BEGIN" }.into()))
    }

    /// COMMIT or ROLLBACK.
    pub(crate) async fn end(&mut self, commit: bool, chain: bool) -> Result<Answer, SqlError> {
        if !self.transaction.is_explicit() {
            if chain {
                self.transaction.need_block(if commit { "COMMIT AND CHAIN" } else { "ROLLBACK AND CHAIN" })?;
            }
            let message = "there is no transaction in progress";
            self.notice(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        let modes = Modes {
            isolation: Some(self.transaction.isolation()),
            read_only: Some(self.transaction.is_read_only()),
            deferrable: Some(self.transaction.is_deferrable()),
        };
        let committed = commit && !self.transaction.has_failed();
        if commit {
            self.commit().await?;
        } else {
            drop(self.leave_transaction());
            self.transaction.rollback(&mut self.settings);
        }
        if chain {
            let now = self.instance.env().now_micros();
            self.transaction.begin(modes, &self.settings, now)?;
        }
        Ok(Answer::Done(if committed { "COMMIT" } else { "ROLLBACK" }.into()))
    }

    pub(crate) fn set_transaction(&mut self, modes: Modes) -> Result<Answer, SqlError> {
        if self.transaction.is_explicit() {
            self.transaction.set_modes(modes)?;
        } else {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            self.notice(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        Ok(Answer::Done("SET".into()))
    }

    pub(crate) fn set_constraints(&mut self, names: Option<&[Name]>, deferred: bool) -> Result<Answer, SqlError> {
        let done = Answer::Done("SET CONSTRAINTS".into());
        let catalog = self.begin_statement().catalog();
        let mut found = Vec::new();
        for name in names.unwrap_or_default() {
            found.extend(self.scope(&catalog).deferrable(name)?);
        }
        if !self.transaction.is_explicit() {
            let message = "SET CONSTRAINTS can only be used in transaction blocks";
            self.notice(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
            return Ok(done);
        }
        let deferrals = self.transaction.deferrals_mut();
        match names {
            None => deferrals.set_all(deferred),
            Some(_) => found.into_iter().for_each(|id| deferrals.set(id, deferred)),
        }
        if !deferred {
            self.settle_deferred(Looking::Again)?;
        }
        Ok(done)
    }

    pub(crate) fn set_characteristics(&mut self, modes: Modes) -> Result<Answer, SqlError> {
        if let Some(isolation) = modes.isolation {
            self.settings.set("default_transaction_isolation", level_name(isolation), Reach::Session)?;
        }
        if let Some(read_only) = modes.read_only {
            self.settings.set("default_transaction_read_only", if read_only { "on" } else { "off" }, Reach::Session)?;
        }
        Ok(Answer::Done("SET".into()))
    }

    pub(crate) fn set(&mut self, set: &Set) -> Result<Answer, SqlError> {
        if set.local && !self.transaction.is_explicit() {
            let message = "SET LOCAL can only be used in transaction blocks";
            self.notice(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        let one = match set.values.as_deref() {
            Some([SetValue::Text(v) | SetValue::Word(v) | SetValue::Number(v)]) => Some(v.as_str()),
            _ => None,
        };
        match (self.transaction_setting(&set.name), one) {
            (true, Some(value)) => self.set_transaction_setting(&set.name, value)?,
            _ => self.settings.assign(set)?,
        }
        Ok(Answer::Done("SET".into()))
    }

    /// Sets a setting to a text: what `set_config` does, local or for the session.
    pub(crate) fn set_config(&mut self, name: &str, value: &str, local: bool) -> Result<String, SqlError> {
        if self.transaction_setting(name) {
            self.set_transaction_setting(name, value)?;
        } else {
            self.settings.set(name, value, if local { Reach::Local } else { Reach::Session })?;
        }
        self.show_value(name)
    }

    /// Whether a setting is the current transaction's.
    fn transaction_setting(&self, name: &str) -> bool {
        matches!(name.to_ascii_lowercase().as_str(), "transaction_isolation" | "transaction_read_only" | "transaction_deferrable")
    }

    fn set_transaction_setting(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let definition = crate::settings::definition::find(name).ok_or_else(|| unrecognized(name))?;
        let value = crate::settings::value::canonical(definition, value)?;
        let mut modes = Modes::default();
        if name.eq_ignore_ascii_case("transaction_read_only") {
            modes.read_only = Some(value == "on");
        } else if name.eq_ignore_ascii_case("transaction_deferrable") {
            modes.deferrable = Some(value == "on");
        } else {
            modes.isolation = Some(active::isolation(&value));
        }
        self.transaction.set_modes(modes)
    }

    pub(crate) fn reset(&mut self, name: Option<&str>) -> Result<Answer, SqlError> {
        match name {
            None => self.settings.reset_all()?,
            Some(name) if self.transaction_setting(name) => {
                let active = Arc::clone(self.settings.active());
                let modes = match name.to_ascii_lowercase().as_str() {
                    "transaction_deferrable" => Modes { deferrable: Some(active.default_deferrable), ..Modes::default() },
                    "transaction_read_only" => Modes { read_only: Some(active.default_read_only), ..Modes::default() },
                    _ => Modes { isolation: Some(active.default_isolation), ..Modes::default() },
                };
                self.transaction.set_modes(modes)?;
            }
            Some(name) => self.settings.reset(name, Reach::Session)?,
        }
        Ok(Answer::Done("RESET".into()))
    }

    /// A setting's value as SHOW shows it.
    pub(crate) fn show_value(&self, name: &str) -> Result<String, SqlError> {
        match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" if self.in_transaction() => Ok(level_name(self.transaction.isolation()).to_owned()),
            "transaction_isolation" => self.settings.show("default_transaction_isolation"),
            "transaction_deferrable" if self.in_transaction() => {
                Ok(if self.transaction.is_deferrable() { "on" } else { "off" }.to_owned())
            }
            "transaction_deferrable" => self.settings.show("default_transaction_deferrable"),
            "transaction_read_only" if self.in_transaction() => {
                Ok(if self.transaction.is_read_only() { "on" } else { "off" }.to_owned())
            }
            "transaction_read_only" => self.settings.show("default_transaction_read_only"),
            _ => self.settings.show(name),
        }
    }

    /// The settings as they are now, the transaction's own among them.
    pub(crate) fn settings_reader(&self) -> Reader {
        let own = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"];
        self.settings.reader().with(own.map(|name| (name, self.show_value(name).unwrap_or_default())))
    }

    fn in_transaction(&self) -> bool {
        self.transaction.is_explicit() || self.transaction.is_implicit()
    }

    /// The columns of SHOW.
    pub(crate) fn show_columns(&self, name: Option<&str>) -> Result<Vec<OutputColumn>, SqlError> {
        let text = |name: &str| OutputColumn::plain(name, SqlType::Text);
        Ok(match name {
            None => vec![text("name"), text("setting"), text("description")],
            Some(name) => {
                self.show_value(name)?;
                vec![text(crate::settings::definition::find(name).map_or(name, |d| d.name))]
            }
        })
    }

    pub(crate) fn show(&self, name: Option<&str>) -> Result<Answer, SqlError> {
        let text = |s: &str| Datum::Text(s.into());
        let columns = self.show_columns(name)?.into();
        let rows = match name {
            Some(name) => vec![vec![text(&self.show_value(name)?)]],
            None => {
                let mut rows = Vec::new();
                for (definition, _) in self.settings.all() {
                    let value = self.show_value(definition.name)?;
                    rows.push(vec![text(definition.name), text(&value), text(definition.description)]);
                }
                rows
            }
        };
        Ok(Answer::Rows(Rows::ready(columns, "SHOW", rows)))
    }

    pub(crate) fn discard(&mut self, what: Discard) -> Result<Answer, SqlError> {
        let tag = match what {
            Discard::Plans => {
                self.instance.plans().clear();
                "DISCARD PLANS"
            }
            Discard::Sequences => {
                self.transaction.given().clear();
                "DISCARD SEQUENCES"
            }
            // There are no temporary tables.
            Discard::Temp => "DISCARD TEMP",
            Discard::All => {
                if self.transaction.is_explicit() {
                    let message = "DISCARD ALL cannot run inside a transaction block";
                    return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
                }
                self.settings.reset_all()?;
                self.statements.clear();
                self.transaction.given().clear();
                self.locks.unlock_all();
                "DISCARD ALL"
            }
        };
        Ok(Answer::Done(tag.into()))
    }

    /// VACUUM: moves what can be moved into segments now. ANALYZE: statistics are always as new as the data.
    pub(crate) fn maintain(
        &mut self,
        statement: &Statement,
        command: &'static str,
        merge: bool,
        tables: &[Name],
    ) -> Result<Answer, SqlError> {
        if merge {
            self.prevent_in_block(statement, command)?;
        }
        let catalog = self.begin_statement().catalog();
        let scope = self.scope(&catalog);
        let mut ids: Vec<TableId> = Vec::new();
        for name in tables {
            ids.push(scope.table(name)?.id);
        }
        if merge {
            let engine = Arc::clone(self.instance.engine());
            // The snapshot of this statement must not hold back what is to be merged.
            self.transaction.rollback(&mut self.settings);
            blocking(|| match ids.is_empty() {
                true => engine.merge(None),
                false => ids.iter().try_for_each(|id| engine.merge(Some(*id))),
            })?;
        }
        Ok(Answer::Done(command.to_owned()))
    }
}

pub(crate) fn level_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
    }
}
