//! Sequences: counters that transactions share and that no rollback takes back.
//!
//! ```text
//! nextval ---> counter in memory: 4, 5, 6 ...                        given at once, to whoever asks
//!                 |  commit or rollback of a transaction that took some
//!                 v
//!              log record: counter, how far it is, its tick          replay: the record with the highest tick counts
//! ```
//!
//! 1. A counter is written down with the end of each transaction that took a value of it, whether that commits or not. So a value that
//!    was acknowledged is never given again; values of a transaction that a crash ended may be.
//! 2. Transactions end in another order than they took values: the tick, one more with each change of the counter, says which is newer.
//! 3. A counter without a record is at its sequence's first value. It is named by the sequence's storage, which RESTART replaces: that
//!    is how a restart is undone.
//!
//! Not here: what sequences there are (`catalog`). Source: PostgreSQL 15 `sequence.c`, for the values and for the errors.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use catalog::{Catalog, Sequence};
use parking_lot::{Mutex, RwLock};
use types::{SqlError, SqlState, TableId};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::redo;

/// How far a sequence has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last value that was given, or the first that will be.
    pub value: i64,
    /// Whether `value` has been given.
    pub called: bool,
}

/// A position as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    /// Changes so far.
    pub(crate) tick: u64,
    pub(crate) at: Position,
}

/// Of a stored counter: storage u32, tick u64, value i64, called u8.
pub(crate) const COUNTER_BYTES: usize = 21;

impl Counter {
    pub(crate) fn to_bytes(self, storage: TableId) -> [u8; COUNTER_BYTES] {
        let mut bytes = [0; COUNTER_BYTES];
        bytes[..4].copy_from_slice(&storage.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.tick.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.at.value.to_le_bytes());
        bytes[20] = u8::from(self.at.called);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; COUNTER_BYTES]) -> (TableId, Counter) {
        let long = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        let storage = u32::from_le_bytes(std::array::from_fn(|at| bytes[at]));
        let at = Position { value: i64::from_le_bytes(long(12)), called: bytes[20] != 0 };
        (TableId(storage), Counter { tick: u64::from_le_bytes(long(4)), at })
    }
}

/// The counters that have a position of their own, by storage.
#[derive(Default)]
pub(crate) struct Counters(RwLock<HashMap<TableId, Arc<Mutex<Counter>>>>);

impl Counters {
    fn of(&self, sequence: &Sequence) -> Arc<Mutex<Counter>> {
        if let Some(counter) = self.0.read().get(&sequence.storage) {
            return Arc::clone(counter);
        }
        let new = Counter { tick: 0, at: Position { value: sequence.first, called: false } };
        Arc::clone(self.0.write().entry(sequence.storage).or_insert_with(|| Arc::new(Mutex::new(new))))
    }

    /// Takes over what a manifest or a record says, unless something newer is known.
    pub(crate) fn recover(&self, storage: TableId, stored: Counter) {
        let mut counters = self.0.write();
        let known = counters.entry(storage).or_insert_with(|| Arc::new(Mutex::new(stored)));
        let mut known = known.lock();
        if known.tick < stored.tick {
            *known = stored;
        }
    }

    /// Forgets those of sequences that no catalog has and no transaction in flight uses.
    pub(crate) fn forget(&self, known: &HashSet<TableId>) {
        self.0.write().retain(|storage, counter| known.contains(storage) || Arc::strong_count(counter) > 1);
    }

    /// Those of a catalog's sequences, as a manifest has them.
    pub(crate) fn encode(&self, catalog: &Catalog) -> Vec<u8> {
        let counters = self.0.read();
        let of = |sequence: &Arc<Sequence>| Some((sequence.storage, *counters.get(&sequence.storage)?.lock()));
        catalog.sequences().filter_map(of).flat_map(|(storage, counter)| counter.to_bytes(storage)).collect()
    }

    /// Reads what [`Counters::encode`] wrote. Errors: it is cut.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Counters, String> {
        let (whole, rest) = bytes.as_chunks::<COUNTER_BYTES>();
        if !rest.is_empty() {
            return Err("the list of sequences ends in the middle of one".into());
        }
        let counters = Counters::default();
        whole.iter().map(Counter::from_bytes).for_each(|(storage, counter)| counters.recover(storage, counter));
        Ok(counters)
    }
}

/// The counters a transaction has changed, by storage.
pub(crate) type Touched = BTreeMap<TableId, Arc<Mutex<Counter>>>;

