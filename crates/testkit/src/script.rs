//! A fixed script of SQL on the simulated machine, and the states it passes through: the same calls in the same order each time, so that
//! each of them can be the last, fail, or find the disk full.
//!
//! ```text
//! steps      create, insert, group commit, merge, index build, COPY, import, alter, compaction, checkpoint, drop
//! states     s0      s1       s2,s3,s4     s4     s5 ...                 catalog and every stored row, after each commit
//!                                  ^ the machine stops here: what recovery finds must be s2 if that was acknowledged, or s3, s4
//! ```
//!
//! 1. States are those of a run in which nothing goes wrong, each commit on its own.
//! 2. A machine may run the script to its end, or stop in the middle; what was acknowledged is counted in commits.
//!
//! Not here: random workloads (`world`), what goes wrong (`rows`).

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use catalog::Edit;
use engine::{Begin, EngineError, RangeOf};
use env::{Env, SimEnv};
use sql::{Answer, Instance, Login, Session};
use types::{Direction, Key, SqlError, TableId};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Step {
    /// A statement that commits.
    Commit(String),
    /// COPY FROM STDIN with its data.
    Copy(String, String),
    /// Transactions of a session each, whose COMMITs are asked for before any is answered.
    Group(Vec<String>),
    /// Freeze and compaction of everything.
    Merge,
    /// A checkpoint.
    Checkpoint,
    /// Background work, as much as likes to run.
    Rest,
}

/// Everything a database holds, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    catalog: Vec<u8>,
    rows: BTreeMap<(TableId, Key), Vec<u8>>,
    /// Rows of tables by name and columns, without what a statement that failed may have used up: ids of tables and rows.
    content: BTreeMap<String, Vec<String>>,
}

impl State {
    /// The same without rows that mention something.
    pub(crate) fn without(mut self, text: &str) -> State {
        self.rows.retain(|_, row| !row.windows(text.len()).any(|part| part == text.as_bytes()));
        self.content.values_mut().for_each(|rows| rows.retain(|row| !row.contains(text)));
        self
    }

    /// Whether a client would find the same.
    pub(crate) fn reads_as(&self, other: &State) -> bool {
        self.content == other.content
    }

    /// In a few words, for messages.
    pub(crate) fn summary(&self) -> String {
        let mut counts: BTreeMap<TableId, usize> = BTreeMap::new();
        self.rows.keys().for_each(|(table, _)| *counts.entry(*table).or_default() += 1);
        format!("catalog of {} bytes, rows by table {counts:?}", self.catalog.len())
    }
}

fn rows(from: i64, to: i64) -> String {
    let row = |n: i64| format!("({n}, {}, 'note {n} {}', {})", n % 17, "x".repeat((n % 40) as usize), n * 3);
    (from..to).map(row).collect::<Vec<_>>().join(", ")
}

/// The script. `much` makes tables larger.
pub(crate) fn script(much: bool) -> Vec<Step> {
    let size = if much { 3 } else { 1 };
    let commit = |text: &str| Step::Commit(text.to_owned());
    let insert = |from: i64, to: i64| Step::Commit(format!("INSERT INTO a VALUES {}", rows(from, to)));
    let copied = |from: i64, to: i64| (from..to).map(|n| format!("{n}\t{}\tcopied {n}\t{}\n", n % 17, n * 3)).collect::<String>();
    vec![
        commit("CREATE TABLE a (k bigint PRIMARY KEY, g int, note text, amount bigint)"),
        commit("CREATE TABLE b (g int, note text)"),
        insert(0, 20 * size),
        Step::Group(vec![
            "INSERT INTO a VALUES (1001, 1, 'one of three', 1); INSERT INTO b VALUES (1, 'beside it')".into(),
            "INSERT INTO a VALUES (1002, 2, 'two of three', 2); UPDATE a SET amount = -1 WHERE k = 3".into(),
            "INSERT INTO a VALUES (1003, 3, 'three of three', 3); DELETE FROM a WHERE k = 4".into(),
        ]),
        Step::Merge,
        commit("CREATE INDEX a_g ON a (g)"),
        commit("UPDATE a SET amount = amount + 100 WHERE k = 5"),
        Step::Checkpoint,
        Step::Copy("COPY a FROM STDIN".into(), copied(100, 100 + 40 * size)),
        commit("CREATE UNIQUE INDEX a_note ON a (note)"),
        commit("UPDATE a SET g = 99 WHERE k = 110"),
        commit("DELETE FROM a WHERE k = 111"),
        Step::Merge,
        commit("ALTER TABLE a ADD COLUMN more text DEFAULT 'added'"),
        insert_more(500, 500 + 15 * size),
        Step::Checkpoint,
        commit("INSERT INTO b VALUES (2, 'a'), (3, 'b'), (4, 'c')"),
        Step::Rest,
        commit("TRUNCATE b"),
        Step::Copy("COPY b FROM STDIN".into(), (0..30 * size).map(|n| format!("{n}\tloaded {n}\n")).collect()),
        insert_more(700, 700 + 15 * size),
        Step::Merge,
        commit("DROP INDEX a_g"),
        commit("ALTER TABLE b RENAME TO c"),
        commit("CREATE TABLE d (k int PRIMARY KEY, v text); INSERT INTO d VALUES (1, 'with its table')"),
        commit("DROP TABLE c"),
        Step::Checkpoint,
        Step::Rest,
        commit("UPDATE a SET amount = 0 WHERE k = 7"),
    ]
}

