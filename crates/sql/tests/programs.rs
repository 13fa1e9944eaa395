//! Statements made from a seed, run as programs and by a query plan: both must do the same, with rows in the delta, in segments, and in
//! both with changes of the transaction on top.
//!
//! ```text
//! as a program       UPDATE t SET b = 'x' WHERE a = 3
//! by a query plan    UPDATE t SET b = 'x' WHERE a = 3 AND abs(1) = 1       which no program knows
//! ```
//!
//! Further seeds: `SEEDS=1000 cargo test -p sql --test programs`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Client, instance};

/// True, and no row kernel knows it.
const UNKNOWN: &str = "abs(1) = 1";
const STEPS: usize = 60;

struct Random(u64);

impl Random {
    /// Below `n`: splitmix64.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn value(&mut self, column: &str) -> String {
        match column {
            "k" => self.below(12).to_string(),
            "a" | "x" => {
                if self.below(8) == 0 {
                    "NULL".into()
                } else {
                    self.below(9).to_string()
                }
            }
            "s" => format!("'{}'", self.one(&["", "a", "ab", "b", "B"])),
            "b" | "name" => self.one(&["NULL", "''", "'a'", "'ab'", "'zz'"]).into(),
            "c" => {
                if self.below(8) == 0 {
                    "NULL".into()
                } else {
                    format!("{}.{:02}", self.below(4), 25 * self.below(4))
                }
            }
            "d" => format!("date '2024-01-{:02}'", 1 + self.below(9)),
            _ => self.below(20).to_string(),
        }
    }

    /// A condition about the columns of `t`, with its columns under `prefix`.
    fn condition(&mut self, prefix: &str) -> String {
        let mut parts = Vec::new();
        for _ in 0..=self.below(3) {
            let column = self.one(&["k", "k", "s", "a", "a", "b", "c", "d"]);
            let value = self.value(column);
            parts.push(match self.below(8) {
                0..=3 => format!("{prefix}{column} = {value}"),
                4 => format!("{prefix}{column} BETWEEN {value} AND {}", self.value(column)),
                5 => format!("{value} <= {prefix}{column}"),
                other => format!("{prefix}{column} {} {value}", if other == 6 { ">" } else { "<" }),
            });
        }
        parts.join(" AND ")
    }

    fn aggregates(&mut self, prefix: &str) -> String {
        let mut list = Vec::new();
        for _ in 0..=self.below(4) {
            let column = self.one(&["k", "s", "a", "b", "c", "d"]);
            let number = self.one(&["k", "a", "c"]);
            list.push(match self.below(9) {
                0 => "count(*)".to_owned(),
                1 => format!("count({prefix}{column})"),
                2 => format!("count(DISTINCT {prefix}{column})"),
                3 => format!("sum({prefix}{number})"),
                4 => format!("avg({prefix}{number})"),
                5 => format!("min({prefix}{column})"),
                6 => format!("max({prefix}{column})"),
                7 => format!("coalesce(max({prefix}k), -1) + 1"),
                _ => format!("sum(DISTINCT {prefix}{number})"),
            });
        }
        list.join(", ")
    }

    /// A join's FROM, WHERE and the tables' names.
    fn join(&mut self) -> (Vec<&'static str>, String) {
        let condition = self.condition("t.");
        match self.below(5) {
            0 => (vec!["t", "u"], format!("u.id = t.a AND {condition}")),
            1 => (vec!["u", "t"], format!("{condition} AND t.a = u.id AND u.x < {}", self.below(9))),
            2 => (vec!["t", "u"], format!("u.x = t.k AND u.id BETWEEN t.a AND 15 AND {condition}")),
            3 => (vec!["u", "t"], format!("u.id = {} AND t.k = u.x AND t.b = u.name", self.below(20))),
            _ => (vec!["t", "u", "v"], format!("u.id = t.a AND v.id = u.x AND {condition}")),
        }
    }
}

