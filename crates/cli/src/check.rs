//! `colonnade check`: every checksum, every index against its rows, every invariant.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::{Engine, Options};
use env::RealEnv;

use crate::exit::{self, Failure, say, warn};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade check --data shop

The directory must not be in use. Exit codes: 0 nothing is wrong, 3 damage was found or the directory is too damaged to open,
1 it could not be checked.

Opening a directory already mends what a crash leaves: a torn end of the log is cut, files that nothing names are removed.
Damaged column files cannot be mended: there is one copy of each. Restore the directory from a backup, or export the tables that are
whole.")]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Opens the directory without background work, reads everything, prints what is wrong.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    tokio::task::spawn_blocking(move || check(&arguments)).await.map_err(|error| Failure::during("check the database", error))?
}

fn check(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let options = Options { create: false, maintenance: false, ..Options::default() };
    let engine = Engine::open(RealEnv::new(), &arguments.data, options)?;
    let findings = engine.check()?;
    let catalog = engine.catalog();
    for finding in &findings {
        let table = finding.table.and_then(|id| catalog.table_by_id(id)).map_or("-", |table| table.name.as_str());
        say(&format!("{table}\t{}\t{}", finding.place, finding.what));
    }
    let status = engine.status();
    let (segments, rows) = status.tables.iter().fold((0, 0), |(segments, rows), table| {
        (segments + table.segments, rows + table.segment_rows - table.segment_rows_dead + table.delta_rows as u64)
    });
    say(&format!(
        "{} tables, {rows} rows, {segments} segments: {}",
        status.tables.len(),
        if findings.is_empty() { "nothing is wrong".to_owned() } else { format!("{} findings", findings.len()) }
    ));
    engine.close()?;
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    warn(
        "Nothing of this can be repaired in place: each column file is there once, and what it lost is nowhere else.\n\
         Restore the directory from a backup, or write the tables that are not named above to files with colonnade export\n\
         and import those into a new directory.",
    );
    Ok(exit::damaged())
}
