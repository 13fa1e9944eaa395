//! The settings the rest of the crate acts on, as values.

use std::sync::Arc;
use std::time::Duration;

use engine::Isolation;
use jiff::tz::TimeZone;
use types::{SqlError, SqlState};

use crate::format::{ByteaOutput, FormatOptions};
use crate::notice::Severity;
use crate::settings::value;

/// Everything a statement may need to know, settled once per change.
#[derive(Debug)]
pub(crate) struct Active {
    /// With `"$user"` resolved.
    pub(crate) search_path: Arc<[String]>,
    pub(crate) format: FormatOptions,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) transaction_timeout: Option<Duration>,
    pub(crate) lock_timeout: Option<Duration>,
    pub(crate) idle_in_transaction_session_timeout: Option<Duration>,
    pub(crate) idle_session_timeout: Option<Duration>,
    pub(crate) default_isolation: Isolation,
    pub(crate) default_read_only: bool,
    pub(crate) default_deferrable: bool,
    /// Whether a commit is answered only once it is on disk.
    pub(crate) synchronous_commit: bool,
    pub(crate) notices_from: Option<Severity>,
    /// Everything a plan depends on.
    pub(crate) planning: Arc<str>,
}

impl Active {
    /// From the canonical values that `get` finds.
    pub(crate) fn of(get: &dyn Fn(&str) -> Option<String>) -> Result<Active, SqlError> {
        let text = |name: &str| get(name).unwrap_or_default();
        let timeout = |name: &str| {
            let millis = text(name).parse::<u64>().unwrap_or(0);
            (millis > 0).then(|| Duration::from_millis(millis))
        };
        let (zone_name, time_zone) = time_zone(&text("TimeZone"))?;
        let search_path = text("search_path");
        let user = text("session_authorization");
        let planning = format!("{zone_name}\n{search_path}\n{user}").into();
        let schema = |name: String| if name == "$user" { user.clone() } else { name };
        Ok(Active {
            search_path: split_names(&search_path)?.into_iter().map(schema).collect(),
            format: FormatOptions {
                time_zone,
                extra_float_digits: text("extra_float_digits").parse().unwrap_or(1),
                bytea: if text("bytea_output") == "escape" { ByteaOutput::Escape } else { ByteaOutput::Hex },
            },
            statement_timeout: timeout("statement_timeout"),
            transaction_timeout: timeout("transaction_timeout"),
            lock_timeout: timeout("lock_timeout"),
            idle_in_transaction_session_timeout: timeout("idle_in_transaction_session_timeout"),
            idle_session_timeout: timeout("idle_session_timeout"),
            default_isolation: isolation(&text("default_transaction_isolation")),
            default_deferrable: text("default_transaction_deferrable") == "on",
            default_read_only: text("default_transaction_read_only") == "on",
            synchronous_commit: text("synchronous_commit") != "off",
            notices_from: match text("client_min_messages").as_str() {
                "error" => None,
                "warning" => Some(Severity::Warning),
                "notice" => Some(Severity::Notice),
                _ => Some(Severity::Info),
            },
            planning,
        })
    }
}

/// The level a setting's word stands for.
pub(crate) fn isolation(word: &str) -> Isolation {
    match word {
        "repeatable read" => Isolation::RepeatableRead,
        "serializable" => Isolation::Serializable,
        _ => Isolation::ReadCommitted,
    }
}

/// A list of identifiers: folded unless quoted.
pub(crate) fn split_names(list: &str) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|(_, c)| *c == '"') => {
                        chars.next();
                        name.push('"');
                    }
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => name.push(c),
                    None => return Err(value::invalid("invalid list syntax in parameter \"search_path\"")),
                }
            };
            (name, &quoted[end..])
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let name = rest[..end].trim().to_ascii_lowercase();
            if name.is_empty() {
                return Err(value::invalid("invalid list syntax in parameter \"search_path\""));
            }
            (name, &rest[end..])
        };
        names.push(name);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) if !next.trim().is_empty() => next.trim_start(),
            None if after.is_empty() => after,
            _ => return Err(value::invalid("invalid list syntax in parameter \"search_path\"")),
        };
    }
    Ok(names)
}

