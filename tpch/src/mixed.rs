//! `tpch mixed`: clients that write, readers that add up and the 22 queries at the same time, with or without a server that is killed
//! again and again.
//!
//! ```text
//!   clients --transactions--> server <--sums, couples, 22 queries-- readers
//!      |                        ^
//!   client-NN.sql               kill -9 at a random moment, restart, look at everything, go on      (--kills)
//!      |
//!   another server, later: the same initial tables + setup.sql + every client-NN.sql = the same tables
//! ```
//!
//! 1. The run fails at the first broken invariant (`books`), lost or half transaction (`client`), or unexpected error.
//! 2. After a kill the server must open, everything acknowledged must be there, and of the rest nothing or all of it.
//!
//! Not here: comparing with another server (scripts/checks/mixed.sh).

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bench::{Progress, Session, Target, Timings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

mod books;
mod client;
mod operations;
mod plan;
mod readers;
mod server;
mod statement;

use books::Books;
use client::{Client, Done, Shared};
use operations::Draw;
use readers::Read;
use server::{Running, Serve};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A server that is there, with the tables of `tpch load`.
    #[arg(long, value_name = "URL", required_unless_present = "serve")]
    url: Option<String>,
    /// A command that serves such tables and prints `listening on HOST:PORT`; split at blanks.
    #[arg(long, value_name = "COMMAND", conflicts_with = "url")]
    serve: Option<String>,
    /// A folder for the operation log, which must have none yet, and for the log of --serve.
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// Clients that write.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    clients: u16,
    /// Rows to insert, update or delete in committed transactions.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// What all choices are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill the server of --serve so many times, at random moments.
    #[arg(long, default_value_t = 0, requires = "serve")]
    kills: u32,
    /// The latest moment for a kill, in milliseconds after the clients start.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(51..))]
    kill_within: u64,
    /// A command that checks the data of a server that is down, after every --check-every-th kill.
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
    /// See --check.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    check_every: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came of a run in which nothing was wrong.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    clients: u16,
    seed: u64,
    /// While clients ran.
    seconds: f64,
    rows: u64,
    committed: u64,
    rolled_back: u64,
    statements_failed_as_expected: u64,
    conflicts_retried: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    sums_by_statement: u64,
    sums_by_transaction: u64,
    couples_by_key: u64,
    queries: u64,
    /// Zeros unless the server was started here.
    freezes: usize,
    compactions: usize,
    checkpoints: usize,
    kills: u32,
    kills_during_background_work: usize,
    commits_unanswered_there: u64,
    commits_unanswered_gone: u64,
    checks: u32,
    restart_median_ms: f64,
    restart_max_ms: f64,
}

