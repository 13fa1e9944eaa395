//! One session's settings: transactional, as in PostgreSQL.
//!
//! ```text
//! effective = local (SET LOCAL, until the transaction ends) or session (SET) or the session's defaults (startup, configuration)
//! rollback  = session and local as they were when the transaction, or the savepoint, began
//! ```
//!
//! 1. Values are kept canonical, so that equal values are equal texts.
//! 2. A setting that would change results and is not implemented refuses every value but its default.
//!
//! `definition` says which there are, `value` what values mean, `active` what the rest of the crate reads.

pub(crate) mod active;
pub(crate) mod definition;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{SqlError, SqlState};

use crate::names::quote_ident;
use crate::parse::{Set, SetValue};
use active::Active;
use definition::{Context, Definition, Kind};

type Values = Arc<BTreeMap<String, String>>;

/// Settings at a moment, to go back to.
#[derive(Clone)]
pub(crate) struct Mark {
    session: Values,
    local: Values,
}

/// Settings at a moment, to be read.
#[derive(Clone)]
pub(crate) struct Reader([Values; 3]);

impl Reader {
    /// The canonical value, numbers in their base unit.
    pub(crate) fn base(&self, name: &str) -> Option<String> {
        let [local, session, defaults] = &self.0;
        effective(name, &[local, session, defaults])
    }

    /// What SHOW shows. Errors: 42704.
    pub(crate) fn show(&self, name: &str) -> Result<String, SqlError> {
        let [local, session, defaults] = &self.0;
        let kept = effective(name, &[local, session, defaults]).ok_or_else(|| unrecognized(name))?;
        Ok(definition::find(name).map_or_else(|| kept.clone(), |d| value::shown(d, &kept)))
    }
}

/// The settings of a session.
pub(crate) struct Settings {
    defaults: Values,
    session: Values,
    local: Values,
    active: Arc<Active>,
    /// What clients were last told.
    reported: BTreeMap<&'static str, String>,
    /// The values that was found in: the same ones have nothing new to tell, and this is asked after every statement.
    reported_of: Option<[Values; 3]>,
}

impl Reader {
    /// With values of their own for some settings.
    pub(crate) fn with<const N: usize>(mut self, values: [(&str, String); N]) -> Reader {
        Arc::make_mut(&mut self.0[0]).extend(values.map(|(name, value)| (name.to_owned(), value)));
        self
    }
}

/// Which settings a change is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Session,
    Local,
}

impl Settings {
    /// The settings a session of `user` starts with; `defaults` later ones first.
    pub(crate) fn new(user: &str, defaults: &[&[(String, String)]]) -> Result<Settings, SqlError> {
        let mut values = BTreeMap::from([("session_authorization".to_owned(), user.to_owned())]);
        for (name, value) in defaults.iter().copied().flatten() {
            let (key, kept) = check(name, value, user)?;
            values.insert(key, kept);
        }
        let defaults = Arc::new(values);
        let active = Arc::new(Active::of(&|name| effective(name, &[&defaults]))?);
        Ok(Settings {
            defaults,
            session: Arc::default(),
            local: Arc::default(),
            active,
            reported: BTreeMap::new(),
            reported_of: None,
        })
    }

    /// What the crate reads.
    pub(crate) fn active(&self) -> &Arc<Active> {
        &self.active
    }

    /// The canonical value of a setting, `None` if there is none of that name.
    fn kept(&self, name: &str) -> Option<String> {
        effective(name, &[&self.local, &self.session, &self.defaults])
    }

    /// What SHOW shows. Errors: 42704.
    pub(crate) fn show(&self, name: &str) -> Result<String, SqlError> {
        let kept = self.kept(name).ok_or_else(|| unrecognized(name))?;
        Ok(definition::find(name).map_or_else(|| kept.clone(), |d| value::shown(d, &kept)))
    }

