//! A small database with every kind of file, and what becomes of it when one of them is not what was written.
//!
//! ```text
//! SmallDatabase::new --copy, put other bytes into one file--> open --> read every table --> write, close, open again --> a verdict
//! ```
//!
//! Right is only: it does not open, or a table cannot be read, with an error that names the file; or every answer is right. A table
//! none of whose files was touched can be read if anything can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catalog::{Edit, Table};
use engine::{Begin, Change, Engine, EngineError, Inserted, Modified, Options};
use env::{Env, OpenMode, SimEnv, read_file};
use types::{Datum, Key, Kind};

use crate::model::{State, difference};
use crate::reading::{Reading, read_table};
use crate::tables::{self, KINDS};

mod damage;

pub use damage::{Damage, Outcome, blocks, flips, judge_all, repair_all, whole_files};

/// What became of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does not open, and says why.
    Refused,
    /// A table cannot be read, wholly or in part, and says why; the others can.
    Refuses,
    /// Every answer is right, and `check` knows of it.
    Found,
    /// Every answer is right, nobody knows of it, and it can be written on.
    Harmless,
}

/// See the module.
pub struct SmallDatabase {
    env: Arc<SimEnv>,
    tables: Vec<Arc<Table>>,
    expected: State,
    older: BTreeMap<PathBuf, Vec<u8>>,
}

fn dir() -> &'static Path {
    Path::new("/db")
}

fn options() -> Options {
    Options { maintenance: false, wal_file_bytes: 16 << 10, wal_buffer_bytes: 1 << 20, load_threads: 1, ..Options::default() }
}

fn open(env: &Arc<SimEnv>, repair: bool) -> Result<Arc<Engine>, EngineError> {
    Engine::open(Arc::clone(env) as Arc<dyn Env>, dir(), Options { create: false, repair, ..options() })
}

impl SmallDatabase {
    /// Rows in segments with deletion vectors of both kinds, in a dump, and in a log of several files; closed.
    pub fn new() -> SmallDatabase {
        SmallDatabase::times(1)
    }