/// Pauses between looks at whether enough was done.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it. Errors: whatever should not have happened.
pub(crate) async fn run(arguments: &Arguments) -> Result<(Target, Figures), Failure> {
    DirBuilder::new().recursive(true).create(&arguments.log)?;
    let serve = arguments.serve.as_ref().map(|command| Serve {
        command: command.split_whitespace().map(str::to_owned).collect(),
        log: arguments.log.join("server.log"),
    });
    let mut server = match &serve {
        Some(serve) => Some(serve.start().await?),
        None => None,
    };
    let target = match (&server, &arguments.url) {
        (Some(running), _) => running.target.clone(),
        (None, url) => Target::parse(url.as_deref().unwrap_or_default())?,
    };
    let mut run = Run::prepare(arguments, &target).await?;
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let mut restarts = Timings::default();
    let mut figures = Figures { clients: arguments.clients, seed: arguments.seed, ..Figures::default() };
    while let (Some(serve), true) = (&serve, figures.kills < arguments.kills) {
        let running = server.take().ok_or("no server")?;
        let moment = Duration::from_millis(random.random_range(50..arguments.kill_within));
        run.cycle(running.target.clone(), Some((running, moment))).await.map_err(|error| at_kill(figures.kills, error))?;
        figures.kills += 1;
        if let Some(check) = &arguments.check
            && figures.kills.is_multiple_of(arguments.check_every)
        {
            checked(check).await.map_err(|error| at_kill(figures.kills, error))?;
            figures.checks += 1;
        }
        let running = serve.start().await.map_err(|error| at_kill(figures.kills, error))?;
        restarts.push(running.took);
        run.look(&running.target).await.map_err(|error| at_kill(figures.kills, error))?;
        server = Some(running);
    }
    let target = server.as_ref().map_or(target, |running| running.target.clone());
    if run.shared.rows.load(Ordering::Relaxed) < arguments.rows {
        run.cycle(target.clone(), None).await?;
        run.look(&target).await?;
    }
    if let Some(running) = &mut server {
        running.alive()?;
    }
    run.report(&mut figures);
    figures.restart_median_ms = milliseconds(restarts.median());
    figures.restart_max_ms = restarts.rounds().iter().max().copied().map_or(0.0, milliseconds);
    for client in &mut run.clients {
        client.flush()?;
    }
    if let Some(serve) = &serve {
        let background = serve.background()?;
        (figures.freezes, figures.compactions) = (background.freezes, background.compactions);
        figures.checkpoints = background.checkpoints;
        figures.kills_during_background_work = background.cut_off;
    }
    if let Some(running) = server {
        running.stop().await?;
    }
    Ok((target, figures))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn at_kill(number: u32, error: Failure) -> Failure {
    format!("at kill {number}: {error}").into()
}

/// Runs the check command.
async fn checked(command: &str) -> Result<(), Failure> {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().ok_or("--check is empty")?).args(words).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said)).into())
}

/// The clients and what they share, over all lives of the server.
struct Run {
    books: Books,
    clients: Vec<Client>,
    shared: Arc<Shared>,
    read: Arc<Read>,
    rows_wanted: u64,
    seed: u64,
    busy: Duration,
    progress: Progress,
}

impl Run {
    async fn prepare(arguments: &Arguments, target: &Target) -> Result<Run, Failure> {
        let session = target.connect().await?;
        let setup = books::setup();
        session.run("make the tables of the run", &setup).await?;
        OpenOptions::new().write(true).create_new(true).open(arguments.log.join("setup.sql"))?.write_all(setup.as_bytes())?;
        let books = Books::open(&session, arguments.clients).await?;
        let mut clients = Vec::new();
        for number in 0..arguments.clients {
            clients.push(Client::new(number, Draw::new(&books, number, arguments.seed), &arguments.log)?);
        }
        Ok(Run {
            books,
            clients,
            shared: Arc::new(Shared::default()),
            read: Arc::new(Read::default()),
            rows_wanted: arguments.rows,
            seed: arguments.seed,
            busy: Duration::ZERO,
            progress: Progress::rows("mixed", Some(arguments.rows)),
        })
    }

