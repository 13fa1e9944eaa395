//! `colonnade demo`: what this database is for, in one minute: TPC-H's queries over rows that are changing meanwhile.
//!
//! ```text
//!   temporary directory <-- TPC-H rows, straight into segments
//!          |
//!       server on a free loopback port
//!        ^              ^
//!   orders come in   the 22 queries, and between them the books must balance
//! ```
//!
//! Not here: measuring (`tpch run`); figures of a demo stand beside nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench::{Align, Progress, Session, Table as Grid, Target};
use env::RealEnv;
use server::{Auth, Config, Server, Shutdown, credentials};
use sql::Instance;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tpch::{QUERIES, SCHEMA, Table};

use crate::client::Embedded;
use crate::exit::{Failure, say, warn};
use crate::serve::Signals;
use crate::{log, serve};

mod orders;

use orders::{Books, Orders};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade demo                 scale 0.1, then keeps serving: connect with psql
  colonnade demo --scale 1 --exit

Data is made in a temporary directory and removed at the end. Exit codes: 0 everything added up, 1 something did not.")]
pub(crate) struct Arguments {
    /// TPC-H scale factor: 1 is about 1 GB of text.
    #[arg(long, default_value_t = 0.1, value_parser = scale)]
    scale: f64,
    /// Clients that enter orders.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    clients: u16,
    /// End after the queries instead of serving on.
    #[arg(long)]
    exit: bool,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Below, suppliers of a part would come twice.
        Ok(scale) if (0.01..=1000.0).contains(&scale) => Ok(scale),
        _ => Err("a scale factor is a number from 0.01 to 1000".into()),
    }
}

const GRACE: Duration = Duration::from_secs(5);
const ROWS_PER_BATCH: usize = 8192;
/// Batches made ahead of the load.
const BATCHES_AHEAD: usize = 4;

/// Runs the demo.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    log::start(log::Format::Text, "warn")?;
    let folder = tempfile::Builder::new()
        .prefix("colonnade-demo-")
        .tempdir()
        .map_err(|error| Failure::during("make a temporary directory", error))?;
    let env = RealEnv::new();
    let instance = serve::open(Arc::clone(&env), folder.path(), sql::Options::default()).await?;
    let shown = show(&arguments, env.as_ref(), folder.path(), &instance).await;
    let closed = tokio::task::spawn_blocking(move || instance.close()).await;
    shown?;
    closed.map_err(|error| Failure::during("close the database", error))??;
    folder.close().map_err(|error| Failure::during("remove the temporary directory", error))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: &Arguments, env: &RealEnv, folder: &Path, instance: &Arc<Instance>) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    tokio::select! {
        loaded = load(instance, arguments.scale) => loaded?,
        () = signals.stop() => return Err(interrupted()),
    }

    let (users, password) = credentials::load_or_create(env, folder, None).map_err(|error| Failure::new(error.to_string()))?;
    let config = Config::new(vec![SocketAddr::from(([127, 0, 0, 1], 0))], Auth::Scram(users));
    let server = Server::start(config, Arc::clone(instance)).await.map_err(|error| Failure::new(error.to_string()))?;
    let address = server.addresses()[0];
    let url = format!("postgres://postgres:{}@{address}/postgres", password.unwrap_or_default());

    let done = tokio::select! {
        done = query_while_orders_come_in(arguments, &url, instance) => done,
        () = signals.stop() => Err(interrupted()),
    };
    if done.is_ok() && !arguments.exit {
        say(&format!("\nServing until Ctrl-C:  psql {url}"));
        signals.stop().await;
    }
    server.shutdown(Shutdown::Fast, GRACE).await;
    done
}

fn interrupted() -> Failure {
    Failure::new("interrupted")
}

