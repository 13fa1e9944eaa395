//! What is true at every moment of the mixed run, and how it is asked for.
//!
//! ```text
//!   money    sum(c_acctbal) + sum(s_acctbal) + sum(o_totalprice)     as at the start
//!   orders   sum(o_totalprice) of new orders                         = sum(l_extendedprice) of their lines
//!   couples  a_balance of accounts 2k and 2k + 1                     2,000.00 together
//! ```

use bench::Session;

use super::Failure;
use super::statement::cents;

/// Groups of accounts that one statement changes.
pub(super) const GROUPS: i32 = 100;
/// Couples of accounts in a group.
pub(super) const COUPLES_PER_GROUP: u64 = 50;
/// What a couple has, in cents.
pub(super) const COUPLE_CENTS: i128 = 200_000;

const TABLES: &str = "\
create table account (a_id bigint primary key, a_group integer not null, a_balance numeric(15,2) not null, a_note varchar(40) not null);
create table marker (m_client integer, m_seq bigint, m_kind varchar(40) not null, m_lines integer not null, primary key (m_client, m_seq));
create table journal (j_client integer not null, j_seq bigint not null, j_amount numeric(15,2) not null);
";

const MONEY: [&str; 3] =
    ["select sum(c_acctbal) from customer", "select sum(s_acctbal) from supplier", "select sum(o_totalprice) from orders"];

/// The tables before the first transaction.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) clients: i64,
    pub(super) customers: i64,
    pub(super) suppliers: i64,
    pub(super) parts: i64,
    pub(super) couples: i64,
    /// The greatest order key of the first load.
    pub(super) old_key_max: i64,
    /// New orders have keys from here on, each client those that leave its number when divided by `clients`.
    pub(super) first_key: i64,
    /// In cents.
    pub(super) money: i128,
}

/// The statements that make the run's own tables, for any server.
pub(super) fn setup() -> String {
    let mut sql = TABLES.to_owned();
    for group in 0..GROUPS {
        let rows: Vec<String> = (0..COUPLES_PER_GROUP as i64)
            .flat_map(|n| {
                let couple = n * i64::from(GROUPS) + i64::from(group);
                [2 * couple, 2 * couple + 1].map(|id| format!("({id}, {group}, 1000.00, 'of group {group}')"))
            })
            .collect();
        sql.push_str(&format!("insert into account values {};\n", rows.join(", ")));
    }
    sql
}

impl Books {
    /// Reads them. Errors: the tables of TPC-H are not there or empty.
    pub(super) async fn open(session: &Session, clients: u16) -> Result<Books, Failure> {
        let number = async |what: &str| -> Result<i64, Failure> {
            Ok(session.text_value("read the tables", &format!("select max({what}")).await?.parse()?)
        };
        let clients = i64::from(clients);
        let mut books = Books {
            clients,
            customers: number("c_custkey) from customer").await?,
            suppliers: number("s_suppkey) from supplier").await?,
            parts: number("p_partkey) from part").await?,
            couples: i64::from(GROUPS) * COUPLES_PER_GROUP as i64,
            old_key_max: number("o_orderkey) from orders where o_orderkey < 1000000000").await?,
            first_key: (1_000_000_000 / clients + 1) * clients,
            money: 0,
        };
        books.money = amount(session, &books.money_sum()).await?;
        Ok(books)
    }

    fn money_sum(&self) -> String {
        format!("select ({}) + ({}) + ({})", MONEY[0], MONEY[1], MONEY[2])
    }

    fn orders_sum(&self) -> String {
        format!("select coalesce(sum(o_totalprice), 0) from orders where o_orderkey >= {}", self.first_key)
    }

    fn lines_sum(&self) -> String {
        format!("select coalesce(sum(l_extendedprice), 0) from lineitem where l_orderkey >= {}", self.first_key)
    }

    /// Each sum in one statement: at READ COMMITTED a snapshot of its own.
    pub(super) async fn check_statements(&self, session: &Session) -> Result<(), Failure> {
        self.expect("money", amount(session, &self.money_sum()).await?, self.money)?;
        let both = format!("select ({}) - ({})", self.orders_sum(), self.lines_sum());
        self.expect("orders less their lines", amount(session, &both).await?, 0)?;
        let all = amount(session, "select sum(a_balance) from account").await?;
        self.expect("all couples", all, i128::from(self.couples) * COUPLE_CENTS)
    }