    /// Lets everybody work until there are enough rows, or until the server is killed.
    async fn cycle(&mut self, target: Target, mut kill: Option<(Running, Duration)>) -> Result<(), Failure> {
        let started = Instant::now();
        self.shared.stop.store(false, Ordering::SeqCst);
        self.shared.killed.store(false, Ordering::SeqCst);
        let mut writers = JoinSet::new();
        for mut client in self.clients.drain(..) {
            let (target, shared) = (target.clone(), Arc::clone(&self.shared));
            writers.spawn(async move {
                let ended = client.work(&target, &shared).await;
                (client, ended)
            });
        }
        let mut others = JoinSet::new();
        for kind in 0..readers::READERS {
            let (shared, read) = (Arc::clone(&self.shared), Arc::clone(&self.read));
            others.spawn(readers::run(kind, target.clone(), self.books.clone(), self.seed, shared, read));
        }
        let mut failed = None;
        let mut shown = self.shared.rows.load(Ordering::Relaxed);
        loop {
            let rows = self.shared.rows.load(Ordering::Relaxed);
            self.progress.add(rows - shown);
            shown = rows;
            if let Some((mut running, moment)) = kill.take() {
                if started.elapsed() >= moment {
                    running.alive()?;
                    self.shared.killed.store(true, Ordering::SeqCst);
                    running.kill().await?;
                    break;
                }
                kill = Some((running, moment));
            } else if rows >= self.rows_wanted {
                break;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                Some(ended) = others.join_next() => failed = ended?.err(),
                Some(ended) = writers.join_next() => {
                    let (client, ended) = ended?;
                    self.clients.push(client);
                    failed = ended.err();
                }
            }
            if failed.is_some() {
                break;
            }
        }
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            let (client, ended) = ended?;
            self.clients.push(client);
            failed = failed.or(ended.err());
        }
        while let Some(ended) = others.join_next().await {
            failed = failed.or(ended?.err());
        }
        self.clients.sort_by_key(Client::number);
        self.busy += started.elapsed();
        failed.map_or(Ok(()), Err)
    }

    /// With nobody at work: finds out about transactions that were cut off, and checks everything.
    async fn look(&mut self, target: &Target) -> Result<(), Failure> {
        let session: Session = target.connect().await?;
        for client in &mut self.clients {
            client.resolve(&session, &self.shared).await?;
        }
        let markers: Vec<i64> = self.clients.iter().map(|client| client.draw.sequence).collect();
        let orders: Vec<usize> = self.clients.iter().map(|client| client.draw.orders.len()).collect();
        self.books.check_all(&session, &markers, &orders).await
    }

    fn report(&self, figures: &mut Figures) {
        self.progress.finish();
        let mut done = Done::default();
        self.clients.iter().for_each(|client| done.merge(&client.done));
        let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        figures.seconds = self.busy.as_secs_f64();
        figures.rows = count(&self.shared.rows);
        figures.committed = done.committed;
        figures.rolled_back = done.rolled_back;
        figures.statements_failed_as_expected = done.failed_as_expected;
        figures.conflicts_retried = done.retried;
        (figures.p50_ms, figures.p99_ms) = (ms(done.latency.quantile(0.5)), ms(done.latency.quantile(0.99)));
        figures.max_ms = ms(done.latency.max());
        figures.sums_by_statement = count(&self.read.statements);
        figures.sums_by_transaction = count(&self.read.transactions);
        figures.couples_by_key = count(&self.read.couples);
        figures.queries = count(&self.read.queries);
        figures.commits_unanswered_there = done.unanswered_there;
        figures.commits_unanswered_gone = done.unanswered_gone;
    }
}

impl Figures {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{} rows in {} transactions by {} clients (seed {}) in {:.1} s: p50 {:.2} ms, p99 {:.1} ms, longest {:.0} ms\n\
             {} rolled back, {} statements failed as they must, {} conflicts run again\n\
             meanwhile {} TPC-H queries; sums checked {} times by statement, {} times by transaction, {} couples by key: none broken",
            self.rows,
            self.committed,
            self.clients,
            self.seed,
            self.seconds,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.rolled_back,
            self.statements_failed_as_expected,
            self.conflicts_retried,
            self.queries,
            self.sums_by_statement,
            self.sums_by_transaction,
            self.couples_by_key,
        );
        if self.freezes + self.compactions + self.checkpoints > 0 {
            text.push_str(&format!(
                "\n{} freezes, {} compactions, {} checkpoints",
                self.freezes, self.compactions, self.checkpoints
            ));
        }
        if self.kills > 0 {
            text.push_str(&format!(
                "\n{} kills, {} of them during background work; {} commits that were not answered are there, {} are not; \
                 {} offline checks clean; restart median {:.0} ms, longest {:.0} ms",
                self.kills,
                self.kills_during_background_work,
                self.commits_unanswered_there,
                self.commits_unanswered_gone,
                self.checks,
                self.restart_median_ms,
                self.restart_max_ms,
            ));
        }
        text
    }
}