fn insert_more(from: i64, to: i64) -> Step {
    let row = |n: i64| format!("({n}, {}, 'later {n}', {}, 'more {n}')", n % 17, n * 3);
    Step::Commit(format!("INSERT INTO a VALUES {}", (from..to).map(row).collect::<Vec<_>>().join(", ")))
}

/// Limits so small that a short script does everything.
fn options() -> sql::Options {
    let engine = engine::Options {
        delta_bytes_max: 256 << 10,
        cache_bytes_max: 256 << 10,
        checkpoint_wal_bytes: 1 << 20,
        freeze_rows_min: 64,
        segment_rows: 48,
        compact_overlap: 2,
        load_threads: 1,
        wal_file_bytes: 16 << 10,
        wal_buffer_bytes: 1 << 20,
        bulk_rows_min: 25,
        reserve_bytes: 64 << 10,
        dead_rows_inline_max: 24,
        ..engine::Options::default()
    };
    // Queries spill to the real disk; these are too small to.
    let temp_dir = Some(std::env::temp_dir());
    sql::Options { engine, query_threads: 1, query_memory_bytes_max: 16 << 20, temp_dir, ..sql::Options::default() }
}

fn dir() -> &'static Path {
    Path::new("/db")
}

/// A database on a simulated machine.
pub(crate) struct Machine {
    pub(crate) env: Arc<SimEnv>,
    instance: Arc<Instance>,
    runtime: tokio::runtime::Runtime,
}

impl Machine {
    /// Opens the database of `env`. Errors: what opening says.
    pub(crate) fn open(env: &Arc<SimEnv>) -> Result<Machine, SqlError> {
        // For what asks for a timer; no thread, no reactor.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let instance = Instance::open(Arc::clone(env) as Arc<dyn Env>, dir(), options())?;
        Ok(Machine { env: Arc::clone(env), instance, runtime })
    }

    fn session(&self) -> Result<Session, SqlError> {
        Session::new(
            Arc::clone(&self.instance),
            Login { database: "postgres".into(), user: "postgres".into(), ..Login::default() },
        )
    }

    /// Polls until it is done. What a statement waits for is done by threads of queries, which are let on; what a commit waits for is
    /// done by jobs, which run in between.
    fn wait<T>(&self, for_what: Awaited, work: impl Future<Output = T>) -> T {
        let _context = self.runtime.enter();
        let mut work = pin!(work);
        for _ in 0..100_000_000u64 {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            match for_what {
                Awaited::Query => std::thread::yield_now(),
                Awaited::Commit => drop(self.env.run_jobs(1)),
            }
        }
        panic!("a statement never ends");
    }

    /// Runs statements as one implicit transaction.
    pub(crate) fn run(&self, text: &str) -> Result<(), SqlError> {
        self.simple_query(&mut self.session()?, text, "")
    }

    fn simple_query(&self, session: &mut Session, text: &str, data: &str) -> Result<(), SqlError> {
        match self.wait(Awaited::Query, statements(session, text, data)) {
            Ok(()) => self.wait(Awaited::Commit, session.finish_implicit()),
            Err(error) => {
                session.fail();
                let _ = self.wait(Awaited::Commit, session.finish_implicit());
                Err(error)
            }
        }
    }

    /// Does a step; returns how many commits it has got acknowledged. Errors: that of the first that failed.
    pub(crate) fn step(&self, step: &Step) -> (usize, Result<(), SqlError>) {
        let one = |done: Result<(), SqlError>| (usize::from(done.is_ok()), done);
        match step {
            Step::Commit(text) => one(self.run(text)),
            Step::Copy(text, data) => one(self.session().and_then(|mut session| self.simple_query(&mut session, text, data))),
            Step::Group(texts) => self.group(texts),
            Step::Merge => (0, self.instance.engine().merge(None).map_err(SqlError::from)),
            Step::Checkpoint => (0, self.instance.engine().checkpoint().map_err(SqlError::from)),
            Step::Rest => {
                self.env.run_jobs(60);
                (0, Ok(()))
            }
        }
    }

