//! `colonnade import`: files into a table, bad rows aside.
//!
//! ```text
//!   files --> reader thread: csv | parquet --values fit?--> batches of the table's types --4 at most--> sink
//!                                  \--no--> rejects file: file, line, column, reason, record              |
//!                                                      a directory: straight into segments; a URL: COPY --+
//! ```
//!
//! 1. One import is one transaction, with its CREATE TABLE if it makes the table: all good rows are there afterwards, or nothing is.
//! 2. A row is rejected when it cannot be read or a value does not fit its column. What only the whole table can tell (a key that
//!    exists already) ends the import.
//! 3. Memory does not grow with the files: a few batches, and what the database keeps.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::Progress;
use types::{SqlState, SqlType};

use crate::client::{Client, Missing, Place};
use crate::exit::{self, Failure, counted, say, warn};
use crate::files::{self, Input};
use crate::names::{TableName, literal, shown};

mod batch;
mod csv;
mod infer;
mod number;
mod parquet;
mod records;
mod rejects;
mod sink;
mod source;
mod values;

use rejects::Rejects;
use source::{CsvForm, Source};

/// Rows looked at to infer columns: enough to meet most kinds of values, and read in a moment.
const ROWS_INFERRED_FROM: usize = 100_000;
/// Of each file at least, however many there are.
const ROWS_INFERRED_FROM_FILE: usize = 1_000;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade import --data shop orders orders.parquet --create --primary-key o_orderkey
  colonnade import --data shop events 'logs/2026-*.csv' --rejects bad.csv
  colonnade import --url postgres://postgres@127.0.0.1:5433/postgres orders orders.tsv --null NULL

Columns are matched by name: the header of a CSV file, the schema of a Parquet file. A name that a header leaves out is column1,
column2, .. by its place. Columns of the table that a file does not have get their defaults. With --no-header the columns of a CSV file
are the table's, in order.

An empty field is NULL unless it is quoted. With --create a column is of a type that keeps the first rows' values as they are: numbers
of more digits than double precision holds make it numeric or text, times of more than six decimals text, and so do leading zeros, plus
signs, and dates that begin with day or month where none of them says with which. 1e5 is the number 100000. A later value that the
inferred type would change (more decimals, a time of day) does not fit.

A row that has the wrong number of fields, or a value that does not fit, goes to the rejects file (CSV: file, line, column, reason,
record) and is counted; the exit code is then 4. For Parquet the line is the row's number.
These end the import instead: a key that exists already or comes twice (23505), a reference to no row (23503), a CHECK that is violated
(23514), a CSV file that cannot be taken apart (a quote without its end), a damaged Parquet file, more rejects than --max-rejects.
Nothing of an import that fails is kept.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The database in a data directory; a URL names its own.
    #[arg(long, default_value = "postgres")]
    database: String,
    /// The table.
    table: String,
    /// CSV (.csv, .tsv) and Parquet (.parquet) files; patterns such as 'dir/*.csv'.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Make the table with columns inferred from the files' first rows; shows the statement.
    #[arg(long)]
    create: bool,
    /// Columns of the primary key of a table that --create makes.
    #[arg(long, value_delimiter = ',', requires = "create", value_name = "COLUMN")]
    primary_key: Vec<String>,
    /// Where rejected rows go [default: TABLE.rejects.csv]. A file of that name is replaced when a row is rejected; an import that
    /// rejects nothing removes the rejects of an earlier one.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Give up when more rows than this are rejected.
    #[arg(long, value_name = "N")]
    max_rejects: Option<u64>,
    /// What stands between values of a CSV file; '\t' is a tab [default: a comma, a tab in .tsv files].
    #[arg(long, value_parser = files::delimiter)]
    delimiter: Option<char>,
    /// The text that means NULL in a CSV file.
    #[arg(long, value_name = "TEXT", default_value = "")]
    null: String,
    /// The first line of a CSV file has the columns' names; this is the default.
    #[arg(long, overrides_with = "no_header")]
    header: bool,
    /// The first line of a CSV file is a row.
    #[arg(long)]
    no_header: bool,
}

/// A column that an import fills.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: SqlType,
    pub(crate) not_null: bool,
}

/// Imports and says how it went.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let table = TableName::parse(&arguments.table)?;
    let form = CsvForm::new(arguments.delimiter, &arguments.null, !arguments.no_header)?;
    let inputs = files::open_all(&arguments.files)?;
    let rejects_path = rejects_path(arguments.rejects.as_deref(), &table.table, &inputs)?;
    let sources = inputs.into_iter().map(|input| Source::open(input, &form)).collect::<Result<Vec<_>, _>>()?;
    let rejects = Rejects::new(rejects_path.clone(), arguments.max_rejects);

    let mut client = Client::open(&arguments.place, &arguments.database, Missing::Create).await?;
    let progress = Progress::bytes(&table.table, Some(sources.iter().map(Source::bytes).sum()));
    let imported = import(&arguments, &table, sources, rejects, &mut client, &progress).await;
    if imported.is_err() {
        progress.abandon();
    }
    let closed = client.close().await;
    let rejected = imported?;
    progress.finish();
    closed?;
    if rejected == 0 {
        rejects::remove_old(&rejects_path);
        return Ok(ExitCode::SUCCESS);
    }
    warn(&format!("rejected {}; {} says where and why", counted(rejected, "row"), rejects_path.display()));
    Ok(exit::rejected())
}

