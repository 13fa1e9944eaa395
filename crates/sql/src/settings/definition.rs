//! What settings there are: PostgreSQL's by name, type and range, and what is different here.
//!
//! Source: `postgres15.tsv`, written by `scripts/oracle/settings.py` from a running PostgreSQL 15.

use std::sync::LazyLock;

/// The type of a setting's values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Integer {
        min: i64,
        max: i64,
        unit: Unit,
    },
    Real {
        min: f64,
        max: f64,
        unit: Unit,
    },
    Enum(Vec<&'static str>),
    Text,
    /// A list of identifiers: `search_path`.
    Names,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    /// Bytes of which one step has so many.
    Bytes(i64),
    /// Milliseconds of which one step has so many.
    Millis(i64),
}

/// Who may change a setting, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// Any session, at any time.
    User,
    /// A superuser; every user is one here.
    Superuser,
    /// At server start.
    Postmaster,
    /// Nobody.
    Internal,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// As SHOW writes it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) context: Context,
    /// In base units, as PostgreSQL's `boot_val`.
    pub(crate) default: &'static str,
    /// Sent to clients as ParameterStatus whenever it changes.
    pub(crate) report: bool,
    /// Only the default is done here; any other value is refused.
    pub(crate) fixed: bool,
    /// Left out of SHOW ALL and pg_settings.
    pub(crate) hidden: bool,
    pub(crate) category: &'static str,
    pub(crate) description: &'static str,
    pub(crate) unit: &'static str,
}

const REPORTED: &[&str] = &[
    "application_name",
    "client_encoding",
    "colonnade_version",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Settings that other values of would change results, and only their default is implemented.
const FIXED: &[&str] = &[
    "array_nulls",
    "default_table_access_method",
    "default_tablespace",
    "dynamic_library_path",
    "exit_on_error",
    "IntervalStyle",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "local_preload_libraries",
    "password_encryption",
    "quote_all_identifiers",
    "session_preload_libraries",
    "standard_conforming_strings",
    "temp_tablespaces",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Defaults that are ours rather than PostgreSQL's boot values.
const DEFAULTS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("lc_messages", "C"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "150018"),
    ("TimeZone", "UTC"),
    ("timezone_abbreviations", "Default"),
    ("data_checksums", "on"),
    ("ssl_library", ""),
];

/// The PostgreSQL version clients adapt to.
pub(crate) const SERVER_VERSION: &str = "15.18";

/// Settings that `pg_settings` of PostgreSQL does not list, or that are ours.
const MORE: &[(&str, &str, &str, &str, &str, bool)] = &[
    ("colonnade_version", "string", "internal", env!("CARGO_PKG_VERSION"), "Shows the version of Colonnade.", false),
    ("is_superuser", "bool", "internal", "on", "Shows whether the current user is a superuser.", true),
    ("role", "string", "user", "none", "Sets the current role.", true),
    ("session_authorization", "string", "user", "", "Sets the session user name.", true),
];

/// Settings that PostgreSQL has since 15, in the form of `postgres15.tsv`.
const LATER: &str = "transaction_timeout\tinteger\tms\tuser\t0\t0\t2147483647\t\tClient Connection Defaults / Statement Behavior\t\
    Sets the maximum allowed duration of any transaction within a session (not a prepared transaction).";

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let mut all: Vec<Definition> = include_str!("postgres15.tsv").lines().chain(LATER.lines()).filter_map(from_line).collect();
    all.extend(MORE.iter().map(|&(name, kind, context, default, description, hidden)| Definition {
        default,
        hidden,
        ..definition([name, kind, "", context, default, "", "", "", "Preset Options", description])
    }));
    all.sort_by_key(|d| d.name.to_ascii_lowercase());
    all
});

/// Every setting, by name.
pub(crate) fn all() -> &'static [Definition] {
    &DEFINITIONS
}

/// The setting with a name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    let name = name.to_ascii_lowercase();
    let at = DEFINITIONS.binary_search_by_key(&name, |d| d.name.to_ascii_lowercase()).ok()?;
    DEFINITIONS.get(at)
}

fn from_line(line: &'static str) -> Option<Definition> {
    let columns: Vec<&'static str> = line.split('\t').collect();
    Some(definition(columns.try_into().ok()?))
}

fn definition([name, kind, unit, context, boot, min, max, values, category, description]: [&'static str; 10]) -> Definition {
    let measure = match unit {
        "B" => Unit::Bytes(1),
        "kB" => Unit::Bytes(1024),
        "8kB" => Unit::Bytes(8192),
        "MB" => Unit::Bytes(1 << 20),
        "ms" => Unit::Millis(1),
        "s" => Unit::Millis(1000),
        "min" => Unit::Millis(60_000),
        _ => Unit::None,
    };
    let kind = match kind {
        "bool" => Kind::Bool,
        "integer" => Kind::Integer { min: min.parse().unwrap_or(i64::MIN), max: max.parse().unwrap_or(i64::MAX), unit: measure },
        "real" => Kind::Real { min: min.parse().unwrap_or(f64::MIN), max: max.parse().unwrap_or(f64::MAX), unit: measure },
        "enum" => Kind::Enum(values.split(',').collect()),
        _ if name == "search_path" => Kind::Names,
        _ => Kind::Text,
    };
    let context = match context {
        "user" => Context::User,
        "superuser" => Context::Superuser,
        "postmaster" => Context::Postmaster,
        _ => Context::Internal,
    };
    Definition {
        name,
        kind,
        context,
        default: DEFAULTS.iter().find(|(n, _)| *n == name).map_or(boot, |(_, default)| default),
        report: REPORTED.contains(&name),
        fixed: FIXED.contains(&name),
        hidden: false,
        category,
        description,
        unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_setting() {
        let lines = include_str!("postgres15.tsv").lines().count();
        assert_eq!(all().len(), lines + LATER.lines().count() + MORE.len());
        for name in REPORTED.iter().chain(FIXED).chain(DEFAULTS.iter().map(|(name, _)| name)) {
            assert_eq!(find(name).map(|d| d.name), Some(*name));
        }
    }

    #[test]
    fn defaults_are_values_of_their_own_type() {
        for d in all() {
            assert!(crate::settings::value::canonical(d, d.default).is_ok(), "{} = {:?}", d.name, d.default);
        }
    }
}