/// Makes the tables and fills them, each in one transaction.
async fn load(instance: &Arc<Instance>, scale: f64) -> Result<(), Failure> {
    let mut embedded = Embedded::of(Arc::clone(instance), "postgres")?;
    embedded.run(SCHEMA, &mut |_| {}).await?;
    let rows = Table::ALL.iter().map(|table| table.rows_about(scale)).sum();
    let progress = Progress::rows(&format!("load TPC-H at scale {scale}"), Some(rows));
    for table in Table::ALL {
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let generator = tokio::task::spawn_blocking(move || {
            for batch in table.batches(scale, 1, 1, ROWS_PER_BATCH) {
                if sender.blocking_send(batch).is_err() {
                    break; // the load failed; its error says why
                }
            }
        });
        let mut append = embedded.session.append(None, table.name(), &[])?;
        while let Some(batch) = receiver.recv().await {
            let batch = batch.map_err(|error| Failure::during("make rows", error))?;
            append.add(&batch).await?;
            progress.add(batch.num_rows() as u64);
        }
        append.finish().await?;
        embedded.session.finish_implicit().await?;
        generator.await.map_err(|error| Failure::during("make rows", error))?;
    }
    progress.finish();
    Ok(())
}

/// One query's times.
struct Timed {
    rows: u64,
    first: Duration,
    second: Duration,
}

async fn query_while_orders_come_in(arguments: &Arguments, url: &str, instance: &Arc<Instance>) -> Result<(), Failure> {
    let target = Target::parse(url)?;
    let session = target.connect().await?;
    let books = Books::open(&session).await?;
    let orders = Orders::start(&target, &books, arguments.clients).await?;

    let answered = run_queries(&session, &books).await;
    let entered = orders.stop().await?;
    let timed = answered?;

    let mut grid =
        Grid::new([("query", Align::Left), ("rows", Align::Right), ("first ms", Align::Right), ("again ms", Align::Right)]);
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    for (query, timed) in QUERIES.iter().zip(&timed) {
        grid.row([format!("Q{}", query.number), timed.rows.to_string(), ms(timed.first), ms(timed.second)]);
    }
    let total = |time: fn(&Timed) -> Duration| timed.iter().map(time).sum::<Duration>();
    grid.row(["total".to_owned(), String::new(), ms(total(|timed| timed.first)), ms(total(|timed| timed.second))]);
    say(&grid.to_string());

    let latency = &entered.latency;
    say(&format!(
        "{} orders meanwhile, {:.0} a second, each durable: p50 {} ms, p99 {} ms, longest {} ms",
        entered.orders,
        entered.orders as f64 / entered.seconds,
        ms(latency.quantile(0.5)),
        ms(latency.quantile(0.99)),
        ms(latency.max()),
    ));
    let status = instance.engine().status();
    let (delta, segments) = status.tables.iter().fold((0, 0), |(delta, segments), table| {
        (delta + table.delta_rows as u64, segments + table.segment_rows - table.segment_rows_dead)
    });
    say(&format!("{delta} rows in the row store (delta), {segments} in column segments"));
    balance(&session, &books, entered.orders, instance).await
}

/// Each query twice; between them the books must balance.
async fn run_queries(session: &Session, books: &Books) -> Result<Vec<Timed>, Failure> {
    let mut timed = Vec::new();
    for query in &QUERIES {
        let what = format!("run Q{}", query.number);
        let once = async || {
            let started = Instant::now();
            let rows = session.count_rows(&what, query.text).await?;
            Ok::<_, Failure>((rows, started.elapsed()))
        };
        let (_, first) = once().await?;
        let (rows, second) = once().await?;
        timed.push(Timed { rows, first, second });
        books.check_money(session).await?;
    }
    Ok(timed)
}

/// What must be true at the end, by the database's own answers and by its own check.
async fn balance(session: &Session, books: &Books, orders: u64, instance: &Arc<Instance>) -> Result<(), Failure> {
    books.check_money(session).await?;
    books.check_orders(session, orders).await?;
    let instance = Arc::clone(instance);
    let findings = tokio::task::spawn_blocking(move || sql::check(&instance))
        .await
        .map_err(|error| Failure::during("check the database", error))??;
    for finding in &findings {
        warn(&format!("{}: {}", finding.place, finding.what));
    }
    if !findings.is_empty() {
        return Err(Failure::new(format!("the check of the database found {} faults", findings.len())));
    }
    say("The books balance: no money appeared or vanished at any query, every acknowledged order is there with all its lines.");
    Ok(())
}