    /// The same with so many times as many rows in segments.
    pub fn times(scale: i64) -> SmallDatabase {
        let env = SimEnv::new(11);
        let engine = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), options()).expect("open a new directory");
        let mut made = SmallDatabase { env, tables: Vec::new(), expected: State::new(), older: BTreeMap::new() };
        let mut transaction = engine.begin(Begin::default());
        transaction.begin_statement();
        for number in 0..KINDS.len() {
            let id = transaction.new_oid();
            transaction.new_oid();
            made.tables.push(Arc::new(tables::definition(number, id)));
            transaction.edit_catalog(Edit::CreateTable(tables::definition(number, id))).expect("create a table");
        }
        transaction.commit().expect("commit the tables").wait().expect("the tables are durable");

        for (number, rows) in [1100, 150, 80].into_iter().enumerate() {
            made.change(&engine, number, &(0..rows * scale).map(|n| (n, Some(n))).collect::<Vec<_>>());
        }
        engine.merge(None).expect("merge");
        engine.pack().expect("pack");
        // More dead rows than a manifest takes in, and few.
        made.change(&engine, 0, &(0..1100 * scale).filter(|n| n % 2 == 1).map(|n| (n, None)).collect::<Vec<_>>());
        made.change(&engine, 1, &(0..30).map(|n| (n * 3, Some(n + 1000))).collect::<Vec<_>>());
        engine.checkpoint().expect("checkpoint");
        made.older = made.files();
        made.change(&engine, 0, &[(2, None), (4, None), (6, Some(7000))]);
        made.change(&engine, 1, &[(1, None), (3, Some(7001))]);
        engine.checkpoint().expect("checkpoint");
        for n in 0..60 {
            let number = n as usize % 3;
            made.change(&engine, number, &[(n % 40, Some(8000 + n)), (n % 40 + 2000, Some(n))]);
        }
        engine.close().expect("close");
        drop(engine);
        made
    }

    /// Gives rows their contents by number; None deletes.
    fn change(&mut self, engine: &Arc<Engine>, number: usize, changes: &[(i64, Option<i64>)]) {
        let table = Arc::clone(&self.tables[number]);
        let mut transaction = engine.begin(Begin::default());
        transaction.begin_statement();
        for &(n, amount) in changes {
            let values = match KINDS[number] {
                tables::Kind::RowId => vec![Datum::Int8(n + 1)],
                _ => tables::key_values(number, n),
            };
            let key: Key = table.key_from(&values);
            let content = amount.map(|amount| tables::content(number, amount));
            let row = content.as_ref().map(|content| tables::row(&table, number, &values, content));
            let there = self.expected.contains_key(&(number, key.clone()));
            if there {
                let modified = transaction.modify(table.id, &key, &mut |_| Ok(row.clone().map_or(Change::Delete, Change::Put)));
                let modified = modified.expect("modify a row");
                assert_eq!(modified, Modified::Changed);
            } else if let Some(row) = &row {
                assert_eq!(transaction.insert(table.id, row).expect("insert a row"), Inserted::Done);
            }
            match content {
                Some(content) => self.expected.insert((number, key), content),
                None => self.expected.remove(&(number, key)),
            };
        }
        transaction.commit().expect("commit").wait().expect("it is durable");
    }

    /// Every file and what is in it.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![dir().to_owned()];
        while let Some(folder) = folders.pop() {
            for name in self.env.list(&folder).expect("list a folder") {
                let path = folder.join(name);
                match read_file(self.env.as_ref(), &path) {
                    Ok(bytes) => drop(found.insert(path, bytes)),
                    Err(_) => folders.push(path),
                }
            }
        }
        found
    }

    /// Files of an earlier moment of the same database, by name.
    pub fn older(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.older
    }

    /// What becomes of the database with `bytes` in the file `path`, or without it. Errors: what is wrong about that.
    pub fn judge(&self, path: &Path, bytes: Option<&[u8]>) -> Result<Verdict, String> {
        let env = self.with(path, bytes);
        let engine = match open(&env, false) {
            Ok(engine) => engine,
            Err(error) => return self.named(path, &error).map(|()| Verdict::Refused),
        };
        let mut refuses = false;
        for (number, table) in self.tables.iter().enumerate() {
            if let Err(error) = self.read(&engine, number)? {
                self.named(path, &error)?;
                if !path.starts_with(dir().join("data").join(table.id.to_string())) {
                    return Err(format!("table {number} cannot be read, whose files are whole: {error}"));
                }
                refuses = true;
            }
        }
        let findings = engine.check().map_err(|error| format!("check: {error}"))?;
        let found = findings.iter().any(|finding| finding.what.contains(name_of(path)));
        if refuses {
            return if found { Ok(Verdict::Refuses) } else { Err(format!("check does not name it: {findings:?}")) };
        }
        if found {
            return Ok(Verdict::Found);
        }
        if !findings.is_empty() {
            return Err(format!("check names others: {findings:?}"));
        }
        self.write_on(engine, &env)?;
        Ok(Verdict::Harmless)
    }

    /// Mends the database with `bytes` in the file `path`, or without it. Returns how many rows are missing, and how many the report
    /// says are lost at most, if it does. Errors: what is wrong: rows that never were, more lost than said, or it is damaged still.
    pub fn repair(&self, path: &Path, bytes: Option<&[u8]>) -> Result<(u64, u64), String> {
        let env = self.with(path, bytes);
        let engine = open(&env, true).map_err(|error| format!("repair: {error}"))?;
        let lost: Option<u64> = engine.repairs().iter().map(|repair| repair.rows_lost).sum();
        let report = format!("{:?}", engine.repairs());
        engine.close().map_err(|error| error.to_string())?;
        drop(engine);
        let engine = open(&env, false).map_err(|error| format!("open after repair: {error}; {report}"))?;
        let findings = engine.check().map_err(|error| error.to_string())?;
        if !findings.is_empty() {
            return Err(format!("damaged after repair: {findings:?}; {report}"));
        }
        let mut missing = 0;
        for number in 0..self.tables.len() {
            let found = self.rows(&engine, number).map_err(|error| format!("read after repair: {error:?}"))?;
            let expected = self.expected_of(number);
            let changed = found.iter().filter(|(key, content)| expected.get(*key) != Some(*content)).count();
            // Of a log that was cut the rows are those of an earlier moment.
            if changed > 0 && !path.starts_with(dir().join("wal")) {
                return Err(format!("rows that never were, after repair: {}; {report}", difference(&expected, &found)));
            }
            missing += expected.keys().filter(|key| !found.contains_key(*key)).count() as u64;
        }
        if lost.is_some_and(|lost| missing > lost) {
            return Err(format!("{missing} rows are missing, {lost:?} were said to be lost: {report}"));
        }
        Ok((missing, lost.unwrap_or(missing)))
    }

    /// A copy of the disk with other bytes in one file.
    fn with(&self, path: &Path, bytes: Option<&[u8]>) -> Arc<SimEnv> {
        let env = self.env.crash_clone(0);
        match bytes {
            Some(bytes) => {
                let mode = if env.exists(path).expect("look for a file") { OpenMode::Write } else { OpenMode::CreateNew };
                let file = env.open(path, mode).expect("open a file");
                file.set_len(bytes.len() as u64).expect("cut a file");
                file.write_all_at(bytes, 0).expect("write a file");
            }
            None => env.unlink(path).expect("remove a file"),
        }
        env
    }

    /// An error may be told to a client: it is of damage, and names the file. Files of the log follow from each other: one of them.
    fn named(&self, path: &Path, error: &EngineError) -> Result<(), String> {
        let told = error.to_string();
        let in_log = path.starts_with(dir().join("wal"));
        let named = told.contains(name_of(path)) || in_log && told.contains("/wal");
        let known = matches!(error.kind(), Kind::Corrupt)
            || matches!(error, EngineError::OtherFormat { .. } | EngineError::NotADataDirectory(_));
        if named && known || matches!(error, EngineError::NotADataDirectory(_)) {
            return Ok(());
        }
        Err(format!("it is not told that {} is damaged: {error:?}", path.display()))
    }

    fn expected_of(&self, number: usize) -> State {
        self.expected.iter().filter(|((n, _), _)| *n == number).map(|(key, content)| (key.clone(), content.clone())).collect()
    }

    fn rows(&self, engine: &Arc<Engine>, number: usize) -> Result<State, EngineError> {
        let mut transaction = engine.begin(Begin { read_only: true, ..Begin::default() });
        transaction.begin_statement();
        match read_table(&transaction.read_view(), number, &self.tables[number]) {
            Ok(found) => Ok(found),
            Err(Reading::Error(error)) => Err(error),
            Err(Reading::Twice(what)) => Err(EngineError::Bug(what)),
        }
    }

    /// Reads a table by scan and by key. Outer errors: an answer is wrong.
    fn read(&self, engine: &Arc<Engine>, number: usize) -> Result<Result<(), EngineError>, String> {
        let scanned = self.rows(engine, number);
        if let Ok(found) = &scanned {
            let expected = self.expected_of(number);
            if *found != expected {
                return Err(format!("table {number} has other rows: {}", difference(&expected, found)));
            }
        }
        let mut transaction = engine.begin(Begin { read_only: true, ..Begin::default() });
        transaction.begin_statement();
        let mut by_key = Ok(());
        let table = &self.tables[number];
        let layout = types::RowLayout::new(&table.stored_types());
        let keys = self.expected.iter().filter(|((n, _), _)| *n == number).step_by(37);
        for ((_, key), content) in keys {
            match transaction.get(table.id, key) {
                Ok(Some(row)) => {
                    if tables::split(table, number, &layout.read(&row).to_datums()).1 != *content {
                        return Err(format!("table {number} has another row under {key:?}"));
                    }
                }
                Ok(None) => return Err(format!("table {number} has no row under {key:?}")),
                Err(error) => by_key = Err(error),
            }
        }
        Ok(scanned.map(drop).and(by_key))
    }

    /// Adds a row, and opens once more.
    fn write_on(&self, engine: Arc<Engine>, env: &Arc<SimEnv>) -> Result<(), String> {
        let (number, values) = (0, tables::key_values(0, 99_999));
        let (table, content) = (&self.tables[number], tables::content(number, 5));
        let mut transaction = engine.begin(Begin::default());
        transaction.begin_statement();
        let told = |error: EngineError| format!("write on: {error}");
        transaction.insert(table.id, &tables::row(table, number, &values, &content)).map_err(told)?;
        transaction.commit().map_err(told)?.wait().map_err(told)?;
        engine.close().map_err(told)?;
        drop(engine);
        let engine = open(env, false).map_err(|error| format!("open again: {error}"))?;
        let mut expected = self.expected_of(number);
        expected.insert((number, table.key_from(&values)), content);
        let found = self.rows(&engine, number).map_err(told)?;
        if found != expected {
            return Err(format!("after another opening: {}", difference(&expected, &found)));
        }
        Ok(())
    }
}

impl Default for SmallDatabase {
    fn default() -> SmallDatabase {
        SmallDatabase::new()
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
