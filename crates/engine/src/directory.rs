//! A data directory as a whole: whether it is one, and making a new one.
//!
//! ```text
//! LOCK, manifest/, wal/, data/  -->  a first commit in the log  -->  its manifest  -->  FORMAT
//! ```
//!
//! 1. `FORMAT` is the last file of a new directory. One that has it, but no manifest, no log or none of its folders, has lost them; one
//!    that has tables and no `FORMAT` has lost that.
//! 2. Nothing is written into a directory with other things in it, nor into one that has lost something.
//!
//! Not here: what is in it (`recovery`).

use std::path::Path;
use std::sync::Arc;

use env::Env;

use crate::checkpoint;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::transaction::{Begin, Transaction};

/// The format of a data directory.
const VERSION: u32 = 1;

/// The file `FORMAT`.
const FORMAT: &str = "colonnade 1\n";

/// Characters of another that a message shows.
const FORMAT_SHOWN_MAX: usize = 40;

/// What is in a data directory beside files.
const DIRECTORIES: [&str; 3] = ["manifest", "wal", "data"];

/// Whether the directory is still to be made. Errors: it has something else in it, is of another format, or has lost files.
pub(crate) fn is_new(env: &dyn Env, dir: &Path) -> Result<bool, EngineError> {
    let path = dir.join("FORMAT");
    let io = |action, error: std::io::Error| EngineError::io(action, &path, &error);
    let list = |of: &Path| match env.exists(of)? {
        true => env.list(of),
        false => Ok(Vec::new()),
    };
    let names = list(dir).map_err(|e| io("look for", e))?;
    if names.iter().any(|name| name == "FORMAT") {
        let found = env::read_file(env, &path).map_err(|e| io("read", e))?;
        if found == FORMAT.as_bytes() {
            return Ok(false);
        }
        let found: String = String::from_utf8_lossy(&found).chars().take(FORMAT_SHOWN_MAX).collect();
        let version = found.strip_prefix("colonnade ").and_then(|version| version.trim_end().parse::<u32>().ok());
        return Err(match version {
            Some(version) if version != VERSION => EngineError::OtherFormat { path, found: found.trim_end().to_owned() },
            _ => EngineError::Format { path, found },
        });
    }
    let ours = |name: &String| DIRECTORIES.contains(&name.as_str()) || name == "LOCK" || name == "FORMAT.tmp";
    if !names.iter().all(ours) {
        return Err(EngineError::NotADataDirectory(dir.to_owned()));
    }
    match list(&dir.join("data")).map_err(|e| io("look for", e))?.is_empty() {
        true => Ok(true),
        false => Err(no_format(dir)),
    }
}

/// Reads `FORMAT` again. Errors: it is not what was written.
pub(crate) fn verify_format(env: &dyn Env, dir: &Path) -> Result<(), EngineError> {
    let path = dir.join("FORMAT");
    let found = env::read_file(env, &path).map_err(|e| EngineError::io("read", &path, &e))?;
    match found == FORMAT.as_bytes() {
        true => Ok(()),
        false => {
            Err(EngineError::Format { path, found: String::from_utf8_lossy(&found).chars().take(FORMAT_SHOWN_MAX).collect() })
        }
    }
}

/// A directory with tables and without `FORMAT`.
pub(crate) fn no_format(dir: &Path) -> EngineError {
    EngineError::Incomplete { dir: dir.to_owned(), what: "its file FORMAT is missing" }
}

/// Makes the folders of a new directory, which is locked; an old one has them. Errors: it has not.
pub(crate) fn prepare(env: &dyn Env, dir: &Path, new: bool) -> Result<(), EngineError> {
    let io = |action, error: std::io::Error| EngineError::io(action, dir, &error);
    if new {
        env.restrict_to_owner(dir).map_err(|e| io("restrict access to", e))?;
        for below in DIRECTORIES {
            env.create_dir_all(&dir.join(below)).map_err(|e| io("create data directory", e))?;
        }
        return Ok(());
    }
    for (below, what) in DIRECTORIES.iter().zip(["it has no manifest", "its folder wal is missing", "its folder data is missing"])
    {
        if !env.exists(&dir.join(below)).map_err(|e| io("look into", e))? {
            return Err(EngineError::Incomplete { dir: dir.to_owned(), what });
        }
    }
    // Who made it may have been killed before the name `FORMAT` was durable.
    env.sync_dir(dir).map_err(|e| io("sync data directory", e))
}

/// The first commit of a new directory, its manifest, and `FORMAT`.
pub(crate) fn complete(engine: &Arc<Inner>) -> Result<(), EngineError> {
    let mut transaction = Transaction::of_no_session(engine, Begin::default());
    transaction.begin_statement();
    transaction.edit_catalog(catalog::Edit::ReserveOids(engine.next_oid()))?;
    transaction.commit()?.wait()?;
    env::point(engine.env.as_ref(), "new directory: first commit");
    checkpoint::run(engine)?;
    env::point(engine.env.as_ref(), "new directory: first manifest");
    write_format(engine.env.as_ref(), &engine.dir)
}

/// The file `FORMAT`.
pub(crate) fn write_format(env: &dyn Env, dir: &Path) -> Result<(), EngineError> {
    let path = dir.join("FORMAT");
    env::write_file_atomically(env, &path, FORMAT.as_bytes()).map_err(|e| EngineError::io("write", path, &e))
}
