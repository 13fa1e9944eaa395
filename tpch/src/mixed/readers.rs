//! Those who only read during the mixed run: the sums by one statement and by one transaction, couples by key, the 22 queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Session, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tpch::QUERIES;

use super::Failure;
use super::books::Books;
use super::client::Shared;

/// What the readers have done.
#[derive(Default)]
pub(super) struct Read {
    /// Times that the sums were checked, each in one statement.
    pub(super) statements: AtomicU64,
    /// Transactions at REPEATABLE READ in which they were checked in parts.
    pub(super) transactions: AtomicU64,
    /// Couples read by key.
    pub(super) couples: AtomicU64,
    /// TPC-H queries answered.
    pub(super) queries: AtomicU64,
}

/// Runs one reader until told to stop or the server is killed. Errors: a broken sum, or a query that fails.
pub(super) async fn run(
    kind: usize,
    target: Target,
    books: Books,
    seed: u64,
    shared: Arc<Shared>,
    read: Arc<Read>,
) -> Result<(), Failure> {
    let done = match target.connect().await {
        Err(error) => Err(error.into()),
        Ok(session) => match kind {
            0 => statements(&session, &books, &shared, &read).await,
            1 => transactions(&session, &books, &shared, &read).await,
            2 => couples(&session, &books, seed, &shared, &read).await,
            _ => queries(&session, &shared, &read).await,
        },
    };
    match done {
        // What is broken is broken, killed or not; what is not answered is no fault then.
        Err(failure) if shared.killed.load(Ordering::SeqCst) && !failure.to_string().contains("broken invariant") => Ok(()),
        done => done,
    }
}

/// How many kinds of readers there are.
pub(super) const READERS: usize = 4;

async fn statements(session: &Session, books: &Books, shared: &Shared, read: &Read) -> Result<(), Failure> {
    while !shared.stop.load(Ordering::Relaxed) {
        books.check_statements(session).await?;
        read.statements.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn transactions(session: &Session, books: &Books, shared: &Shared, read: &Read) -> Result<(), Failure> {
    while !shared.stop.load(Ordering::Relaxed) {
        session.run("begin", "begin isolation level repeatable read").await?;
        books.check_in_parts(session).await?;
        // The same snapshot later, when everything else has gone on.
        books.check_in_parts(session).await?;
        session.run("commit", "commit").await?;
        read.transactions.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn couples(session: &Session, books: &Books, seed: u64, shared: &Shared, read: &Read) -> Result<(), Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    while !shared.stop.load(Ordering::Relaxed) {
        session.run("begin", "begin isolation level repeatable read").await?;
        for _ in 0..10 {
            let couples = if random.random_ratio(1, 2) { 16 } else { books.couples };
            books.check_couple(session, random.random_range(0..couples)).await?;
            read.couples.fetch_add(1, Ordering::Relaxed);
        }
        session.run("commit", "commit").await?;
    }
    Ok(())
}

async fn queries(session: &Session, shared: &Shared, read: &Read) -> Result<(), Failure> {
    for query in QUERIES.iter().cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        session.count_rows(&format!("run Q{}", query.number), query.text).await?;
        read.queries.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
