//! What is logged, where to, and changing it while the program runs.
//!
//! 1. Logs go to standard error: text for people, or one JSON object a line.
//! 2. A log that cannot be written (standard error is closed) is lost; the program goes on.
//! 3. No level that is not about the parser itself logs values of rows.
//! 4. A level is `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,server=debug`.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::exit::Failure;

/// The parser's debug log has what is parsed, and with it the values of rows. A level given for it by name replaces this one.
const WITHOUT_ROWS: &str = "sqlparser=info";

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes the level of the running log.
pub(crate) struct Level {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Level {
    /// Sets another level. Errors: it is none; the log stays as it was.
    pub(crate) fn set(&self, level: &str) -> Result<(), Failure> {
        let filter = filter(level)?;
        self.handle.reload(filter).map_err(|error| Failure::during("change the log level", error))
    }
}

/// Starts logging. Call it once. Errors: `level` is none.
pub(crate) fn start(format: Format, level: &str) -> Result<Level, Failure> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let output = match format {
        Format::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false).boxed(),
        Format::Json => fmt::layer().json().with_writer(std::io::stderr).log_internal_errors(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(output)
        .try_init()
        .map_err(|error| Failure::during("start the log", error))?;
    Ok(Level { handle })
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let next = "a level is error, warn, info, debug or trace, or a filter such as info,server=debug";
    // The library takes any other word for the name of a module.
    let is_level = |word: &str| word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    if let Some(word) = level.split(',').find(|part| !part.contains(['=', '[']) && !is_level(part.trim())) {
        return Err(Failure::usage(format!("log level {level:?}: there is no level {word:?}")).next(next));
    }
    EnvFilter::builder()
        .parse(format!("{WITHOUT_ROWS},{level}"))
        .map_err(|error| Failure::usage(format!("log level {level:?}: {error}")).next(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_logged_only_where_the_parser_is_named() {
        let shown = |level: &str| filter(level).unwrap().to_string();
        assert!(shown("debug").contains("sqlparser=info"), "{}", shown("debug"));
        assert!(shown("info,server=trace").contains("sqlparser=info"), "{}", shown("info,server=trace"));
        assert!(shown("sqlparser=debug").contains("sqlparser=debug"), "{}", shown("sqlparser=debug"));
        assert!(filter("loud,,=").is_err());
        assert!(filter("loud").is_err());
        assert!(filter("info,server=debug").is_ok());
    }
}