/// Where rejected rows go. Errors: it would replace a file that is imported.
fn rejects_path(named: Option<&Path>, table: &str, inputs: &[Input]) -> Result<PathBuf, Failure> {
    let path = named.map_or_else(|| PathBuf::from(format!("{table}.rejects.csv")), Path::to_owned);
    if inputs.iter().any(|input| input.is_at(&path)) {
        return Err(Failure::usage(format!("{} is to be imported, and rejected rows would replace it", path.display()))
            .next("name another file for rejected rows with --rejects"));
    }
    Ok(path)
}

/// Returns how many rows were rejected.
async fn import(
    arguments: &Arguments,
    table: &TableName,
    mut sources: Vec<Source>,
    rejects: Rejects,
    client: &mut Client,
    progress: &Progress,
) -> Result<u64, Failure> {
    let rows = (ROWS_INFERRED_FROM / sources.len().max(1)).max(ROWS_INFERRED_FROM_FILE);
    client.run("begin", &mut |_| {}).await?;
    if arguments.create {
        let guesses = sources.iter().map(|source| source.infer(rows)).collect::<Result<Vec<_>, _>>()?;
        let statement = create_table(table, &infer::columns(guesses)?, &arguments.primary_key)?;
        say(&statement);
        client.run(&statement, &mut |_| {}).await.map_err(|failure| match failure.is(SqlState::DUPLICATE_TABLE) {
            true => failure.next("without --create the rows go into the table that is there"),
            false => failure,
        })?;
    }
    let columns = table_columns(client, table).await.map_err(|failure| match arguments.create {
        true => failure,
        false => failure.next("--create makes the table with columns inferred from the files"),
    })?;
    let first = sources.first().ok_or_else(|| Failure::usage("no file was named"))?;
    let chosen = first.columns_of(&columns)?;
    for source in &mut sources {
        source.bind(&chosen)?;
        if arguments.create {
            source.hold_to_inferred();
        }
    }
    let rejected = sink::load(client, table, &chosen, sources, rejects, progress).await?;
    client.run("commit", &mut |_| {}).await?;
    Ok(rejected)
}

/// The table's columns that a file can have: not the generated ones. Errors: there is no such table.
async fn table_columns(client: &mut Client, table: &TableName) -> Result<Vec<Column>, Failure> {
    if let Client::Embedded(embedded) = client {
        let definition = embedded.session.table(table.schema.as_deref(), &table.table)?;
        let column = |column: &catalog::Column| Column {
            name: column.name.clone(),
            data_type: column.data_type,
            not_null: column.not_null,
        };
        return Ok(definition.columns.iter().filter(|column| column.generated.is_none()).map(column).collect());
    }
    let columns = client.columns(&format!("select * from {} limit 0", table.sql())).await?;
    let regclass = literal(&table.sql());
    let mut named = async |condition: &str| {
        let text = format!(
            "select attname from pg_catalog.pg_attribute
            where attrelid = {regclass}::pg_catalog.regclass and attnum > 0 and {condition} and not attisdropped"
        );
        Ok::<Vec<String>, Failure>(client.rows(&text).await?.into_iter().flatten().flatten().collect())
    };
    let not_null = named("attnotnull").await?;
    let generated = named("attgenerated <> ''").await?;
    let given = columns.into_iter().filter(|(name, _)| !generated.contains(name));
    Ok(given.map(|(name, data_type)| Column { not_null: not_null.contains(&name), name, data_type }).collect())
}

fn create_table(table: &TableName, columns: &[Column], primary_key: &[String]) -> Result<String, Failure> {
    let key: Vec<String> = primary_key.iter().map(|name| name.trim().to_lowercase()).collect();
    for name in &key {
        if !columns.iter().any(|column| column.name == *name) {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Failure::usage(format!("the file has no column {name} for the primary key"))
                .next(format!("its columns are {}", names.join(", "))));
        }
    }
    let mut lines: Vec<String> = columns
        .iter()
        .map(|column| {
            let not_null = if column.not_null || key.contains(&column.name) { " not null" } else { "" };
            format!("    {} {}{not_null}", shown(&column.name), column.data_type)
        })
        .collect();
    if !key.is_empty() {
        lines.push(format!("    primary key ({})", key.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")));
    }
    let name = match &table.schema {
        Some(schema) => format!("{}.{}", shown(schema), shown(&table.table)),
        None => shown(&table.table),
    };
    Ok(format!("create table {name} (\n{}\n);", lines.join(",\n")))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of the user's, not the database's")]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_with_its_key_and_quotes_where_needed() {
        let column = |name: &str, data_type| Column { name: name.into(), data_type, not_null: false };
        let columns = [column("id", SqlType::Int8), column("Odd Name", SqlType::Numeric { precision: 15, scale: 2 })];
        let table = TableName::parse("Shop.items").unwrap();
        assert_eq!(
            create_table(&table, &columns, &["ID".into()]).unwrap(),
            "create table shop.items (\n    id bigint not null,\n    \"Odd Name\" numeric(15,2),\n    primary key (id)\n);"
        );
        assert!(create_table(&table, &columns, &["other".into()]).is_err());
    }

    #[test]
    fn rejected_rows_never_replace_what_is_imported() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("same.csv"), folder.path().join("other.csv"));
        std::fs::write(&path, "a\n1\n").unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        let inputs = files::open_all(&[path.display().to_string()]).unwrap();
        assert!(rejects_path(Some(&path), "t", &inputs).is_err());
        assert!(rejects_path(Some(&folder.path().join(".").join("same.csv")), "t", &inputs).is_err());
        assert!(rejects_path(Some(&other), "t", &inputs).is_err());
        assert!(rejects_path(Some(&folder.path().join("bad.csv")), "t", &inputs).is_ok());
    }
}
