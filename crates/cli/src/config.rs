//! The configuration file of `colonnade serve`. Flags win over it, it wins over what is built in.
//!
//! All it may have is in [`EXAMPLE`], which `serve --help` shows.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::exit::Failure;
use crate::{files, log};

/// Every section and key; all but connection_threads, TLS and settings as built in.
pub(crate) const EXAMPLE: &str = include_str!("config.toml");

/// See [`EXAMPLE`]. Unknown names are errors: a misspelt limit must not be no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) listen: Option<Vec<String>>,
    pub(crate) auth: Option<Auth>,
    pub(crate) max_connections: Option<NonZeroUsize>,
    pub(crate) connection_threads: Option<NonZeroUsize>,
    pub(crate) log: Log,
    pub(crate) tls: Option<Tls>,
    pub(crate) memory: Memory,
    pub(crate) merge: Merge,
    pub(crate) disk: Disk,
    pub(crate) scrub: Scrub,
    pub(crate) settings: BTreeMap<String, toml::Value>,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// SCRAM-SHA-256 with a password.
    Scram,
    /// Not at all; refused on any address but loopback.
    Trust,
}

/// What is logged.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: Option<log::Format>,
    pub(crate) level: Option<String>,
}

/// The server's certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Limits in MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    pub(crate) total_mib: Option<NonZeroU64>,
    pub(crate) delta_mib: Option<NonZeroU64>,
    pub(crate) cache_mib: Option<u64>,
    pub(crate) queries_mib: Option<usize>,
}

/// When background work is due.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Merge {
    pub(crate) freeze_rows: Option<NonZeroUsize>,
    pub(crate) segment_rows: Option<NonZeroUsize>,
    pub(crate) compact_overlap: Option<NonZeroUsize>,
    pub(crate) checkpoint_mib: Option<u64>,
    pub(crate) checkpoint_seconds: Option<u64>,
}

/// Files of fixed size, in MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Disk {
    pub(crate) log_file_mib: Option<NonZeroU64>,
    pub(crate) reserve_mib: Option<u64>,
    pub(crate) packed_mib: Option<u64>,
}

/// How fast and how often everything is read again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scrub {
    pub(crate) mib_per_second: Option<u64>,
    pub(crate) every_seconds: Option<u64>,
}

impl Config {
    /// Reads the file. Relative names of files in it are relative to it. Errors name the line.
    pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
        let mut config: Config = toml::from_str(&files::read_text(path)?)
            .map_err(|error| Failure::during(format!("read {}", path.display()), error))?;
        let beside = path.parent().unwrap_or(Path::new("."));
        if let Some(tls) = &mut config.tls {
            tls.certificate = beside.join(&tls.certificate);
            tls.key = beside.join(&tls.key);
        }
        Ok(config)
    }

    /// Limits and settings for the database.
    pub(crate) fn database_options(&self) -> Result<sql::Options, Failure> {
        let bytes = |mib: u64| mib.saturating_mul(1 << 20);
        let mut options = match self.memory.total_mib {
            Some(mib) => sql::Options::within(bytes(mib.get())),
            None => sql::Options::default(),
        };
        if let Some(mib) = self.memory.delta_mib {
            options.engine.delta_bytes_max = bytes(mib.get());
        }
        if let Some(mib) = self.memory.cache_mib {
            options.engine.cache_bytes_max = bytes(mib);
        }
        if let Some(mib) = self.memory.queries_mib {
            options.query_memory_bytes_max = mib.saturating_mul(1 << 20);
        }
        if let Some(rows) = self.merge.freeze_rows {
            options.engine.freeze_rows_min = rows.get();
        }
        if let Some(rows) = self.merge.segment_rows {
            options.engine.segment_rows = rows.get();
        }
        if let Some(segments) = self.merge.compact_overlap {
            // One segment alone overlaps with nothing.
            options.engine.compact_overlap = segments.get().max(2);
        }
        if let Some(mib) = self.merge.checkpoint_mib {
            options.engine.checkpoint_wal_bytes = bytes(mib);
        }
        if let Some(mib) = self.scrub.mib_per_second {
            options.engine.scrub_bytes_per_second = bytes(mib);
        }
        if let Some(seconds) = self.scrub.every_seconds {
            options.engine.scrub_interval = Duration::from_secs(seconds);
        }
        if let Some(seconds) = self.merge.checkpoint_seconds {
            options.engine.checkpoint_interval = Duration::from_secs(seconds);
        }
        if let Some(mib) = self.disk.log_file_mib {
            options.engine.wal_file_bytes = bytes(mib.get());
        }
        if let Some(mib) = self.disk.reserve_mib {
            options.engine.reserve_bytes = bytes(mib);
        }
        if let Some(mib) = self.disk.packed_mib {
            options.engine.packed_bytes_max = bytes(mib);
        }
        for (name, value) in &self.settings {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => value.to_string(),
                _ => return Err(Failure::usage(format!("setting {name} in the configuration file is not one value"))),
            };
            options.settings.push((name.clone(), text));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_and_has_the_defaults() {
        let config: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(config.listen.as_deref(), Some(&["127.0.0.1:5433".to_owned()][..]));
        assert_eq!((config.auth, config.log.format), (Some(Auth::Scram), Some(log::Format::Text)));
        let options = config.database_options().unwrap();
        let built_in = sql::Options::within(8 << 30);
        assert_eq!(options.query_memory_bytes_max, built_in.query_memory_bytes_max);
        let built_in = built_in.engine;
        assert_eq!(options.engine.delta_bytes_max, built_in.delta_bytes_max);
        assert_eq!(options.engine.cache_bytes_max, built_in.cache_bytes_max);
        assert_eq!(options.engine.freeze_rows_min, built_in.freeze_rows_min);
        assert_eq!(options.engine.segment_rows, built_in.segment_rows);
        assert_eq!(options.engine.compact_overlap, built_in.compact_overlap);
        assert_eq!(options.engine.checkpoint_wal_bytes, built_in.checkpoint_wal_bytes);
        assert_eq!(options.engine.checkpoint_interval, built_in.checkpoint_interval);
        assert_eq!(options.engine.wal_file_bytes, built_in.wal_file_bytes);
        assert_eq!(options.engine.reserve_bytes, built_in.reserve_bytes);
        assert_eq!(options.engine.packed_bytes_max, built_in.packed_bytes_max);
        assert_eq!(options.settings, [("statement_timeout".to_owned(), "30s".to_owned())]);
    }

    #[test]
    fn no_connection_at_all_is_refused() {
        assert!(toml::from_str::<Config>("max_connections = 0").is_err());
        assert!(toml::from_str::<Config>("max_connections = 1").is_ok());
    }

    #[test]
    fn an_unknown_name_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        let output = files::Output::create(&path).unwrap();
        std::io::Write::write_all(&mut output.writer().unwrap(), b"max_connections = 5\nlisten_on = 3\n").unwrap();
        output.finish().unwrap();
        let failure = Config::read(&path).unwrap_err();
        assert!(failure.message().contains("listen_on") && failure.message().contains("line 2"), "{}", failure.message());
    }
}
