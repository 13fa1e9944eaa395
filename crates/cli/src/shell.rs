//! `colonnade sql`: statements from the command line, a file or a prompt.
//!
//! 1. `-c` runs its text as one simple query; `-f`, a pipe and the prompt run each statement by itself.
//! 2. `-c`, `-f` and a pipe stop at the first error with exit code 1; the prompt goes on.
//!
//! Not here: psql's other backslash commands; psql works against `colonnade serve`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::time::Instant;

use crate::client::{Client, Missing, Outcome, Place};
use crate::exit::{Failure, say, warn};
use crate::files;

mod meta;
mod print;
mod split;

use print::{Format, Printer};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade sql --data shop
  colonnade sql --data shop -c 'select count(*) from orders'
  colonnade sql --data shop --format csv -c 'select * from orders limit 10'
  colonnade sql --url postgres://postgres@127.0.0.1:5433/postgres -f schema.sql

At the prompt: \\d NAME a table, \\dt tables, \\x wide rows one value a line, \\timing times, \\q the end.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The database in a data directory; a URL names its own.
    #[arg(long, default_value = "postgres")]
    database: String,
    /// Run this text and end.
    #[arg(short = 'c', long, value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,
    /// Run this file and end.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are shown.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs what is given, or a prompt.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut client = Client::open(&arguments.place, &arguments.database, Missing::Refuse).await?;
    let mut shell = Shell { printer: Printer::new(arguments.format), timing: false };
    let outcome = match (&arguments.command, &arguments.file) {
        (Some(text), _) => shell.run(&mut client, text).await,
        (None, Some(file)) => shell.run_all(&mut client, &files::read_text(file)?).await,
        (None, None) if std::io::stdin().is_terminal() => prompt(&mut shell, &mut client).await,
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::during("read standard input", error))?;
            shell.run_all(&mut client, &text).await
        }
    };
    let closed = client.close().await;
    outcome?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

/// What a session at the prompt remembers.
struct Shell {
    printer: Printer,
    timing: bool,
}

impl Shell {
    async fn run(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        let started = Instant::now();
        let printer = &self.printer;
        let result = client.run(text, &mut |outcome: Outcome| printer.outcome(&outcome)).await;
        if self.timing {
            say(&format!("Time: {:.3} ms", milliseconds(started.elapsed())));
        }
        result
    }

    async fn run_all(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        for (line, statement) in split::statements(text) {
            if let Some(command) = statement.trim_start().strip_prefix('\\') {
                meta::run(self, client, command).await?;
                continue;
            }
            self.run(client, statement).await.inspect_err(|_| warn(&format!("at line {line}:")))?;
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn prompt(shell: &mut Shell, client: &mut Client) -> Result<(), Failure> {
    let mut editor = DefaultEditor::new().map_err(|error| Failure::during("open the prompt", error))?;
    let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".colonnade_history"));
    if let Some(history) = &history {
        // There is none the first time.
        drop(editor.load_history(history));
    }
    say(&format!("colonnade {}. \\? shows help.", env!("CARGO_PKG_VERSION")));
    let mut text = String::new();
    loop {
        // A line editor waits for its user: other tasks (none so far) would have to wait too.
        let mark = if text.is_empty() { "colonnade> " } else { "      ...> " };
        match tokio::task::block_in_place(|| editor.readline(mark)) {
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::during("read the prompt", error)),
        }
        if text.trim().is_empty() {
            text.clear();
            continue;
        }
        let command = text.trim_start().strip_prefix('\\').map(|command| command.trim().to_owned());
        if command.is_none() && !split::is_complete(&text) {
            continue;
        }
        drop(editor.add_history_entry(text.trim_end()));
        let done = match &command {
            Some(command) if meta::is_quit(command) => break,
            Some(command) => meta::run(shell, client, command).await,
            None => shell.run_each(client, &text).await,
        };
        if let Err(failure) = done {
            failure.show();
        }
        text.clear();
    }
    if let Some(history) = &history {
        drop(editor.save_history(history));
    }
    Ok(())
}

impl Shell {
    async fn run_each(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        for (_, statement) in split::statements(text) {
            self.run(client, statement).await?;
        }
        Ok(())
    }
}