/// Writes down how far they are.
pub(crate) fn write_down(touched: &Touched, out: &mut Vec<u8>) {
    if env::seeded_bug("sequences-not-logged") {
        return;
    }
    for (storage, counter) in touched {
        redo::counter(out, *storage, *counter.lock());
    }
}

/// What a session was given, by sequence: what `currval` and `lastval` answer.
#[derive(Default)]
pub struct Given(Mutex<(HashMap<TableId, i64>, Option<TableId>)>);

impl Given {
    /// The last value of a sequence that the session was given.
    pub fn of(&self, sequence: TableId) -> Option<i64> {
        self.0.lock().0.get(&sequence).copied()
    }

    /// The sequence that gave the session its last value, and the value.
    pub fn last(&self) -> Option<(TableId, i64)> {
        let given = self.0.lock();
        given.1.and_then(|id| Some((id, *given.0.get(&id)?)))
    }

    /// Forgets everything, as DISCARD SEQUENCES does.
    pub fn clear(&self) {
        *self.0.lock() = Default::default();
    }

    fn note(&self, sequence: TableId, value: i64, is_last: bool) {
        let mut given = self.0.lock();
        given.0.insert(sequence, value);
        if is_last {
            given.1 = Some(sequence);
        }
    }
}

/// A transaction's door to sequences, for any thread that works for it.
#[derive(Clone)]
pub struct Sequences {
    pub(crate) engine: Arc<Inner>,
    pub(crate) touched: Arc<Mutex<Touched>>,
    pub(crate) given: Arc<Given>,
    pub(crate) read_only: bool,
}

impl Sequences {
    /// The next value. Errors: 25006, 2200H at the end of a sequence that does not cycle.
    pub fn next(&self, sequence: &Sequence) -> Result<i64, EngineError> {
        self.writable("nextval")?;
        let counter = self.engine.counters.of(sequence);
        let value = {
            let mut counter = counter.lock();
            let value = following(sequence, counter.at)?;
            *counter = Counter { tick: counter.tick + 1, at: Position { value, called: true } };
            value
        };
        self.given.note(sequence.id, value, true);
        self.touched.lock().entry(sequence.storage).or_insert(counter);
        Ok(value)
    }

    /// `setval`: the value that counts as given (`called`), or that comes next. Errors: 25006, 22003 out of the sequence's bounds.
    pub fn set(&self, sequence: &Sequence, at: Position) -> Result<(), EngineError> {
        self.writable("setval")?;
        if !(sequence.min..=sequence.max).contains(&at.value) {
            let bounds = format!("({}..{})", sequence.min, sequence.max);
            let message = format!("setval: value {} is out of bounds for sequence \"{}\" {bounds}", at.value, sequence.name);
            return Err(EngineError::Statement(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)));
        }
        let counter = self.engine.counters.of(sequence);
        {
            let mut counter = counter.lock();
            *counter = Counter { tick: counter.tick + 1, at };
        }
        if at.called {
            self.given.note(sequence.id, at.value, false);
        }
        self.touched.lock().entry(sequence.storage).or_insert(counter);
        Ok(())
    }

    /// Where a sequence is by now.
    pub fn position(&self, sequence: &Sequence) -> Position {
        self.engine.counters.of(sequence).lock().at
    }

    /// What the session was given.
    pub fn given(&self) -> &Given {
        &self.given
    }

    fn writable(&self, function: &str) -> Result<(), EngineError> {
        if self.read_only {
            let message = format!("cannot execute {function}() in a read-only transaction");
            return Err(EngineError::Statement(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message)));
        }
        self.engine.check_open()
    }
}

/// The value after a position.
fn following(sequence: &Sequence, at: Position) -> Result<i64, EngineError> {
    let Sequence { increment, min, max, .. } = *sequence;
    if !at.called {
        return Ok(at.value);
    }
    match at.value.checked_add(increment) {
        Some(next) if (min..=max).contains(&next) => Ok(next),
        _ if sequence.cycle => Ok(if increment > 0 { min } else { max }),
        _ => {
            let (end, bound) = if increment > 0 { ("maximum", max) } else { ("minimum", min) };
            let message = format!("nextval: reached {end} value of sequence \"{}\" ({bound})", sequence.name);
            Err(EngineError::Statement(SqlError::new(SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, message)))
        }
    }
}