    fn group(&self, texts: &[String]) -> (usize, Result<(), SqlError>) {
        let mut sessions = Vec::new();
        for text in texts {
            let begun = self.session().and_then(|mut session| {
                self.simple_query(&mut session, &format!("BEGIN; {text}"), "")?;
                Ok(session)
            });
            match begun {
                Ok(session) => sessions.push(session),
                Err(error) => return (0, Err(error)),
            }
        }
        let mut commits: Vec<Pin<Box<dyn Future<Output = Result<(), SqlError>> + '_>>> = Vec::new();
        for session in &mut sessions {
            commits.push(Box::pin(statements(session, "COMMIT", "")));
        }
        let mut outcomes: Vec<Option<Result<(), SqlError>>> = commits.iter().map(|_| None).collect();
        self.wait(
            Awaited::Commit,
            std::future::poll_fn(|context| {
                for (commit, outcome) in commits.iter_mut().zip(&mut outcomes) {
                    if outcome.is_none()
                        && let Poll::Ready(done) = commit.as_mut().poll(context)
                    {
                        *outcome = Some(done);
                    }
                }
                if outcomes.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        let outcomes: Vec<Result<(), SqlError>> = outcomes.into_iter().flatten().collect();
        // They are in the log in this order, so what is acknowledged is a beginning.
        let acknowledged = outcomes.iter().rposition(Result::is_ok).map_or(0, |last| last + 1);
        (acknowledged, outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(())))
    }

    /// What the database holds. Errors: a read fails.
    pub(crate) fn state(&self) -> Result<State, SqlError> {
        let mut transaction = self.instance.engine().begin(Begin { read_only: true, ..Begin::default() });
        transaction.begin_statement();
        let view = transaction.read_view();
        let (mut rows, mut content) = (BTreeMap::new(), BTreeMap::new());
        for table in view.catalog().stored_tables() {
            let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            let mut read = Vec::new();
            let all = RangeOf { from: Bound::Unbounded, to: Bound::Unbounded, direction: Direction::Forward, wanted: None };
            let mut cursor = view.table(table.id)?.range(all, Arc::default())?;
            let mut block = cursor.block();
            loop {
                cursor.next(&mut block, 100)?;
                for at in 0..block.len() {
                    let datums = block.row(at).to_datums();
                    read.push(format!("{:?}", &datums[table.hidden()..]));
                    rows.insert((table.id, Key::from(block.key(at))), format!("{datums:?}").into_bytes());
                }
                if block.len() < 100 {
                    break;
                }
            }
            if view.catalog().table_of_index(table.id).is_none() {
                let indexes = table.indexes.iter().map(|index| index.name.as_str());
                content.insert(format!("{} {columns:?} {:?}", table.name, indexes.collect::<Vec<_>>()), read);
            }
        }
        // Ids that a statement has used up which failed are no difference.
        let catalog = view.catalog().apply(&Edit::ReserveOids(u32::MAX / 2)).map_err(EngineError::from)?;
        Ok(State { catalog: catalog.encode(), rows, content })
    }

    /// What is wrong with the database: checksums, indexes against rows.
    pub(crate) fn check(&self) -> Result<(), String> {
        match sql::check(&self.instance) {
            Ok(findings) if findings.is_empty() => Ok(()),
            Ok(findings) => Err(format!("check finds {findings:?}")),
            Err(error) => Err(format!("check: {error:?}")),
        }
    }
}

/// What keeps a future from going on.
#[derive(Clone, Copy)]
enum Awaited {
    Query,
    Commit,
}

async fn statements(session: &mut Session, text: &str, data: &str) -> Result<(), SqlError> {
    for statement in session.parse(text)? {
        let prepared = session.prepare(&statement, &[])?;
        if let Answer::CopyIn(_) = session.execute(&prepared, vec![]).await? {
            session.copy_in_data(data.as_bytes())?;
            session.copy_in_finish().await?;
        }
    }
    Ok(())
}

/// The states a script passes through, one for each commit, the empty database first.
pub(crate) fn states(script: &[Step]) -> Vec<State> {
    let machine = Machine::open(&SimEnv::new(1)).expect("open a new directory");
    let mut states = vec![machine.state().expect("read")];
    for step in script {
        let alone: Vec<Step> = match step {
            Step::Group(texts) => texts.iter().cloned().map(Step::Commit).collect(),
            Step::Copy(text, data) => vec![Step::Copy(text.clone(), data.clone())],
            Step::Commit(text) => vec![Step::Commit(text.clone())],
            Step::Merge | Step::Checkpoint | Step::Rest => Vec::new(),
        };
        for step in alone {
            machine.step(&step).1.unwrap_or_else(|error| panic!("{step:?}: {error:?}"));
            states.push(machine.state().expect("read"));
        }
    }
    states
}

impl Step {
    /// How many commits it is.
    pub(crate) fn commits(&self) -> usize {
        match self {
            Step::Commit(_) | Step::Copy(..) => 1,
            Step::Group(texts) => texts.len(),
            Step::Merge | Step::Checkpoint | Step::Rest => 0,
        }
    }

    /// The rest of it after so many of its commits.
    pub(crate) fn rest(&self, done: usize) -> Option<Step> {
        match self {
            Step::Group(texts) if done > 0 => Some(Step::Group(texts[done..].to_vec())),
            _ => None,
        }
    }
}
