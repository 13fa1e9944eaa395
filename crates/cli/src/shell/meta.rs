//! The few backslash commands of this shell.

use crate::client::Client;
use crate::exit::{Failure, say};
use crate::names::{TableName, literal};
use crate::shell::Shell;

const HELP: &str = "\
  \\d NAME    columns and primary key of a table or view
  \\dt        tables and views
  \\x         wide rows: one value a line, on and off
  \\timing    show how long statements take, on and off
  \\q         the end (so does Ctrl-D)
  Statements end with a semicolon. psql, with all its commands, works against colonnade serve.";

/// True for `\q`.
pub(super) fn is_quit(command: &str) -> bool {
    matches!(command, "q" | "quit")
}

/// Runs a command, given without its backslash.
pub(super) async fn run(shell: &mut Shell, client: &mut Client, command: &str) -> Result<(), Failure> {
    let (name, argument) = command.trim().trim_end_matches(';').split_once(char::is_whitespace).unwrap_or((command.trim(), ""));
    match (name, argument.trim()) {
        ("?" | "h" | "help", _) => {
            say(HELP);
            Ok(())
        }
        ("q" | "quit", _) => Ok(()),
        ("x", _) => {
            shell.printer.expanded = !shell.printer.expanded;
            say(if shell.printer.expanded { "Wide rows are shown one value a line." } else { "Rows are shown as a table." });
            Ok(())
        }
        ("timing", _) => {
            shell.timing = !shell.timing;
            say(if shell.timing { "Timing is on." } else { "Timing is off." });
            Ok(())
        }
        ("dt" | "d", "") => shell.run(client, TABLES).await,
        ("d", name) => describe(shell, client, &TableName::parse(name)?).await,
        (name, _) => Err(Failure::usage(format!("\\{name} is no command here")).next("\\? shows which there are")),
    }
}

const TABLES: &str = "\
    select table_schema as \"schema\", table_name as \"name\", lower(table_type) as \"type\"
    from information_schema.tables
    where table_schema not in ('pg_catalog', 'information_schema')
    order by 1, 2";

async fn describe(shell: &mut Shell, client: &mut Client, name: &TableName) -> Result<(), Failure> {
    // Two statements would be two results; the server's own types of the columns need only one.
    let regclass = literal(&name.sql());
    let columns = format!(
        "select a.attname as \"column\", pg_catalog.format_type(a.atttypid, a.atttypmod) as \"type\",
            case when a.attnotnull then 'not null' else '' end as \"null\",
            coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') as \"default\"
        from pg_catalog.pg_attribute a
            left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = {regclass}::pg_catalog.regclass and a.attnum > 0 and not a.attisdropped
        order by a.attnum"
    );
    shell.run(client, &columns).await?;
    let key = client
        .rows(&format!(
            "select pg_catalog.pg_get_constraintdef(oid) from pg_catalog.pg_constraint
            where conrelid = {regclass}::pg_catalog.regclass and contype = 'p'"
        ))
        .await?;
    for definition in key.into_iter().flatten().flatten() {
        say(&definition);
    }
    Ok(())
}
