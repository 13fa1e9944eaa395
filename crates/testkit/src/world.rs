//! A simulated machine with an engine on it, its clients and the model they are checked against.

use std::path::Path;
use std::sync::Arc;

use catalog::{Edit, Table};
use engine::{
    Begin, Change, Commit, Engine, EngineError, Inserted, Isolation, Modified, Options, ReadView, Savepoint, Transaction,
};
use env::SimEnv;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use types::{CommitTs, Datum, Key};

use crate::model::{Changes, Ended, Model, State, apply, difference};
use crate::ranges::{HeldRange, Wish};
use crate::reading::{Reading, read_everything};
use crate::tables::{self, KINDS, Kind};

/// How a machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends, what it wrote stays.
    Kill,
    /// What was not synced is lost, torn or garbled.
    PowerLoss,
}

/// Clients with a transaction each at most.
const CLIENTS: usize = 5;
/// Keys of a table: few, so that transactions meet.
const KEYS: i64 = 60;

struct Client {
    transaction: Transaction,
    isolation: Isolation,
    changes: Changes,
    ended: Ended,
    savepoints: Vec<(Savepoint, Changes, Ended)>,
}

/// A simulated machine and what should be on it.
pub struct World {
    seed: u64,
    random: SmallRng,
    env: Arc<SimEnv>,
    engine: Option<Arc<Engine>>,
    tables: Vec<Arc<Table>>,
    clients: Vec<Option<Client>>,
    committing: Vec<Commit>,
    views: Vec<(Arc<ReadView>, Arc<State>)>,
    ranges: Vec<HeldRange>,
    model: Model,
    amount: i64,
    rowids: Vec<Key>,
    steps: u64,
}

/// Limits so small that every background path runs all the time.
fn options() -> Options {
    Options {
        delta_bytes_max: 32 << 10,
        cache_bytes_max: 256 << 10,
        checkpoint_wal_bytes: 8 << 10,
        freeze_rows_min: 16,
        segment_rows: 48,
        compact_overlap: 3,
        load_threads: 3,
        wal_file_bytes: 64 << 10,
        wal_buffer_bytes: 1 << 20,
        reserve_bytes: 64 << 10,
        dead_rows_inline_max: 24,
        ..Options::default()
    }
}

fn dir() -> &'static Path {
    Path::new("/db")
}

impl World {
    /// A new machine with the workload's tables.
    pub fn new(seed: u64) -> World {
        let env = SimEnv::new(seed);
        let engine = Engine::open(Arc::clone(&env) as Arc<dyn env::Env>, dir(), options()).expect("open a new directory");
        let mut world = World {
            seed,
            random: SmallRng::seed_from_u64(seed ^ 0x5EED),
            env,
            engine: Some(engine),
            tables: Vec::new(),
            clients: (0..CLIENTS).map(|_| None).collect(),
            committing: Vec::new(),
            views: Vec::new(),
            ranges: Vec::new(),
            model: Model::new(CommitTs::ZERO),
            amount: 0,
            rowids: Vec::new(),
            steps: 0,
        };
        let mut transaction = world.engine().begin(Begin::default());
        transaction.begin_statement();
        for number in 0..KINDS.len() {
            let id = transaction.new_oid();
            transaction.new_oid();
            let table = tables::definition(number, id);
            transaction.edit_catalog(Edit::CreateTable(table.clone())).expect("create a table");
            world.tables.push(Arc::new(table));
        }
        let commit = transaction.commit().expect("commit the tables");
        let ts = commit.ts().expect("it changed something");
        commit.wait().expect("the tables are durable");
        world.model = Model::new(ts);
        world
    }

    fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().expect("the machine runs")
    }

    /// The simulated machine, to set faults on.
    pub fn env(&self) -> &Arc<SimEnv> {
        &self.env
    }

    fn fail(&self, what: &str) -> ! {
        panic!("seed {} step {}: {what}", self.seed, self.steps);
    }

    /// Does something. False if that has failed, as it may: because of a fault, or once the machine has stopped or the database takes
    /// no writes any more.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        let stopped = match self.random.random_range(0..100) {
            0..70 => {
                let client = self.random.random_range(0..CLIENTS);
                self.act(client)
            }
            70..80 => {
                let steps = self.random.random_range(1..6);
                self.env.run_jobs(steps);
                Ok(())
            }
            80..86 => self.look(),
            86..92 => {
                self.hold_view();
                Ok(())
            }
            92..94 => self.engine().merge(None).map(drop),
            94..95 => self.engine().checkpoint(),
            95..97 => {
                // Time passes: rows get cold.
                for _ in 0..8 {
                    self.env.run_jobs(1);
                }
                Ok(())
            }
            _ => self.bulk(),
        };
        self.collect_acknowledgements();
        match stopped {
            Ok(()) => true,
            Err(error) if self.env.has_crashed() || self.is_expected_failure(&error) => false,
            Err(error) => self.fail(&format!("unexpected error: {error:?}")),
        }
    }

    /// Errors that an injected fault explains.
    fn is_expected_failure(&self, error: &EngineError) -> bool {
        matches!(error, EngineError::Closed(_) | EngineError::Io { .. })
            || matches!(error, EngineError::Wal(_) | EngineError::Segment(_)) && error.kind() != types::Kind::Corrupt
    }

    /// One statement of one client, or the begin or end of its transaction.
    fn act(&mut self, client: usize) -> Result<(), EngineError> {
        let Some(mut state) = self.clients[client].take() else {
            let isolation = if self.random.random_bool(0.3) { Isolation::RepeatableRead } else { Isolation::ReadCommitted };
            let begin = Begin { isolation, lock_timeout: Some(std::time::Duration::ZERO), ..Begin::default() };
            let transaction = self.engine().begin(begin);
            let (changes, ended, savepoints) = (Changes::new(), Ended::new(), Vec::new());
            self.clients[client] = Some(Client { transaction, isolation, changes, ended, savepoints });
            return Ok(());
        };
        match self.random.random_range(0..20) {
            0..2 => {
                let changes = state.changes;
                let how = self.random.random_range(0..5);
                let commit = match how {
                    0 => state.transaction.commit_later()?,
                    1 | 2 => state.transaction.commit_here()?,
                    _ => state.transaction.commit()?,
                };
                match commit.ts() {
                    Some(ts) => {
                        self.model.commit(ts, &changes, &state.ended);
                        // One that is not waited for may be lost, unless a later one that is has been acknowledged.
                        if how > 0 {
                            self.committing.push(commit);
                        }
                    }
                    None if changes.is_empty() => {}
                    None => self.fail("a transaction with changes committed nothing"),
                }
                return Ok(());
            }
            2 => return Ok(()), // rolled back by being dropped
            3 => {
                state.savepoints.push((state.transaction.savepoint(), state.changes.clone(), state.ended.clone()));
            }
            4 => {
                if let Some((savepoint, changes, ended)) = state.savepoints.pop() {
                    state.transaction.rollback_to(&savepoint);
                    state.changes = changes;
                    state.ended = ended;
                }
            }
            5 => self.check_own(&mut state)?,
            _ => {
                let before = state.transaction.savepoint();
                match self.write(&mut state) {
                    Ok(()) => {}
                    Err(EngineError::LockTimeout | EngineError::Conflict(_) | EngineError::Deadlock(_)) => {
                        if state.isolation == Isolation::RepeatableRead {
                            return Ok(()); // rolled back by being dropped
                        }
                        state.transaction.rollback_to(&before);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.clients[client] = Some(state);
        Ok(())
    }

    fn some_key(&mut self, number: usize) -> Option<(Key, Vec<Datum>)> {
        let table = &self.tables[number];
        if KINDS[number] == Kind::RowId {
            let at = self.random.random_range(0..self.rowids.len().max(1));
            return self.rowids.get(at).map(|key| (key.clone(), Vec::new()));
        }
        let values = tables::key_values(number, self.random.random_range(0..KEYS));
        Some((table.key_from(&values), values))
    }

    /// Inserts, updates or deletes a row or two, and checks what it is told.
    fn write(&mut self, client: &mut Client) -> Result<(), EngineError> {
        client.transaction.begin_statement();
        let number = self.random.random_range(0..KINDS.len());
        let table = Arc::clone(&self.tables[number]);
        self.amount += 1;
        let content = tables::content(number, self.amount);
        if self.random.random_bool(0.4) {
            let values = match KINDS[number] {
                Kind::RowId => vec![Datum::Int8(client.transaction.new_rowid(table.id)?)],
                _ => tables::key_values(number, self.random.random_range(0..KEYS)),
            };
            let row = tables::row(&table, number, &values, &content);
            let key = table.key_from(&values);
            let inserted = client.transaction.insert(table.id, &row)?;
            let newest = self.newest_for(client, number, &key);
            match (inserted, newest) {
                (Inserted::Done, None) => {
                    if KINDS[number] == Kind::RowId {
                        self.rowids.push(key.clone());
                    }
                    client.changes.insert((number, key), Some(content));
                }
                (Inserted::Duplicate, Some(_)) => {}
                (told, there) => self.fail(&format!("insert of {key:?} in {number}: {told:?}, but there is {there:?}")),
            }
            return Ok(());
        }
        let Some((key, _)) = self.some_key(number) else { return Ok(()) };
        let delete = self.random.random_bool(0.3);
        let mut seen = None;
        let modified = client.transaction.modify(table.id, &key, &mut |row| {
            let stored = row.to_datums();
            seen = Some(tables::split(&table, number, &stored).1);
            if delete {
                return Ok(Change::Delete);
            }
            let key_len = stored.len() - content.len();
            let mut next = stored[..key_len].to_vec();
            next.extend(content.iter().cloned());
            Ok(Change::Put(types::RowLayout::new(&table.stored_types()).encode(&next)))
        })?;
        let expected = match client.isolation {
            Isolation::ReadCommitted if client.changes.contains_key(&(number, key.clone())) => {
                self.newest_for(client, number, &key)
            }
            Isolation::ReadCommitted => self.model.goes_on(client.transaction.read_view().snapshot_ts(), &(number, key.clone())),
            Isolation::RepeatableRead | Isolation::Serializable => self.snapshot_for(client).get(&(number, key.clone())).cloned(),
        };
        match (modified, &expected) {
            (Modified::Changed, Some(there)) if seen.as_ref() == Some(there) => {
                if delete {
                    client.ended.insert((number, key.clone()));
                }
                client.changes.insert((number, key), (!delete).then_some(content));
            }
            (Modified::NotFound, None) => {}
            _ => self.fail(&format!("modify of {key:?} in {number}: {modified:?} of {seen:?}, but there is {expected:?}")),
        }
        Ok(())
    }

    /// The newest committed row under a key, as a writer that has it locked knows it, with the client's own changes.
    fn newest_for(&self, client: &Client, number: usize, key: &Key) -> Option<tables::Content> {
        let at = (number, key.clone());
        match client.changes.get(&at) {
            Some(own) => own.clone(),
            None => self.model.newest().get(&at).cloned(),
        }
    }

    /// What a client's snapshot sees, with its own changes.
    fn snapshot_for(&self, client: &Client) -> State {
        let view = client.transaction.read_view();
        let mut state = State::clone(&self.model.at(view.snapshot_ts()));
        apply(&mut state, &client.changes);
        state
    }

    /// A client reads everything and finds the committed rows of its snapshot and its own changes, by scan and by key.
    fn check_own(&mut self, client: &mut Client) -> Result<(), EngineError> {
        client.transaction.begin_statement();
        let view = client.transaction.read_view();
        let expected = self.snapshot_for(client);
        self.compare(&view, &expected, "a client's own view")?;
        let wish = Wish::random(&mut self.random, &expected);
        let mut range = HeldRange::new(&wish, &expected, |number, of| client.transaction.range(self.tables[number].id, of))?;
        while self.pull(&mut range)? {}
        let mut keys: Vec<(usize, Key)> = client.changes.keys().cloned().collect();
        for number in 0..KINDS.len() {
            keys.extend(self.some_key(number).map(|(key, _)| (number, key)));
        }
        for (number, key) in keys {
            let table = &self.tables[number];
            let found = client.transaction.get(table.id, &key)?.map(|row| {
                let layout = types::RowLayout::new(&table.stored_types());
                tables::split(table, number, &layout.read(&row).to_datums()).1
            });
            if found != expected.get(&(number, key.clone())).cloned() {
                self.fail(&format!("get of {key:?} in {number} found {found:?}"));
            }
        }
        Ok(())
    }

    /// Takes a view and keeps it over whatever comes.
    fn hold_view(&mut self) {
        if self.views.len() >= 4 {
            let gone = self.random.random_range(0..self.views.len());
            self.views.swap_remove(gone);
        }
        let mut transaction = self.engine().begin(Begin { read_only: true, ..Begin::default() });
        transaction.begin_statement();
        let view = transaction.read_view();
        let state = self.model.at(view.snapshot_ts());
        self.views.push((view, state));
    }

    /// Reads a view that was taken some time ago, or now.
    fn look(&mut self) -> Result<(), EngineError> {
        if self.views.is_empty() || self.random.random_bool(0.3) {
            self.hold_view();
        }
        let at = self.random.random_range(0..self.views.len());
        let (view, state) = (Arc::clone(&self.views[at].0), Arc::clone(&self.views[at].1));
        self.compare(&view, &state, "a held view")?;
        if self.ranges.len() < 4 {
            let wish = Wish::random(&mut self.random, &state);
            let range =
                HeldRange::new(&wish, &state, |number, of| view.table(self.tables[number].id)?.range(of, Arc::default()))?;
            self.ranges.push(range);
        }
        let at = self.random.random_range(0..self.ranges.len());
        let mut range = self.ranges.swap_remove(at);
        if self.pull(&mut range)? {
            self.ranges.push(range);
        }
        Ok(())
    }

    /// Reads some more rows of a range; false at its end.
    fn pull(&mut self, range: &mut HeldRange) -> Result<bool, EngineError> {
        let rows = if self.random.random_bool(0.5) { self.random.random_range(1..5) } else { 50 };
        match range.advance(&self.tables, rows)? {
            Ok(more) => Ok(more),
            Err(what) => self.fail(&what),
        }
    }

    fn compare(&self, view: &ReadView, expected: &State, what: &str) -> Result<(), EngineError> {
        let found = match read_everything(view, &self.tables) {
            Ok(found) => found,
            Err(Reading::Twice(what)) => self.fail(&what),
            Err(Reading::Error(error)) => return Err(error),
        };
        if found != *expected {
            self.fail(&format!("{what} at {}: {}", view.snapshot_ts(), difference(expected, &found)));
        }
        Ok(())
    }

    /// Loads some rows straight into segments, in a transaction of its own.
    fn bulk(&mut self) -> Result<(), EngineError> {
        let number = self.random.random_range(0..KINDS.len());
        let table = Arc::clone(&self.tables[number]);
        let begin = Begin { lock_timeout: Some(std::time::Duration::ZERO), ..Begin::default() };
        let mut transaction = self.engine().begin(begin);
        transaction.begin_statement();
        let mut bulk = match transaction.bulk(table.id) {
            Err(EngineError::LockTimeout) => return Ok(()),
            bulk => bulk?,
        };
        let (mut changes, mut ended) = (Changes::new(), Ended::new());
        let mut rows = Vec::new();
        let mut duplicate = false;
        for _ in 0..self.random.random_range(1..80) {
            self.amount += 1;
            let content = tables::content(number, self.amount);
            match KINDS[number] {
                Kind::RowId => rows.push(content),
                _ => {
                    let values = tables::key_values(number, self.random.random_range(0..KEYS * 4));
                    let key = (number, table.key_from(&values));
                    let careless = self.random.random_bool(0.01);
                    if changes.get(&key).is_some_and(Option::is_some) && !careless {
                        continue;
                    }
                    // The row that is there makes room, in the same transaction.
                    if self.model.newest().contains_key(&key) && !changes.contains_key(&key) && !careless {
                        if self.model.goes_on(transaction.read_view().snapshot_ts(), &key).is_none() {
                            continue;
                        }
                        let deleted = transaction.modify(table.id, &key.1, &mut |_| Ok(Change::Delete))?;
                        if deleted != Modified::Changed {
                            self.fail(&format!("delete of {key:?} before a bulk load: {deleted:?}"));
                        }
                        changes.insert(key.clone(), None);
                        ended.insert(key.clone());
                    }
                    duplicate |= changes.get(&key).is_some_and(Option::is_some)
                        || !changes.contains_key(&key) && self.model.newest().contains_key(&key);
                    rows.push(tables::stored(number, &values, &content));
                    changes.insert(key, Some(content));
                }
            }
        }
        let appended = rows.chunks(33).try_for_each(|part| bulk.append(&tables::batch(&table, part)).map(drop));
        match appended.and_then(|()| bulk.finish(&mut transaction)) {
            Err(EngineError::DuplicateKey { .. }) if duplicate => return Ok(()),
            Err(EngineError::DuplicateKey { key, .. }) => self.fail(&format!("bulk load refused for key {key}")),
            Ok(_) if duplicate => self.fail("bulk load of a key that exists"),
            finished => finished.map(drop)?,
        }
        if KINDS[number] == Kind::RowId {
            // Their row ids are known only now; the rows are told apart by their amounts.
            let view = transaction.read_view();
            let before = self.model.at(view.snapshot_ts());
            let found = read_everything(&view, &self.tables).map_err(|e| match e {
                Reading::Error(error) => error,
                Reading::Twice(what) => EngineError::Bug(what),
            })?;
            changes = found
                .into_iter()
                .filter(|((n, key), _)| *n == number && !before.contains_key(&(number, key.clone())))
                .map(|(key, content)| (key, Some(content)))
                .collect();
            if changes.len() != rows.len() {
                self.fail("a bulk load shows other rows than it loaded");
            }
            self.rowids.extend(changes.keys().map(|(_, key)| key.clone()));
        }
        let isolation = Isolation::ReadCommitted;
        let mut client = Client { transaction, isolation, changes, ended, savepoints: Vec::new() };
        if self.random.random_bool(0.5) {
            self.check_own(&mut client)?;
        }
        if self.random.random_bool(0.2) {
            return Ok(()); // rolled back by being dropped
        }
        let commit = client.transaction.commit()?;
        self.model.commit(commit.ts().expect("rows were loaded"), &client.changes, &client.ended);
        self.committing.push(commit);
        Ok(())
    }

    fn collect_acknowledgements(&mut self) {
        let visible = self.engine().status().visible;
        let mut latest = None;
        self.committing.retain(|commit| {
            let done = commit.ts().is_some_and(|ts| ts <= visible);
            latest = latest.max(commit.ts().filter(|_| done));
            !done
        });
        if let Some(ts) = latest {
            self.model.acknowledge(ts);
        }
        if self.steps.is_multiple_of(256) {
            let oldest = self.engine().status().oldest;
            self.model.forget_before(oldest);
        }
    }

    /// Stops the machine, starts it again, and checks what is there. Returns how many commits survived that nobody was told of, and
    /// how many did not.
    pub fn crash_and_recover(&mut self, crash: Crash) -> (usize, usize) {
        self.views.clear();
        self.ranges.clear();
        let env = match crash {
            Crash::Kill => self.env.process_kill(),
            Crash::PowerLoss => self.env.power_loss(),
        };
        self.clients.iter_mut().for_each(|client| *client = None);
        self.committing.clear();
        self.engine = None;
        self.env = env;
        self.open_and_check()
    }

    /// Opens the directory, with another crash in the middle of recovery now and then.
    fn open_and_check(&mut self) -> (usize, usize) {
        if self.random.random_bool(0.3) {
            let calls = self.random.random_range(1..40);
            self.env.set_crash_at(calls);
            drop(Engine::open(Arc::clone(&self.env) as Arc<dyn env::Env>, dir(), options()));
            self.env = self.env.power_loss();
        }
        let engine = match Engine::open(Arc::clone(&self.env) as Arc<dyn env::Env>, dir(), options()) {
            Ok(engine) => engine,
            Err(error) => self.fail(&format!("recovery failed: {error:?}")),
        };
        let mut transaction = engine.begin(Begin { read_only: true, ..Begin::default() });
        transaction.begin_statement();
        let view = transaction.read_view();
        let found = match read_everything(&view, &self.tables) {
            Ok(found) => found,
            Err(Reading::Twice(what)) => self.fail(&what),
            Err(Reading::Error(error)) => self.fail(&format!("reading after recovery: {error:?}")),
        };
        drop((view, transaction));
        let findings = engine.check().unwrap_or_else(|error| self.fail(&format!("check after recovery: {error:?}")));
        if !findings.is_empty() {
            self.fail(&format!("check after recovery: {findings:?}"));
        }
        let counts = match self.model.recover(&found) {
            Ok(counts) => counts,
            Err(what) => self.fail(&what),
        };
        // Later commits get later timestamps than any before.
        let visible = engine.status().visible;
        let newest = self.model.newest();
        self.model = Model::new(visible);
        self.model.replace_first(newest);
        self.rowids = found.keys().filter(|(n, _)| KINDS[*n] == Kind::RowId).map(|(_, key)| key.clone()).collect();
        self.engine = Some(engine);
        counts
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // In this order: an engine gives its directory back once nobody uses it.
        self.views.clear();
        self.ranges.clear();
        self.clients.clear();
        self.committing.clear();
        self.engine = None;
    }
}