/// The rows as lines, in an order of their own.
async fn answer(client: &mut Client, text: &str) -> Result<Vec<String>, String> {
    let outcome = client.run(text).await.map_err(|error| format!("{} {}", error.state, error.message))?;
    let mut lines: Vec<String> = outcome.rows.iter().map(|row| format!("{row:?}")).collect();
    lines.sort();
    lines.push(outcome.tag);
    Ok(lines)
}

/// What a statement answers, and leaves in the table; it is undone.
async fn effect(client: &mut Client, text: &str) -> (Result<Vec<String>, String>, Vec<String>) {
    client.ok("SAVEPOINT effect").await;
    let answered = answer(client, text).await;
    if answered.is_err() {
        client.ok("ROLLBACK TO effect").await;
    }
    let left = answer(client, "SELECT * FROM t OFFSET 0").await.unwrap();
    client.ok("ROLLBACK TO effect").await;
    (answered, left)
}

async fn is_program(client: &mut Client, text: &str) -> bool {
    client.ok(&format!("EXPLAIN {text}")).await.rows[0][0].as_deref() == Some("Executor: point")
}

fn write(random: &mut Random) -> String {
    let condition = random.condition("");
    let column = random.one(&["a", "b", "c", "d"]);
    let value = random.value(column);
    let returning = random.one(&["", " RETURNING *", " RETURNING k, s, a + 1 AS n"]);
    if random.below(3) == 0 {
        return format!("DELETE FROM t WHERE {condition}{returning}");
    }
    let set = match random.below(3) {
        0 => "a = a + 1".to_owned(),
        1 => format!("{column} = {value}, a = a * 2"),
        _ => format!("{column} = {value}"),
    };
    // No column twice.
    let set = if column == "a" && set.contains(", ") { "a = a * 2".to_owned() } else { set };
    format!("UPDATE t SET {set} WHERE {condition}{returning}")
}

