//! `colonnade check`: every checksum, every index against its rows, every invariant; of a directory or of a server at work.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use engine::{Finding, Repair};
use env::RealEnv;
use sql::{Instance, Options};

use crate::client::{Client, Missing, Place};
use crate::exit::{self, Failure, counted, say, warn};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade check --data shop
  colonnade check --url postgres://postgres@127.0.0.1:5433/postgres

A directory must not be in use. A server goes on with its work meanwhile; there the same is SELECT * FROM pg_check_database.
Exit codes: 0 nothing is wrong, 3 damage was found or the directory is too damaged to open, 1 it could not be checked.

Opening a directory already mends what a crash leaves: a torn end of the log is cut, files that nothing names are removed.
--repair makes a damaged directory whole with what is left of it, and says which rows are lost:
  sidecars are made again from their column files, indexes from their tables;
  of a damaged column file the rows that can be read are written anew;
  a log damaged in the middle ends there: commits after that are lost;
  damaged files are kept in the directory's folder quarantine, as they were found.
Where there is a backup, restore that instead. Copy the directory first.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Make a damaged directory whole with what is left of it.
    #[arg(long, conflicts_with = "url")]
    repair: bool,
}

/// Reads everything, prints what is wrong.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match &arguments.place.data {
        Some(dir) => check_directory(dir, arguments.repair).await,
        None => check_server(&arguments.place).await,
    }
}

async fn check_server(place: &Place) -> Result<ExitCode, Failure> {
    let mut client = Client::open(place, "postgres", Missing::Refuse).await?;
    let findings = client.rows("SELECT relation, place, finding FROM pg_catalog.pg_check_database").await?;
    for finding in &findings {
        say(&finding.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("\t"));
    }
    say(&verdict(findings.len()));
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { exit::damaged() })
}

/// Opens the directory without background work.
async fn check_directory(dir: &Path, repair: bool) -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    options.engine.create = false;
    options.engine.maintenance = false;
    options.engine.repair = repair;
    let instance = Instance::open(RealEnv::new(), dir, options)?;
    instance.engine().repairs().iter().for_each(|repair| say_repair(&instance, repair));
    let mut findings = check(&instance)?;
    if repair {
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
        verdict(findings.len())
    ));
    let lost = instance.engine().repairs().iter().any(|repair| repair.rows_lost != Some(0));
    // Not the instance: it would make a checkpoint, and what is damaged stays as it is.
    instance.engine().close()?;
    if findings.is_empty() {
        if lost {
            warn(
                "Rows are lost, see above; rows that refer to them by foreign keys are not looked for. Damaged files are in the folder quarantine.",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !repair {
        warn(
            "Restore the directory from a backup, or save what is left of it: copy it, then colonnade check --repair.\n\
             Indexes and sidecars can be made again; other rows that are damaged are lost.",
        );
    }
    Ok(exit::damaged())
}

fn verdict(findings: usize) -> String {
    if findings == 0 { "nothing is wrong".to_owned() } else { counted(findings as u64, "finding") }
}

/// Checks, and prints what is wrong.
fn check(instance: &Arc<Instance>) -> Result<Vec<Finding>, Failure> {
    let findings = tokio::task::block_in_place(|| sql::check(instance))?;
    for finding in &findings {
        say(&format!("{}\t{}\t{}", name_of(instance, finding.table), finding.place, finding.what));
    }
    Ok(findings)
}

fn say_repair(instance: &Instance, repair: &Repair) {
    let rows = match repair.rows_lost {
        Some(0) => "no row is lost".to_owned(),
        Some(rows) => format!("{} lost", counted(rows, "row")),
        None => "rows are lost".to_owned(),
    };
    let keys = repair.keys.as_ref().map_or(String::new(), |(from, to)| format!(", with keys from {from} to {to}"));
    say(&format!("{}\t{}\t{}: {rows}{keys}", name_of(instance, repair.table), repair.place, repair.what));
}

/// The name of a table, or of the table of an index.
fn name_of(instance: &Instance, table: Option<types::TableId>) -> String {
    let catalog = instance.engine().catalog();
    let table = table.and_then(|id| catalog.table_by_id(id).or_else(|| catalog.table_of_index(id)));
    table.map_or_else(|| "-".to_owned(), |table| table.name.clone())
}