/// The canonical `DateStyle`; only ISO with month before day is done.
pub(crate) fn date_style(text: &str) -> Result<String, SqlError> {
    for word in text.split(',').map(|w| w.trim().to_ascii_lowercase()).filter(|w| !w.is_empty()) {
        match word.as_str() {
            "iso" | "mdy" | "us" | "noneuro" | "noneuropean" | "default" => {}
            "sql" | "postgres" | "german" | "dmy" | "euro" | "european" | "ymd" => {
                return Err(SqlError::unsupported(format!("DateStyle \"{text}\" is not supported: only \"ISO, MDY\" is")));
            }
            _ => return Err(value::invalid_value("DateStyle", text)),
        }
    }
    Ok("ISO, MDY".to_owned())
}

/// The canonical `client_encoding`: UTF8, or SQL_ASCII, which means that nothing is converted.
pub(crate) fn client_encoding(text: &str) -> Result<String, SqlError> {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" | "default" => Ok("UTF8".to_owned()),
        "sqlascii" => Ok("SQL_ASCII".to_owned()),
        name if name.starts_with("latin") || name.starts_with("win") || name.starts_with("iso") || name.starts_with("euc") => {
            Err(SqlError::unsupported(format!("client_encoding \"{text}\" is not supported: only UTF8 is")))
        }
        _ => Err(value::invalid_value("client_encoding", text)),
    }
}

/// The canonical name of a zone and the zone. A plain number counts hours east of UTC.
pub(crate) fn time_zone(text: &str) -> Result<(String, TimeZone), SqlError> {
    let invalid = || value::invalid_value("TimeZone", text);
    if let Some(seconds) = offset_seconds(text) {
        let offset = jiff::tz::Offset::from_seconds(seconds).map_err(|_| invalid())?;
        // PostgreSQL names such a zone in POSIX form, whose sign counts the other way.
        let clock = |seconds: i32| {
            let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
            let sign = if seconds < 0 { '-' } else { '+' };
            if minutes == 0 { format!("{sign}{hours:02}") } else { format!("{sign}{hours:02}:{minutes:02}") }
        };
        return Ok((format!("<{}>{}", clock(seconds), clock(-seconds)), offset.to_time_zone()));
    }
    let zone = types::zone::find(text).ok_or_else(invalid)?;
    let name = match zone.iana_name() {
        Some(name) if zone != TimeZone::UTC => name.to_owned(),
        _ if zone == TimeZone::UTC => if text.eq_ignore_ascii_case("gmt") { "GMT" } else { "UTC" }.to_owned(),
        _ => text.to_owned(),
    };
    Ok((name, zone))
}

/// Seconds of `-8`, `5.5`, `+01:30`, and of a canonical `<-08>+08`.
fn offset_seconds(text: &str) -> Option<i32> {
    let text = text.strip_prefix('<').and_then(|t| t.split_once('>')).map_or(text, |(inner, _)| inner).trim();
    if let Ok(hours) = text.parse::<f64>() {
        return (hours.abs() <= 24.0).then_some((hours * 3600.0) as i32);
    }
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = clock.split_once(':')?;
    let seconds = i32::from(hours.parse::<u8>().ok()?) * 3600 + i32::from(minutes.parse::<u8>().ok()?) * 60;
    Some(sign * seconds)
}

/// The error for a setting that has to be given before the transaction's first query.
pub(crate) fn too_late(what: &str) -> SqlError {
    SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, format!("{what} must be called before any query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_paths_are_split_and_folded() {
        assert_eq!(split_names("\"$user\", public").unwrap(), ["$user", "public"]);
        assert_eq!(split_names("Foo, \"Bar \"\"x\", \"\"").unwrap(), ["foo", "Bar \"x", ""]);
        assert_eq!(split_names("").unwrap(), Vec::<String>::new());
        assert!(split_names("a,,b").is_err());
        assert!(split_names("\"a").is_err());
        assert!(split_names("a,").is_err());
    }

    #[test]
    fn zones_have_postgresqls_names() {
        for (text, name, east) in [
            ("utc", "UTC", 0),
            ("europe/berlin", "Europe/Berlin", 3600),
            ("-8", "<-08>+08", -8 * 3600),
            ("5.5", "<+05:30>-05:30", 19800),
            ("<-08>+08", "<-08>+08", -8 * 3600),
        ] {
            let (canonical, zone) = time_zone(text).unwrap();
            assert_eq!(canonical, name, "{text}");
            assert_eq!(types::zone::offset_at(&zone, 0), east, "{text}");
        }
        assert!(time_zone("Nowhere").is_err());
    }
}
