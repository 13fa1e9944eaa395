//! What is logged, where to, and changing it while the program runs.
//!
//! 1. Logs go to standard error: text for people, or one JSON object a line.
//! 2. A level is `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,server=debug`.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::exit::Failure;

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
        Format::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).boxed(),
        Format::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(output)
        .try_init()
        .map_err(|error| Failure::during("start the log", error))?;
    Ok(Level { handle })
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::builder().parse(level).map_err(|error| {
        Failure::usage(format!("log level {level:?}: {error}"))
            .next("a level is error, warn, info, debug or trace, or a filter such as info,server=debug")
    })
}