    /// The sums in several statements, which must be of one transaction at REPEATABLE READ.
    pub(super) async fn check_in_parts(&self, session: &Session) -> Result<(), Failure> {
        let mut money = 0;
        for part in MONEY {
            money += amount(session, part).await?;
        }
        self.expect("money in parts", money, self.money)?;
        let orders = amount(session, &self.orders_sum()).await?;
        self.expect("lines beside their orders", amount(session, &self.lines_sum()).await?, orders)
    }

    /// One couple by two reads by key, which must be of one transaction at REPEATABLE READ, and by a query in between.
    pub(super) async fn check_couple(&self, session: &Session, couple: i64) -> Result<(), Failure> {
        let by_key = async |id: i64| amount(session, &format!("select a_balance from account where a_id = {id}")).await;
        let (left, right) = (by_key(2 * couple).await?, by_key(2 * couple + 1).await?);
        self.expect("a couple by key", left + right, COUPLE_CENTS)?;
        let query = format!("select sum(a_balance) from account where a_id + 0 = {}", 2 * couple);
        self.expect("an account by query", amount(session, &query).await?, left)?;
        self.expect("an account read again", by_key(2 * couple + 1).await?, right)
    }

    /// Everything that can be asked while nobody writes: the sums, each couple, each order, each transaction whole.
    /// `markers` is the last committed number of each client, `orders` how many new orders each has.
    pub(super) async fn check_all(&self, session: &Session, markers: &[i64], orders: &[usize]) -> Result<(), Failure> {
        self.check_statements(session).await?;
        for couple in (0..self.couples).step_by(500) {
            self.check_couple(session, couple).await?;
        }
        let first = self.first_key;
        let none = [
            (
                "broken couples",
                "select count(*) from account a join account b on b.a_id = a.a_id + 1 \
                 where a.a_id % 2 = 0 and a.a_balance + b.a_balance <> 2000.00"
                    .to_owned(),
            ),
            (
                "transactions without all their journal rows",
                "select count(*) from marker left join \
                 (select j_client, j_seq, count(*) as n from journal group by j_client, j_seq) j \
                 on j_client = m_client and j_seq = m_seq where m_lines <> coalesce(n, 0)"
                    .to_owned(),
            ),
            (
                "orders without all their lines",
                format!(
                    "select count(*) from orders left join (select l_orderkey, sum(l_extendedprice) as lines from lineitem \
                     where l_orderkey >= {first} group by l_orderkey) l on l_orderkey = o_orderkey \
                     where o_orderkey >= {first} and o_totalprice <> coalesce(lines, 0)"
                ),
            ),
        ];
        for (what, sql) in none {
            self.expect(what, amount(session, &sql).await?, 0)?;
        }
        let lines = amount(session, "select coalesce(sum(m_lines), 0) from marker").await?;
        self.expect("journal rows", amount(session, "select count(*) from journal").await?, lines)?;
        for (client, (marker, orders)) in markers.iter().zip(orders).enumerate() {
            let of = |what: &str| format!("select coalesce({what}, 0) from marker where m_client = {client}");
            let marker = i128::from(*marker) * 100;
            self.expect(&format!("transactions of client {client}"), amount(session, &of("count(*)")).await?, marker)?;
            self.expect(&format!("the last transaction of client {client}"), amount(session, &of("max(m_seq)")).await?, marker)?;
            let entered =
                format!("select count(*) from orders where o_orderkey >= {first} and o_orderkey % {} = {client}", self.clients);
            self.expect(&format!("new orders of client {client}"), amount(session, &entered).await?, *orders as i128 * 100)?;
        }
        Ok(())
    }

    fn expect(&self, what: &str, found: i128, expected: i128) -> Result<(), Failure> {
        if found == expected {
            return Ok(());
        }
        let shown = |cents: i128| format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        Err(format!("broken invariant: {what} is {}, it must be {}", shown(found), shown(expected)).into())
    }
}

/// A number in hundredths.
async fn amount(session: &Session, sql: &str) -> Result<i128, Failure> {
    let text = session.text_value(sql, sql).await?;
    cents(&text).ok_or_else(|| format!("{sql}: {text:?} is not an amount").into())
}
