//! What all sessions of a data directory share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use analytic::{Analytic, AnalyticOptions, JoinOrder};
use engine::Engine;
use env::Env;
use types::SqlError;

use crate::activity::{SessionActivity, Sessions};
use crate::plan_cache::PlanCache;
use crate::settings::Settings;

/// How an instance is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The storage engine's limits and targets.
    pub engine: engine::Options,
    /// Threads for queries that are not key lookups.
    pub query_threads: usize,
    /// Bytes that sorts, joins and aggregates of all queries may hold together before they spill. Default: a quarter of the memory.
    pub query_memory_bytes_max: usize,
    /// Bytes of temporary files of all queries together. Default 64 GiB.
    pub temp_bytes_max: u64,
    /// Where these are. Default: `temp` in the data directory.
    pub temp_dir: Option<PathBuf>,
    /// Settings by name that every session starts with, as from a configuration file.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// The defaults of a process that may use `memory` bytes; what is left over by the shares is for everything that is not counted.
    pub fn within(memory: u64) -> Options {
        Options {
            engine: engine::Options::within(memory),
            query_threads: std::thread::available_parallelism().map_or(2, usize::from),
            query_memory_bytes_max: usize::try_from(memory / 4).unwrap_or(usize::MAX),
            temp_bytes_max: 64 << 30,
            temp_dir: None,
            settings: Vec::new(),
        }
    }
}

impl Default for Options {
    /// Within the memory of the machine or of its container; 4 GiB where that is not known.
    fn default() -> Options {
        Options::within(env::memory_bytes().unwrap_or(4 << 30))
    }
}

/// An open data directory: engine, analytic executor, plan cache, sessions.
pub struct Instance {
    env: Arc<dyn Env>,
    engine: Arc<Engine>,
    analytic: Arc<Analytic>,
    plans: PlanCache,
    sessions: Arc<Sessions>,
    options: Options,
    opened_micros: i64,
}

impl Instance {
    /// Opens (or creates) the data directory and recovers it. Blocks. Errors: the directory is in use (55006), damaged (XX001), not
    /// readable (58030), a setting is unknown or out of range.
    pub fn open(env: Arc<dyn Env>, dir: &Path, options: Options) -> Result<Arc<Instance>, SqlError> {
        env::set_blocking_hook(block);
        Settings::new("", &[&options.settings])?;
        let engine = Engine::open(Arc::clone(&env), dir, options.engine.clone())?;
        let analytic = Analytic::new(AnalyticOptions {
            threads: options.query_threads,
            memory_bytes_max: options.query_memory_bytes_max,
            temp_dir: options.temp_dir.clone().unwrap_or_else(|| dir.join("temp")),
            temp_bytes_max: options.temp_bytes_max,
            joins: JoinOrder::default(),
        })?;
        let opened_micros = env.now_micros();
        let plans = PlanCache::default();
        Ok(Arc::new(Instance { env, engine, analytic, plans, sessions: Arc::default(), options, opened_micros }))
    }

    /// Makes a checkpoint if the log is long, so that the next start is quick, stops background work and closes the log; what was
    /// acknowledged is on disk, with the checkpoint or without. Sessions that still exist fail from now on.
    pub fn close(&self) -> Result<(), SqlError> {
        match self.engine.checkpoint_to_close() {
            // Closed before.
            Ok(()) | Err(engine::EngineError::Closed(_)) => {}
            Err(engine::EngineError::Canceled) => tracing::warn!("no checkpoint in time: the next start replays the log"),
            Err(error) => tracing::warn!(%error, "no checkpoint: the next start replays the log"),
        }
        Ok(self.engine.close()?)
    }

    /// The outside world the instance runs in.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    /// The storage engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The executor of everything that is not a key lookup.
    pub fn analytic(&self) -> &Arc<Analytic> {
        &self.analytic
    }

    /// What it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// When it was opened, in microseconds since 1970-01-01 UTC.
    pub fn opened_micros(&self) -> i64 {
        self.opened_micros
    }

    /// Every session there is now, oldest first.
    pub fn sessions(&self) -> Vec<SessionActivity> {
        self.sessions.list()
    }

    pub(crate) fn registry(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    pub(crate) fn plans(&self) -> &PlanCache {
        &self.plans
    }
}

/// How a thread of tokio's hands its other tasks over.
fn block(work: &mut dyn FnMut()) {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
