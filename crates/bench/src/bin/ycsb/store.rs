//! What a workload does to a table, and the places the table can be in: a server over the wire, a Colonnade directory in this process,
//! an SQLite file.
//!
//! ```text
//!   usertable (ycsb_key text primary key, field0 text .. field9 text)      ten fields of 100 characters
//! ```
//!
//! 1. Each call is a transaction of its own, durable when it returns.
//! 2. Statements are prepared once a connection. A read fetches all fields, an update writes one.

use std::error::Error;
use std::fmt::Write as _;

use bench::Progress;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::keys::key_of;

/// Fields of a record, and characters of each.
pub(crate) const FIELDS: usize = 10;
const FIELD_CHARS: usize = 100;
/// Text that fields are cut from.
const POOL_CHARS: usize = 64 * 1024;

pub(crate) const DROP: &str = "drop table if exists usertable";
pub(crate) const COUNT: &str = "select count(*) from usertable";

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A connection that makes the table and fills it; its calls block.
pub(crate) trait Store: Send {
    /// Runs a statement that gives no rows.
    fn run(&mut self, sql: &str) -> Result<(), Failure>;
    /// The one number that a query gives.
    fn number(&mut self, sql: &str) -> Result<u64, Failure>;
    /// Inserts records by the fastest way there is.
    fn load(&mut self, records: std::ops::Range<u64>, fields: &mut Fields, progress: &Progress) -> Result<(), Failure>;
}

/// A client's connection with its statements prepared. Only one over the wire ever waits.
pub(crate) trait Records {
    /// Reads a record. True if it is there.
    async fn read(&mut self, key: &str) -> Result<bool, Failure>;
    /// Writes a field of a record. True if it is there.
    async fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure>;
    /// Inserts a record.
    async fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure>;
    /// Reads up to `count` records in key order, from `key` on. How many there were.
    async fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure>;
}

/// The statements, in the two ways parameters are written.
pub(crate) struct Sql {
    pub(crate) create: String,
    pub(crate) read: String,
    pub(crate) update: [String; FIELDS],
    pub(crate) insert: String,
    pub(crate) scan: String,
}

impl Sql {
    /// With `mark` before a parameter's number: `$` or `?`.
    pub(crate) fn new(mark: char) -> Sql {
        let fields: Vec<String> = (0..FIELDS).map(|field| format!("field{field}")).collect();
        let (columns, definitions) = (fields.join(", "), fields.join(" text not null, "));
        let values: Vec<String> = (1..=FIELDS + 1).map(|number| format!("{mark}{number}")).collect();
        Sql {
            create: format!("create table usertable (ycsb_key text not null primary key, {definitions} text not null)"),
            read: format!("select {columns} from usertable where ycsb_key = {mark}1"),
            update: std::array::from_fn(|field| format!("update usertable set field{field} = {mark}2 where ycsb_key = {mark}1")),
            insert: format!("insert into usertable (ycsb_key, {columns}) values ({})", values.join(", ")),
            scan: format!("select ycsb_key, {columns} from usertable where ycsb_key >= {mark}1 order by ycsb_key limit {mark}2"),
        }
    }
}

/// The statements as a connection has prepared them.
pub(crate) struct Statements<S> {
    pub(crate) read: S,
    pub(crate) update: Vec<S>,
    pub(crate) insert: S,
    pub(crate) scan: S,
}

impl<S> Statements<S> {
    /// Parameters are written `$1`, `$2`, ... Errors: those of `prepare`.
    pub(crate) async fn prepare(mut prepare: impl AsyncFnMut(&str) -> Result<S, Failure>) -> Result<Statements<S>, Failure> {
        let sql = Sql::new('$');
        let mut update = Vec::with_capacity(FIELDS);
        for sql in &sql.update {
            update.push(prepare(sql).await?);
        }
        let read = prepare(&sql.read).await?;
        Ok(Statements { read, update, insert: prepare(&sql.insert).await?, scan: prepare(&sql.scan).await? })
    }
}

/// Values for fields: pieces of random text.
pub(crate) struct Fields {
    pool: String,
    rng: StdRng,
}

impl Fields {
    pub(crate) fn new(seed: u64) -> Fields {
        let mut rng = StdRng::seed_from_u64(seed);
        let pool = (0..POOL_CHARS).map(|_| char::from(rng.sample(rand::distr::Alphanumeric))).collect();
        Fields { pool, rng }
    }

    /// One value.
    pub(crate) fn value(&mut self) -> &str {
        let from = self.rng.random_range(0..POOL_CHARS - FIELD_CHARS);
        &self.pool[from..from + FIELD_CHARS]
    }

    /// A record's values.
    pub(crate) fn values(&mut self) -> [&str; FIELDS] {
        let starts: [usize; FIELDS] = std::array::from_fn(|_| self.rng.random_range(0..POOL_CHARS - FIELD_CHARS));
        starts.map(|from| &self.pool[from..from + FIELD_CHARS])
    }
}

/// Records as text for COPY, about 64 KB at a time, with how many there are.
pub(crate) fn copy_chunks(records: std::ops::Range<u64>, fields: &mut Fields) -> impl Iterator<Item = (String, u64)> + '_ {
    let mut next = records.start;
    std::iter::from_fn(move || {
        let (first, mut chunk) = (next, String::with_capacity(66 * 1024));
        while next < records.end && chunk.len() < 64 * 1024 {
            chunk.push_str(&key_of(next));
            for value in fields.values() {
                write!(chunk, "\t{value}").expect("writing to a string does not fail");
            }
            chunk.push('\n');
            next += 1;
        }
        (next > first).then_some((chunk, next - first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_every_record_once_with_ten_fields() {
        let mut fields = Fields::new(1);
        let mut keys = Vec::new();
        for (chunk, count) in copy_chunks(5..505, &mut fields) {
            let lines: Vec<Vec<&str>> = chunk.lines().map(|line| line.split('\t').collect()).collect();
            assert_eq!(lines.len() as u64, count);
            assert!(
                lines.iter().all(|line| line.len() == FIELDS + 1 && line[1..].iter().all(|value| value.len() == FIELD_CHARS))
            );
            keys.extend(lines.iter().map(|line| line[0].to_owned()));
        }
        assert_eq!(keys, (5..505).map(key_of).collect::<Vec<_>>());
    }

    #[test]
    fn statements_number_their_parameters() {
        let sql = Sql::new('$');
        assert!(sql.insert.ends_with("values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"), "{}", sql.insert);
        assert_eq!(sql.update[9], "update usertable set field9 = $2 where ycsb_key = $1");
        assert!(sql.create.ends_with("field8 text not null, field9 text not null)"), "{}", sql.create);
    }
}
