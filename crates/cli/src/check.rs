//! `colonnade check`: every checksum, every index against its rows, every invariant.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use engine::Finding;
use env::RealEnv;
use sql::{Instance, Options};

use crate::exit::{self, Failure, counted, say, warn};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade check --data shop

The directory must not be in use. Exit codes: 0 nothing is wrong, 3 damage was found or the directory is too damaged to open,
1 it could not be checked.

Opening a directory already mends what a crash leaves: a torn end of the log is cut, files that nothing names are removed.
Indexes that are damaged, or do not have what their tables have, are built anew by --repair. Damaged column files of tables cannot be
mended: there is one copy of each. Restore the directory from a backup, or export the tables that are whole.")]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Build the indexes anew that are damaged.
    #[arg(long)]
    repair: bool,
}

/// Opens the directory without background work, reads everything, prints what is wrong.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    options.engine.create = false;
    options.engine.maintenance = false;
    let instance = Instance::open(RealEnv::new(), &arguments.data, options)?;
    let mut findings = check(&instance)?;
    if arguments.repair {
        let repaired = sql::repair(&instance, &findings).await?;
        for index in &repaired {
            say(&format!("index {index} is built anew"));
        }
        if !repaired.is_empty() {
            findings = check(&instance)?;
        }
    }
    let status = instance.engine().status();
    let (segments, rows) = status.tables.iter().fold((0, 0), |(segments, rows), table| {
        (segments + table.segments, rows + table.segment_rows - table.segment_rows_dead + table.delta_rows as u64)
    });
    say(&format!(
        "{}, {}, {}: {}",
        counted(status.tables.len() as u64, "table"),
        counted(rows, "row"),
        counted(segments as u64, "segment"),
        if findings.is_empty() { "nothing is wrong".to_owned() } else { counted(findings.len() as u64, "finding") }
    ));
    let catalog = instance.engine().catalog();
    // Not the instance: it would make a checkpoint, and what is damaged stays as it is.
    instance.engine().close()?;
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if findings.iter().any(|finding| finding.table.is_some_and(|id| catalog.table_of_index(id).is_some())) {
        warn("Indexes can be built anew from their tables: colonnade check --repair.");
    }
    if findings.iter().any(|finding| finding.table.is_none_or(|id| catalog.table_by_id(id).is_some())) {
        warn(
            "What tables lost cannot be repaired in place: each column file is there once, and what it lost is nowhere else.\n\
             Restore the directory from a backup, or write the tables that are not named above to files with colonnade export\n\
             and import those into a new directory.",
        );
    }
    Ok(exit::damaged())
}

/// Checks, and prints what is wrong.
fn check(instance: &Arc<Instance>) -> Result<Vec<Finding>, Failure> {
    let findings = tokio::task::block_in_place(|| sql::check(instance))?;
    let catalog = instance.engine().catalog();
    for finding in &findings {
        let table = finding.table.and_then(|id| catalog.table_by_id(id).or_else(|| catalog.table_of_index(id)));
        say(&format!("{}\t{}\t{}", table.map_or("-", |table| table.name.as_str()), finding.place, finding.what));
    }
    Ok(findings)
}