async fn seed(seed: u64) -> [usize; 3] {
    let (instance, _dir) = instance();
    let mut client = Client::new(&instance);
    let mut random = Random(seed);
    for text in [
        "CREATE TABLE t (k int, s text, a int, b text, c numeric(8,2), d date, PRIMARY KEY (k, s))",
        "CREATE INDEX t_a ON t (a, b)",
        "CREATE INDEX t_c ON t (c DESC NULLS LAST, d)",
        "CREATE UNIQUE INDEX t_d ON t (d, k, s)",
        "CREATE TABLE u (id bigint PRIMARY KEY, x smallint, name varchar(5))",
        "CREATE INDEX u_x ON u (x)",
        "CREATE TABLE v (id smallint PRIMARY KEY, w int UNIQUE)",
        "INSERT INTO v SELECT g, g * 3 FROM generate_series(0, 8) g",
    ] {
        client.ok(text).await;
    }
    for id in 0..20 {
        let (x, name) = (random.value("x"), random.value("name"));
        client.ok(&format!("INSERT INTO u VALUES ({id}, {x}, {name})")).await;
    }
    let mut programs = [0; 3];
    for step in 0..STEPS {
        for _ in 0..4 {
            let values = ["k", "s", "a", "b", "c", "d"].map(|column| random.value(column)).join(", ");
            client.ok(&format!("INSERT INTO t VALUES ({values}) ON CONFLICT DO NOTHING")).await;
        }
        if step % 9 == 5 {
            client.ok("VACUUM").await;
        }
        if step % 4 == 3 {
            let _ = client.run(&write(&mut random)).await;
        }
        client.ok("BEGIN").await;
        // Changes of its own.
        if random.below(2) == 0 {
            client.ok(&format!("UPDATE t SET b = 'own', a = 3 WHERE k = {} AND {UNKNOWN}", random.below(12))).await;
            client.ok(&format!("DELETE FROM t WHERE k = {} AND {UNKNOWN}", random.below(12))).await;
        }
        let written = write(&mut random);
        let general = match written.split_once(" RETURNING") {
            Some((head, tail)) => format!("{head} AND {UNKNOWN} RETURNING{tail}"),
            None => format!("{written} AND {UNKNOWN}"),
        };
        assert!(!is_program(&mut client, &general).await, "{general}");
        programs[0] += usize::from(is_program(&mut client, &written).await);
        assert_eq!(
            effect(&mut client, &written).await,
            effect(&mut client, &general).await,
            "seed {seed}, step {step}: {written}"
        );

        let (condition, list) = (random.condition(""), random.aggregates(""));
        let of_one = format!("SELECT {list} FROM t WHERE {condition}");
        let general = format!("{of_one} AND {UNKNOWN}");
        programs[1] += usize::from(is_program(&mut client, &of_one).await);
        let expected = answer(&mut client, &general).await;
        assert_eq!(answer(&mut client, &of_one).await, expected, "seed {seed}, step {step}: {of_one}");

        let (tables, condition) = random.join();
        let list = if random.below(2) == 0 { random.aggregates("t.") } else { "t.k, t.s, u.id, name, a + u.id AS n".to_owned() };
        let joined = format!("SELECT {list} FROM {} WHERE {condition}", tables.join(", "));
        let general = format!("{joined} AND {UNKNOWN}");
        programs[2] += usize::from(is_program(&mut client, &joined).await);
        let expected = answer(&mut client, &general).await;
        assert_eq!(answer(&mut client, &joined).await, expected, "seed {seed}, step {step}: {joined}");
        client.ok("ROLLBACK").await;
    }
    programs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_do_what_query_plans_do() {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut programs = [0; 3];
    for at in 0..seeds {
        programs.iter_mut().zip(seed(at).await).for_each(|(sum, n)| *sum += n);
    }
    let few = STEPS * seeds as usize / 4;
    assert!(programs.iter().all(|n| *n > few), "too few statements were programs: {programs:?} of {}", STEPS * seeds as usize);
}

#[allow(dead_code, reason = "the driver uses all of it")]
#[path = "../../../tpcc/src/statements.rs"]
mod tpcc;

/// Of YCSB and of pgbench.
const LOOKUPS: [&str; 12] = [
    "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88))",
    "CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84))",
    "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))",
    "CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
    "CREATE TABLE usertable (ycsb_key text PRIMARY KEY, field0 text, field1 text)",
    "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
    "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
    "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
    "SELECT * FROM usertable WHERE ycsb_key = $1",
    "UPDATE usertable SET field1 = $2 WHERE ycsb_key = $1",
    "INSERT INTO usertable VALUES ($1, $2, $3)",
    "SELECT * FROM usertable WHERE ycsb_key >= $1 ORDER BY ycsb_key LIMIT $2",
];

#[tokio::test]
async fn the_statements_of_oltp_benchmarks_are_programs() {
    let (instance, _dir) = instance();
    let mut client = Client::new(&instance);
    client.ok(include_str!("../../../tpcc/schema.sql")).await;
    client.ok(include_str!("../../../tpcc/indexes.sql")).await;
    let (tables, lookups): (Vec<&str>, Vec<&str>) = LOOKUPS.iter().partition(|text| text.starts_with("CREATE"));
    for text in tables {
        client.ok(text).await;
    }
    let all = tpcc::all();
    let is_locking = |text: &&&str| text.ends_with("for update");
    let of_rows = all.iter().filter(|text| ![tpcc::BEGIN, tpcc::COMMIT].contains(text)).filter(|text| !is_locking(text));
    for text in of_rows.chain(&lookups) {
        let statement = client.session.parse(&format!("EXPLAIN {text}")).unwrap().remove(0);
        let prepared = client.session.prepare(&statement, &[]).unwrap();
        let answer = client.session.execute(&prepared, vec![types::Datum::Null; prepared.params.len()]).await.unwrap();
        let lines = client.pull(answer, &[]).await.unwrap().rows;
        assert_eq!(lines[0][0].as_deref(), Some("Executor: point"), "{text}");
        client.session.finish_implicit().await.unwrap();
    }
}
