//! A simulated machine with one table: `k bigint primary key, v bigint`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use catalog::{Column, Edit, PrimaryKey, Table};
use engine::{Begin, Change, Engine, EngineError, Inserted, Isolation, Modified, Options, Transaction};
use env::{Env, File, Job, JobHandle, Lock, OpenMode, Priority, Signal, SimEnv};
use parking_lot::Mutex;
use types::{ColumnId, Datum, Key, Oid, Row, RowLayout, SchemaId, SqlType, TableId, arrow_form};

pub(crate) struct Machine {
    pub(crate) env: Arc<SimEnv>,
    pub(crate) options: Options,
    engine: Option<Arc<Engine>>,
    table: Arc<Table>,
}

/// A simulated machine that does something else first when a file gets a second name.
pub(crate) struct AtLink {
    pub(crate) inner: Arc<SimEnv>,
    pub(crate) first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Env for AtLink {
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(first) = self.first.lock().take() {
            first();
        }
        self.inner.link(from, to)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.inner.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.inner.unlink(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
    fn now_micros(&self) -> i64 {
        self.inner.now_micros()
    }
    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
    fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.fill_random(bytes);
    }
    fn spawn(&self, name: &str, priority: Priority, job: Box<dyn Job>) -> Arc<dyn JobHandle> {
        self.inner.spawn(name, priority, job)
    }
    fn signal(&self) -> Arc<dyn Signal> {
        self.inner.signal()
    }
}

/// No background work but what a test asks for.
pub(crate) fn by_hand() -> Options {
    Options { maintenance: false, load_threads: 1, wal_file_bytes: 64 << 10, ..Options::default() }
}

pub(crate) fn dir() -> &'static Path {
    Path::new("/db")
}

pub(crate) fn definition(id: u32) -> Table {
    let column = |id: u16, name: &str| Column {
        id: ColumnId(id),
        name: name.into(),
        data_type: SqlType::Int8,
        not_null: id == 1,
        default: None,
        identity: None,
        generated: None,
    };
    Table {
        id: TableId(id),
        schema: SchemaId(2200),
        name: format!("t{id}"),
        columns: vec![column(1, "k"), column(2, "v")],
        primary_key: Some(PrimaryKey { id: Oid(id + 1), name: format!("t{id}_pkey"), columns: vec![0] }),
        ..Table::default()
    }
}

impl Machine {
    pub(crate) fn new(options: Options) -> Machine {
        Machine::with_seed(1, options)
    }