    /// SHOW ALL: name, value, description.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static Definition, String)> + '_ {
        let visible = definition::all().iter().filter(|d| !d.hidden);
        visible.map(|d| (d, value::shown(d, &self.kept(d.name).unwrap_or_default())))
    }

    /// SET, from its statement.
    pub(crate) fn assign(&mut self, set: &Set) -> Result<(), SqlError> {
        let reach = if set.local { Reach::Local } else { Reach::Session };
        match &set.values {
            None => self.reset(&set.name, reach),
            Some(values) => {
                let value = one_text(&set.name, values)?;
                self.set(&set.name, &value, reach)
            }
        }
    }

    /// Sets a setting to a text, as `set_config` does. Errors: 42704, 22023, 55P02, 0A000.
    pub(crate) fn set(&mut self, name: &str, text: &str, reach: Reach) -> Result<(), SqlError> {
        let (key, kept) = check(name, text, &self.user())?;
        self.change(key, Some(kept), reach)
    }

    /// RESET, SET .. TO DEFAULT.
    pub(crate) fn reset(&mut self, name: &str, reach: Reach) -> Result<(), SqlError> {
        let key = match definition::find(name) {
            Some(d) => {
                check_context(d)?;
                d.name.to_ascii_lowercase()
            }
            None if name.contains('.') => name.to_ascii_lowercase(),
            None => return Err(unrecognized(name)),
        };
        match reach {
            Reach::Session => self.change(key, None, reach),
            Reach::Local => {
                let default = effective(name, &[&self.defaults]);
                self.change(key, default, reach)
            }
        }
    }

    /// RESET ALL.
    pub(crate) fn reset_all(&mut self) -> Result<(), SqlError> {
        self.session = Arc::default();
        self.local = Arc::default();
        self.refresh()
    }

    fn user(&self) -> String {
        self.kept("session_authorization").unwrap_or_default()
    }

    fn change(&mut self, key: String, kept: Option<String>, reach: Reach) -> Result<(), SqlError> {
        let before = self.mark();
        match reach {
            Reach::Local => {
                let local = Arc::make_mut(&mut self.local);
                kept.map(|kept| local.insert(key, kept));
            }
            Reach::Session => {
                if self.local.contains_key(&key) {
                    Arc::make_mut(&mut self.local).remove(&key);
                }
                let session = Arc::make_mut(&mut self.session);
                match kept {
                    Some(kept) => session.insert(key, kept),
                    None => session.remove(&key),
                };
            }
        }
        self.refresh().inspect_err(|_| {
            self.session = Arc::clone(&before.session);
            self.local = Arc::clone(&before.local);
        })
    }

    fn refresh(&mut self) -> Result<(), SqlError> {
        self.active = Arc::new(Active::of(&|name| self.kept(name))?);
        Ok(())
    }

    /// The settings now, to be read later.
    pub(crate) fn reader(&self) -> Reader {
        Reader([Arc::clone(&self.local), Arc::clone(&self.session), Arc::clone(&self.defaults)])
    }

    /// The settings now, for a transaction or a savepoint that begins.
    pub(crate) fn mark(&self) -> Mark {
        Mark { session: Arc::clone(&self.session), local: Arc::clone(&self.local) }
    }

    /// Back to a mark: the transaction, or what came after the savepoint, was rolled back.
    pub(crate) fn rollback_to(&mut self, mark: &Mark) {
        if Arc::ptr_eq(&self.session, &mark.session) && Arc::ptr_eq(&self.local, &mark.local) {
            return;
        }
        self.session = Arc::clone(&mark.session);
        self.local = Arc::clone(&mark.local);
        self.refresh().expect("these settings were accepted before");
    }

    /// The transaction ended: what SET LOCAL said is over.
    pub(crate) fn end_transaction(&mut self) {
        if !self.local.is_empty() {
            self.local = Arc::default();
            self.refresh().expect("these settings were accepted before");
        }
    }

    /// Reported settings whose value a client does not know yet.
    pub(crate) fn changes_to_report(&mut self) -> Vec<(String, String)> {
        let now = [&self.local, &self.session, &self.defaults];
        if self.reported_of.as_ref().is_some_and(|then| then.iter().zip(now).all(|(then, now)| Arc::ptr_eq(then, now))) {
            return Vec::new();
        }
        self.reported_of = Some(now.map(Arc::clone));
        let mut changes = Vec::new();
        for d in definition::all().iter().filter(|d| d.report) {
            let shown = value::shown(d, &self.kept(d.name).unwrap_or_default());
            if self.reported.get(d.name) != Some(&shown) {
                changes.push((d.name.to_owned(), shown.clone()));
                self.reported.insert(d.name, shown);
            }
        }
        changes
    }
}

fn effective(name: &str, layers: &[&Values]) -> Option<String> {
    let key = name.to_ascii_lowercase();
    let set = layers.iter().find_map(|layer| layer.get(&key));
    set.cloned().or_else(|| definition::find(name).map(|d| d.default.to_owned()))
}

pub(crate) fn unrecognized(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn check_context(d: &Definition) -> Result<(), SqlError> {
    let message = match d.context {
        Context::User | Context::Superuser => return Ok(()),
        Context::Internal => format!("parameter \"{}\" cannot be changed", d.name),
        Context::Postmaster => format!("parameter \"{}\" cannot be changed without restarting the server", d.name),
    };
    Err(SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message))
}

