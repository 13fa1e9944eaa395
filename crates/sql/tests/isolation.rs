//! Runs `tests/isolation/*.txt`: what several sessions see of each other, who waits for whom, and who fails.
//!
//! The expectations are PostgreSQL's: `scripts/oracle/isolation.py` describes the form of the files, runs them against PostgreSQL 15
//! and records its answers. Each case is run twice: with its rows in the delta, and with the rows of `setup` moved to segments.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Outcome, instance};
use sql::Instance;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use types::SqlError;

/// Longer than any step that does not wait takes on a busy machine.
const STEP_SECONDS_MAX: u64 = 60;

type Session = Arc<Mutex<Client>>;

struct Waiting {
    name: String,
    task: JoinHandle<Vec<String>>,
}

fn answer(result: Result<Outcome, SqlError>) -> Vec<String> {
    match result {
        Err(error) => vec![format!("ERROR {}: {}", error.state.as_str(), error.message)],
        Ok(outcome) if outcome.columns.is_empty() => vec![outcome.tag],
        Ok(outcome) if outcome.rows.is_empty() => vec!["(no rows)".to_owned()],
        Ok(outcome) => {
            let shown = |row: &Vec<Option<String>>| {
                row.iter().map(|v| v.clone().unwrap_or_else(|| "NULL".into())).collect::<Vec<_>>().join("|")
            };
            outcome.rows.iter().map(shown).collect()
        }
    }
}

/// Waits until every task is done or waits for a lock, and stays so.
async fn settle(instance: &Instance, waiting: &[Waiting]) {
    let started = Instant::now();
    let mut quiet = 0;
    while quiet < 10 {
        let unfinished = waiting.iter().filter(|w| !w.task.is_finished()).count();
        let is_quiet = unfinished == instance.engine().status().transactions.waiting;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        assert!(started.elapsed() < Duration::from_secs(STEP_SECONDS_MAX), "a step neither ends nor waits");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn indented(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("    {line}"))
}

/// The lines of a case with the answers given.
async fn run(lines: &[&str], in_segments: bool) -> Vec<String> {
    let (instance, _dir) = instance();
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut given = Vec::new();
    let mut in_setup = true;
    for line in lines {
        if line.starts_with("    ") || line.ends_with(": ...") {
            continue;
        }
        given.push((*line).to_owned());
        let is_step = !line.starts_with(['#', '=']);
        let Some((name, text)) = line.split_once(": ").filter(|_| is_step) else { continue };
        if name == "setup" {
            Client::new(&instance).ok(text).await;
            continue;
        }
        if std::mem::take(&mut in_setup) && in_segments {
            Client::new(&instance).ok("VACUUM").await;
        }
        let session = sessions.entry(name.to_owned()).or_insert_with(|| Arc::new(Mutex::new(Client::new(&instance))));
        let (session, text) = (Arc::clone(session), text.to_owned());
        let task = tokio::spawn(async move { answer(session.lock().await.run(&text).await) });
        waiting.push(Waiting { name: name.to_owned(), task });
        settle(&instance, &waiting).await;
        let own = waiting.len() - 1;
        if waiting[own].task.is_finished() {
            given.extend(indented(waiting.remove(own).task.await.unwrap()));
        } else {
            given.push("    <waiting>".to_owned());
        }
        let mut at = 0;
        while at < waiting.len() {
            if waiting[at].task.is_finished() {
                let done = waiting.remove(at);
                given.push(format!("{}: ...", done.name));
                given.extend(indented(done.task.await.unwrap()));
            } else {
                at += 1;
            }
        }
    }
    assert!(waiting.is_empty(), "some still wait at the end of the case");
    given
}

async fn file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/isolation").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("== ")).collect();
    assert!(!starts.is_empty());
    let mut wrong = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(lines.len());
        let case = &lines[*start..end];
        for in_segments in [false, true] {
            let given = run(case, in_segments).await;
            let differing =
                (0..given.len().max(case.len())).find(|at| given.get(*at).map(String::as_str) != case.get(*at).copied());
            if let Some(differing) = differing {
                let place = if in_segments { "segments" } else { "delta" };
                wrong.push(format!(
                    "{}:{} (rows in {place}): {:?} in the file, given {:?}",
                    path.display(),
                    start + differing + 1,
                    case.get(differing).unwrap_or(&""),
                    given.get(differing).map_or("", String::as_str)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! files {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
            async fn $test() {
                file(concat!(stringify!($test), ".txt")).await;
            }
        )*

        #[test]
        fn every_file_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/isolation");
            let mut found: Vec<String> =
                std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
            found.sort();
            assert_eq!(found, [$(concat!(stringify!($test), ".txt")),*]);
        }
    };
}

files!(
    advisory_locks,
    changed_rows,
    deferrable_keys,
    definitions,
    foreign_keys,
    hermitage_read_committed,
    hermitage_repeatable_read,
    hermitage_serializable,
    ranges,
    row_locks,
    serializable,
    unique_keys
);