    pub(crate) fn with_seed(seed: u64, options: Options) -> Machine {
        let env = SimEnv::new(seed);
        let engine = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), options.clone()).unwrap();
        let mut machine = Machine { env, options, table: Arc::new(definition(1)), engine: Some(engine) };
        machine.table = machine.create_another_table().unwrap();
        machine
    }

    /// One more table of the same columns.
    pub(crate) fn create_another_table(&self) -> Result<Arc<Table>, EngineError> {
        let mut transaction = self.begin();
        let id = transaction.new_oid();
        transaction.new_oid();
        let table = definition(id);
        transaction.edit_catalog(Edit::CreateTable(table.clone()))?;
        transaction.commit()?.wait()?;
        Ok(Arc::new(table))
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn table(&self) -> TableId {
        self.table.id
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.begin_as(Isolation::ReadCommitted)
    }

    pub(crate) fn begin_as(&self, isolation: Isolation) -> Transaction {
        let lock_timeout = Some(Duration::ZERO);
        let mut transaction = self.engine().begin(Begin { isolation, lock_timeout, ..Begin::default() });
        transaction.begin_statement();
        transaction
    }

    /// The process is killed and the directory opened again.
    pub(crate) fn kill(&mut self) -> Result<(), EngineError> {
        self.env = self.env.process_kill();
        self.open()
    }

    /// The process is killed, and the power fails in the middle of the next opening, after so many calls that change the disk.
    pub(crate) fn kill_and_lose_power_in_recovery(&mut self, calls: u64) -> Result<(), EngineError> {
        self.env = self.env.process_kill();
        self.env.set_crash_at(calls);
        drop(self.open());
        self.lose_power()
    }

    /// The power fails and the directory is opened again.
    pub(crate) fn lose_power(&mut self) -> Result<(), EngineError> {
        self.env = self.env.power_loss();
        self.open()
    }

    fn open(&mut self) -> Result<(), EngineError> {
        self.engine = None;
        self.engine = Some(Engine::open(Arc::clone(&self.env) as Arc<dyn Env>, dir(), self.options.clone())?);
        Ok(())
    }

    pub(crate) fn key(&self, k: i64) -> Key {
        self.table.key_from(&[Datum::Int8(k)])
    }

    fn layout(&self) -> RowLayout {
        RowLayout::new(&self.table.stored_types())
    }

    pub(crate) fn row(&self, k: i64, v: i64) -> Row {
        self.layout().encode(&[Datum::Int8(k), Datum::Int8(v)])
    }

    pub(crate) fn insert(&self, transaction: &mut Transaction, k: i64, v: i64) -> Result<Inserted, EngineError> {
        transaction.begin_statement();
        transaction.insert(self.table(), &self.row(k, v))
    }

    pub(crate) fn update(&self, transaction: &mut Transaction, k: i64, v: i64) -> Result<Modified, EngineError> {
        transaction.begin_statement();
        transaction.modify(self.table(), &self.key(k), &mut |_| Ok(Change::Put(self.row(k, v))))
    }

    pub(crate) fn delete(&self, transaction: &mut Transaction, k: i64) -> Result<Modified, EngineError> {
        transaction.begin_statement();
        transaction.modify(self.table(), &self.key(k), &mut |_| Ok(Change::Delete))
    }

    pub(crate) fn get(&self, transaction: &mut Transaction, k: i64) -> Option<i64> {
        transaction.begin_statement();
        let row = transaction.get(self.table(), &self.key(k)).unwrap()?;
        match self.layout().read(&row).get(1).to_owned() {
            Datum::Int8(v) => Some(v),
            other => panic!("{other:?} is no bigint"),
        }
    }

    /// Loads rows straight into a segment.
    pub(crate) fn load(&self, transaction: &mut Transaction, rows: &[(i64, i64)]) -> Result<u64, EngineError> {
        transaction.begin_statement();
        let mut bulk = transaction.bulk(self.table())?;
        let fields = self.table.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, !c.not_null));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let keys = Int64Array::from_iter_values(rows.iter().map(|(k, _)| *k));
        let values = Int64Array::from_iter_values(rows.iter().map(|(_, v)| *v));
        bulk.append(&RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(values)]).unwrap())?;
        bulk.finish(transaction)
    }

    /// Does `work` in a transaction of its own and waits until it is durable.
    pub(crate) fn commit(&self, work: impl FnOnce(&mut Transaction)) {
        let mut transaction = self.begin();
        work(&mut transaction);
        transaction.commit().unwrap().wait().unwrap();
    }

    /// All rows, by scan; each key once, and found by key too.
    pub(crate) fn rows(&self) -> BTreeMap<i64, i64> {
        let mut transaction = self.begin();
        self.rows_of(&mut transaction)
    }

    /// As [`Machine::rows`], as a transaction sees them.
    pub(crate) fn rows_of(&self, transaction: &mut Transaction) -> BTreeMap<i64, i64> {
        transaction.begin_statement();
        let view = transaction.read_view().table(self.table()).unwrap();
        let mut rows = BTreeMap::new();
        let mut add = |k: i64, v: i64| assert!(rows.insert(k, v).is_none(), "key {k} is there twice");
        for batch in view.delta(&[0, 1], false, 1000) {
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
            column(0).into_iter().zip(column(1)).for_each(|(k, v)| add(k, v));
        }
        for live in view.segments() {
            let mut position = 0;
            for group in 0..live.segment.groups().len() {
                let arrays = live.segment.read_group(group, &[0, 1]).unwrap();
                let column = |at: usize| arrays[at].as_primitive::<Int64Type>().values().to_vec();
                for (k, v) in column(0).into_iter().zip(column(1)) {
                    if !live.dead.contains(position) {
                        add(k, v);
                    }
                    position += 1;
                }
            }
        }
        for (k, v) in &rows {
            assert_eq!(self.get(transaction, *k), Some(*v), "key {k} by scan and by key");
        }
        rows
    }

    /// The names in the table's folder.
    pub(crate) fn files(&self) -> Vec<String> {
        self.env.list(&dir().join("data").join(self.table().to_string())).unwrap()
    }
}