/// The key and the canonical value of a setting.
fn check(name: &str, text: &str, user: &str) -> Result<(String, String), SqlError> {
    let key = name.to_ascii_lowercase();
    let Some(d) = definition::find(name) else {
        // Names with a dot belong to applications: they take any text.
        return if name.contains('.') { Ok((key, text.to_owned())) } else { Err(unrecognized(name)) };
    };
    check_context(d)?;
    let kept = value::canonical(d, text)?;
    let unsupported = || SqlError::unsupported(format!("{} = \"{text}\" is not supported", d.name));
    let kept = match key.as_str() {
        "datestyle" => active::date_style(text)?,
        "client_encoding" => active::client_encoding(text)?,
        "timezone" => active::time_zone(text)?.0,
        "role" if !kept.eq_ignore_ascii_case("none") && kept != user => {
            return Err(SqlError::unsupported(format!("SET ROLE to \"{text}\" is not supported: there are no roles yet")));
        }
        "session_authorization" if kept != user => {
            return Err(SqlError::unsupported("SET SESSION AUTHORIZATION to another user is not supported"));
        }
        key if key.starts_with("lc_") && matches!(text, "" | "C" | "POSIX" | "C.UTF-8" | "C.utf8") => kept,
        "default_tablespace" | "temp_tablespaces" if text == "pg_default" => kept,
        _ if d.fixed && value::canonical(d, d.default).ok().as_deref() != Some(&kept) => return Err(unsupported()),
        _ => kept,
    };
    Ok((key, kept))
}

/// The one text that a SET statement's values make.
fn one_text(name: &str, values: &[SetValue]) -> Result<String, SqlError> {
    let text = |value: &SetValue| match value {
        SetValue::Text(v) | SetValue::Word(v) | SetValue::Number(v) => v.clone(),
    };
    let is_list =
        matches!(definition::find(name), Some(Definition { kind: Kind::Names, .. })) || name.eq_ignore_ascii_case("datestyle");
    if is_list {
        let quoted =
            |value: &SetValue| if name.eq_ignore_ascii_case("datestyle") { text(value) } else { quote_path(&text(value)) };
        return Ok(values.iter().map(quoted).collect::<Vec<_>>().join(", "));
    }
    match values {
        [value] => Ok(text(value)),
        _ => Err(value::invalid(format!("SET {name} takes only one argument"))),
    }
}

/// An entry of a list as it is kept. `"$user"` needs its quotes, an empty one as well.
fn quote_path(name: &str) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { quote_ident(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ada", &[]).unwrap()
    }

    #[test]
    fn local_values_end_with_the_transaction_and_rollback_takes_all_back() {
        let mut s = settings();
        s.set("work_mem", "1MB", Reach::Session).unwrap();
        let begin = s.mark();
        s.set("work_mem", "2MB", Reach::Local).unwrap();
        assert_eq!(s.show("work_mem").unwrap(), "2MB");
        s.end_transaction();
        assert_eq!(s.show("work_mem").unwrap(), "1MB");
        s.set("work_mem", "3MB", Reach::Session).unwrap();
        s.rollback_to(&begin);
        assert_eq!(s.show("work_mem").unwrap(), "1MB");
        s.reset("work_mem", Reach::Session).unwrap();
        assert_eq!(s.show("work_mem").unwrap(), "4MB");
    }

    #[test]
    fn a_client_is_told_what_changed_and_only_that() {
        let mut s = settings();
        let first = s.changes_to_report();
        assert!(first.contains(&("server_version".into(), definition::SERVER_VERSION.into())));
        assert!(first.contains(&("session_authorization".into(), "ada".into())));
        assert_eq!(s.changes_to_report(), vec![]);
        s.set("timezone", "europe/berlin", Reach::Session).unwrap();
        assert_eq!(s.changes_to_report(), vec![("TimeZone".into(), "Europe/Berlin".into())]);
        s.set("timezone", "UTC", Reach::Local).unwrap();
        assert_eq!(s.changes_to_report(), vec![("TimeZone".into(), "UTC".into())]);
        s.end_transaction();
        assert_eq!(s.changes_to_report(), vec![("TimeZone".into(), "Europe/Berlin".into())]);
    }

    #[test]
    fn what_would_change_results_is_refused() {
        let mut s = settings();
        for (name, value, state) in [
            ("standard_conforming_strings", "off", SqlState::FEATURE_NOT_SUPPORTED),
            ("datestyle", "German", SqlState::FEATURE_NOT_SUPPORTED),
            ("server_version", "16", SqlState::CANT_CHANGE_RUNTIME_PARAM),
            ("max_connections", "16", SqlState::CANT_CHANGE_RUNTIME_PARAM),
            ("nonsense", "16", SqlState::UNDEFINED_OBJECT),
            ("timezone", "Nowhere/Land", SqlState::INVALID_PARAMETER_VALUE),
            ("client_encoding", "LATIN1", SqlState::FEATURE_NOT_SUPPORTED),
        ] {
            assert_eq!(s.set(name, value, Reach::Session).unwrap_err().state, state, "{name}");
        }
        s.set("my.setting", "any text", Reach::Session).unwrap();
        assert_eq!(s.show("my.setting").unwrap(), "any text");
        s.set("standard_conforming_strings", "on", Reach::Session).unwrap();
    }
}
