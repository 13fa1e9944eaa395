//! Places named for tests, and bugs put in on purpose; release builds have neither.
//!
//! ```text
//! freeze::publish --point("freeze: published")--> Env::at_point: the simulation may stop the machine there
//! LogFile::sync   --if seeded_bug("..")---------> COLONNADE_BUG names it: the sync is left out, and a test has to notice
//! ```
//!
//! 1. What is compiled without debug assertions has no trace of them: both functions are constants then.
//! 2. A bug is chosen for a process, by the environment variable `COLONNADE_BUG`; no other code reads it.
//! 3. Every bug is in `scripts/checks/reliability/bugs.txt`, with the row of the scorecard that finds it.
//!
//! Source: RocksDB's sync points; SQLite's testing of its tests.

use std::path::Path;
use std::sync::OnceLock;

use crate::Env;

static BUG: OnceLock<Option<String>> = OnceLock::new();

/// A place between two steps, where a test may stop the machine.
#[inline]
pub fn point(env: &dyn Env, name: &'static str) {
    if cfg!(debug_assertions) {
        env.at_point(name);
    }
}

/// Whether a bug is put in, see the module.
#[inline]
pub fn seeded_bug(name: &str) -> bool {
    cfg!(debug_assertions) && BUG.get_or_init(|| std::env::var("COLONNADE_BUG").ok()).as_deref() == Some(name)
}

/// Whether the simulation leaves out the sync of a file or directory of a database: the bugs `log-not-synced`, `log-folder-not-synced`,
/// `segment-not-synced` and so on.
pub(crate) fn forgets_sync(path: &Path) -> bool {
    if !cfg!(debug_assertions) || BUG.get().is_some_and(Option::is_none) {
        return false;
    }
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().map(name).unwrap_or_default();
    let is_table = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let what = match (folder.as_str(), path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()) {
        ("wal", _) => "log",
        ("manifest", _) => "manifest",
        (_, "parquet") => "segment",
        (_, "idx") => "sidecar",
        (_, "rows") => "dump",
        (table, "tmp") if is_table(table) => "dead-rows",
        (_, "tmp") => "format",
        _ => match name(path).as_str() {
            "wal" => "log-folder",
            "manifest" => "manifest-folder",
            table if is_table(table) => "table-folder",
            _ => "data-folder",
        },
    };
    seeded_bug(&format!("{what}-not-synced"))
}
