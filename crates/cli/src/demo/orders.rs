//! Clients that enter orders over the wire, and the books they must keep in balance.
//!
//! ```text
//!   one transaction: insert the order, insert its 1 to 7 lines, the customer pays, the supplier is paid
//!
//!   sum of all balances                  never changes                 (multi-table)
//!   an order's total                     is the sum of its lines
//!   orders there in the end              those acknowledged
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench::{BenchError, Histogram, Session, Target, describe};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Statement;

use crate::exit::Failure;

/// What was in the tables before the first order.
#[derive(Clone, Debug)]
pub(super) struct Books {
    money: String,
    orders: u64,
    orderkey_first: i64,
    customers: i64,
    suppliers: i64,
    parts: i64,
}

const MONEY: &str = "select (select sum(c_acctbal) from customer) + (select sum(s_acctbal) from supplier)";

impl Books {
    /// Reads them.
    pub(super) async fn open(session: &Session) -> Result<Books, Failure> {
        let number = async |what: &str| -> Result<i64, Failure> {
            let text = session.text_value("read the books", &format!("select {what}")).await?;
            text.parse().map_err(|error| Failure::during(format!("read {what}"), error))
        };
        Ok(Books {
            money: session.text_value("add up the balances", MONEY).await?,
            orders: u64::try_from(number("count(*) from orders").await?).unwrap_or(0),
            orderkey_first: number("max(o_orderkey) from orders").await? + 1,
            customers: number("max(c_custkey) from customer").await?,
            suppliers: number("max(s_suppkey) from supplier").await?,
            parts: number("max(p_partkey) from part").await?,
        })
    }

    /// No money may appear or vanish, at any moment.
    pub(super) async fn check_money(&self, session: &Session) -> Result<(), Failure> {
        let now = session.text_value("add up the balances", MONEY).await?;
        if now == self.money {
            return Ok(());
        }
        Err(Failure::new(format!("the balances add up to {now}, they were {}: a transaction was seen half-way", self.money)))
    }

    /// As many new orders as were acknowledged, each with all its lines.
    pub(super) async fn check_orders(&self, session: &Session, acknowledged: u64) -> Result<(), Failure> {
        let first = self.orderkey_first;
        let whole = format!(
            "select count(*) from orders join
                (select l_orderkey, sum(l_extendedprice) as lines from lineitem where l_orderkey >= {first} group by l_orderkey) t
                on l_orderkey = o_orderkey
            where o_totalprice = lines"
        );
        let whole = session.text_value("count whole orders", &whole).await?;
        let all = session.text_value("count orders", "select count(*) from orders").await?;
        let expected = self.orders + acknowledged;
        if whole == acknowledged.to_string() && all == expected.to_string() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{acknowledged} orders were acknowledged; {whole} of them are whole, and there are {all} orders where {expected} should be"
        )))
    }
}

/// What the clients did.
pub(super) struct Entered {
    pub(super) orders: u64,
    pub(super) seconds: f64,
    pub(super) latency: Histogram,
}

/// Running clients.
pub(super) struct Orders {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<Histogram, Failure>>,
    started: Instant,
}

impl Orders {
    /// Connects the clients and lets them go.
    pub(super) async fn start(target: &Target, books: &Books, clients: u16) -> Result<Orders, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let started = Instant::now();
        for number in 0..clients {
            let client = Client::connect(target, books, number, clients).await?;
            running.spawn(client.run(Arc::clone(&stop)));
        }
        Ok(Orders { stop, clients: running, started })
    }

    /// Lets each client finish its order, and adds up.
    pub(super) async fn stop(mut self) -> Result<Entered, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.started.elapsed().as_secs_f64();
        let mut latency = Histogram::default();
        while let Some(client) = self.clients.join_next().await {
            latency.merge(&client.map_err(|error| Failure::during("enter orders", error))??);
        }
        Ok(Entered { orders: latency.count(), seconds, latency })
    }
}

struct Client {
    session: Session,
    books: Books,
    random: StdRng,
    orderkey: i64,
    orderkey_step: i64,
    order: Statement,
    line: Statement,
    pay: Statement,
    paid: Statement,
}

impl Client {
    async fn connect(target: &Target, books: &Books, number: u16, clients: u16) -> Result<Client, Failure> {
        let session = target.connect().await?;
        let prepare = async |text: &str| session.client().prepare(text).await.map_err(|error| failed(&error));
        Ok(Client {
            order: prepare(
                "insert into orders values ($1, $2, 'O', $3::bigint / 100.0, date '1998-08-02', '3-MEDIUM', 'Clerk#000000001', 0,
                'entered by the demo')",
            )
            .await?,
            line: prepare(
                "insert into lineitem values ($1, $2, $3, $4, $5::integer, $6::bigint / 100.0, 0, 0, 'N', 'O', date '1998-08-02',
                date '1998-08-12', date '1998-08-22', 'NONE', 'AIR', 'entered by the demo')",
            )
            .await?,
            pay: prepare("update customer set c_acctbal = c_acctbal - $2::bigint / 100.0 where c_custkey = $1").await?,
            paid: prepare("update supplier set s_acctbal = s_acctbal + $2::bigint / 100.0 where s_suppkey = $1").await?,
            session,
            books: books.clone(),
            random: StdRng::seed_from_u64(u64::from(number)),
            orderkey: books.orderkey_first + i64::from(number),
            orderkey_step: i64::from(clients),
        })
    }

    async fn run(mut self, stop: Arc<AtomicBool>) -> Result<Histogram, Failure> {
        let mut latency = Histogram::default();
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            self.enter().await?;
            latency.record(started.elapsed());
            self.orderkey += self.orderkey_step;
            // A client thinks between orders; without it two clients would take the cores from the queries they run beside.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(latency)
    }

    /// Enters one order, again if the database asks for it.
    async fn enter(&mut self) -> Result<(), Failure> {
        let lines: Vec<(i64, i32, i64)> = (0..self.random.random_range(1..=7))
            .map(|_| {
                let part = self.random.random_range(1..=self.books.parts);
                (part, self.random.random_range(1..=50), self.random.random_range(1_000..10_000_000))
            })
            .collect();
        let customer = self.random.random_range(1..=self.books.customers);
        let supplier = self.random.random_range(1..=self.books.suppliers);
        loop {
            match self.attempt(customer, supplier, &lines).await {
                Ok(()) => return Ok(()),
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    async fn attempt(&mut self, customer: i64, supplier: i64, lines: &[(i64, i32, i64)]) -> Result<(), tokio_postgres::Error> {
        let orderkey = self.orderkey;
        let total: i64 = lines.iter().map(|(_, _, price)| price).sum();
        let transaction = self.session.client_mut().transaction().await?;
        transaction.execute(&self.order, &[&orderkey, &customer, &total]).await?;
        for (number, (part, quantity, price)) in (1_i32..).zip(lines) {
            transaction.execute(&self.line, &[&orderkey, part, &supplier, &number, quantity, price]).await?;
        }
        // Always customer before supplier: clients that pay the same ones wait for each other and never in a circle.
        transaction.execute(&self.pay, &[&customer, &total]).await?;
        transaction.execute(&self.paid, &[&supplier, &total]).await?;
        transaction.commit().await
    }
}

/// A conflict with another transaction.
fn is_retry(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code(), "40001" | "40P01"))
}

fn failed(error: &tokio_postgres::Error) -> Failure {
    BenchError::Statement { what: "enter an order".into(), reason: describe(error) }.into()
}
