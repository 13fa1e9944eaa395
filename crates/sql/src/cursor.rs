//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! ```text
//! DECLARE c CURSOR FOR query    the query runs, and waits when some batches are ahead
//! FETCH 10 FROM c               the next rows of them           MOVE: the same, and they are thrown away
//! CLOSE c, COMMIT, ROLLBACK     it is stopped
//! ```
//!
//! 1. A cursor sees what its DECLARE saw, whatever its transaction does later ([`Rows::hold`]).
//! 2. It goes forward only: 55000 for anything else.
//! 3. It ends with its transaction; ROLLBACK TO ends those declared since the savepoint.
//!
//! Not here: portals of the protocol (`server`), which are results of their own.
//! Source: PostgreSQL 15, `portalcmds.c` and `pquery.c` (`DoPortalRunFetch`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use types::{Datum, SqlError, SqlState};

use crate::answer::{Answer, RowBatch, Rows};
use crate::parse::{Declare, Direction, Fetch};
use crate::prepare::{Kind, OutputColumn, Prepared};
use crate::session::Session;
use crate::watch::Watch;

/// Cursors of one session: each is a query that runs, with a snapshot and up to four batches that nothing counts.
const CURSORS_MAX: usize = 32;

/// A session's cursors by name.
#[derive(Default)]
pub(crate) struct Cursors(BTreeMap<String, Cursor>);

struct Cursor {
    columns: Arc<[OutputColumn]>,
    binary: bool,
    /// Savepoints there were when it was declared.
    savepoints: usize,
    place: Arc<Mutex<Place>>,
}

impl Cursors {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Ends those declared when there were more savepoints than these.
    pub(crate) fn roll_back_to(&mut self, savepoints: usize) {
        self.0.retain(|_, cursor| cursor.savepoints <= savepoints);
    }

    /// Savepoints are gone; what was declared in them is now of what was around them.
    pub(crate) fn release_to(&mut self, savepoints: usize) {
        self.0.values_mut().for_each(|cursor| cursor.savepoints = cursor.savepoints.min(savepoints));
    }

    fn get(&self, name: &str) -> Result<&Cursor, SqlError> {
        self.0.get(name).ok_or_else(|| no_cursor(name))
    }
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

/// A result, and how far it was read.
pub(crate) struct Place {
    rows: Rows,
    batch: Option<(RowBatch, usize)>,
    /// Rows read.
    at: u64,
    /// Somebody wanted more rows than there are.
    ended: bool,
    /// An error ended it, maybe one that its transaction has survived by a savepoint.
    failed: bool,
}

impl Place {
    /// The next rows, at most so many; `None` behind the last.
    pub(crate) async fn next(&mut self, rows_max: u64) -> Result<Option<RowBatch>, SqlError> {
        if self.ended || rows_max == 0 {
            return Ok(None);
        }
        let (batch, from) = match self.batch.take() {
            Some(found) => found,
            None => match self.rows.next().await {
                Ok(Some(batch)) => (batch, 0),
                end => {
                    self.ended = true;
                    self.failed = end.is_err();
                    return end;
                }
            },
        };
        let rows = batch.rows();
        let to = usize::try_from(rows_max).map_or(rows, |max| rows.min(from.saturating_add(max)));
        self.at += (to - from) as u64;
        let found = batch.slice(from, to);
        if to < rows {
            self.batch = Some((batch, to));
        }
        Ok(Some(found))
    }

    /// Passes over rows; returns how many there were.
    async fn skip(&mut self, rows: u64) -> Result<u64, SqlError> {
        let mut left = rows;
        while let Some(batch) = self.next(left).await? {
            left -= batch.rows() as u64;
        }
        Ok(rows - left)
    }

    fn is_before_all(&self) -> bool {
        self.at == 0 && !self.ended
    }

    fn is_on_a_row(&self) -> bool {
        self.at > 0 && !self.ended
    }
}

/// What FETCH does: rows to pass over, then rows to give. Errors: 55000 for what is not ahead.
fn way(direction: Direction, place: &Place, moves: bool) -> Result<(u64, u64), SqlError> {
    let ahead = |rows: i64| match u64::try_from(rows) {
        Ok(0) if place.is_on_a_row() && !moves => Err(backward()),
        Ok(rows) => Ok(rows),
        Err(_) => Err(backward()),
    };
    match direction {
        Direction::Forward(rows) => Ok((0, ahead(rows)?)),
        Direction::All => Ok((0, u64::MAX)),
        Direction::Relative(0) => Ok((0, ahead(0)?)),
        Direction::Relative(rows) => Ok((ahead(rows)? - 1, 1)),
        Direction::Absolute(0) if place.is_before_all() => Ok((0, 0)),
        Direction::Absolute(row) => {
            let position = place.at + u64::from(place.ended);
            match u64::try_from(row) {
                Ok(row) if row > position => Ok((row - 1 - position, 1)),
                _ => Err(backward()),
            }
        }
        Direction::BackwardAll if moves && place.is_before_all() => Ok((0, 0)),
        Direction::BackwardAll => Err(backward()),
    }
}

fn backward() -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
}

impl Session {
    /// DECLARE. Errors: 25P01 outside a transaction block, 42P03, 53400 for too many, those of the query.
    pub(crate) async fn declare(&mut self, prepared: &Prepared, declare: &Declare, params: &[Datum]) -> Result<Answer, SqlError> {
        self.transaction.need_block("DECLARE CURSOR")?;
        let name = &declare.name;
        if self.cursors.0.contains_key(name) {
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.cursors.0.len() >= CURSORS_MAX {
            let message = format!("a session can have at most {CURSORS_MAX} cursors");
            return Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).hint("Close some of them."));
        }
        self.begin_statement();
        let planned = self.current_plan(prepared)?;
        let Kind::Declare(query) = &planned.kind else { return Err(SqlError::bug("a cursor without a plan")) };
        let planned = self.current_plan(query)?;
        // What is fetched is watched by its FETCH.
        let answer = match &planned.kind {
            Kind::Query(plan) => self.run_query(&planned, plan, params, &mut None).await?,
            // All rows are locked at once, not when they are fetched.
            Kind::Locking(plan) => self.run_locking(&planned, plan, params).await?,
            Kind::System(plan) => self.run_system(&planned, plan, params)?,
            // Rows that are not fetched are not computed.
            Kind::Point(plan) if plan.is_of_many() => {
                self.run_general(&query.statement, &planned, plan, params, &mut None).await?
            }
            Kind::Point(plan) => {
                let answer = self.run_point(&planned, plan, params)?;
                answer.ok_or_else(|| SqlError::bug("a lookup of too many rows"))?
            }
            _ => return Err(SqlError::bug("a cursor of a statement that is no query")),
        };
        let Answer::Rows(mut rows) = answer else { return Err(SqlError::bug("a query without rows")) };
        rows.hold().await?;
        let cursor = Cursor {
            columns: Arc::clone(rows.columns()),
            binary: declare.binary,
            savepoints: self.transaction.savepoints(),
            place: Arc::new(Mutex::new(Place { rows, batch: None, at: 0, ended: false, failed: false })),
        };
        self.cursors.0.insert(name.clone(), cursor);
        Ok(Answer::Done("DECLARE CURSOR".into()))
    }

    /// FETCH and MOVE. Errors: 34000, 55000 for going back, those of the query.
    pub(crate) async fn fetch(&mut self, fetch: &Fetch, watch: &mut Option<Watch>) -> Result<Answer, SqlError> {
        let Cursor { columns, binary, place: shared, .. } = self.cursors.get(&fetch.name)?;
        let mut place = shared.lock().await;
        if place.failed {
            let message = format!("portal \"{}\" cannot be run", fetch.name);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let (skipped, wanted) = way(fetch.direction, &place, fetch.moves).inspect_err(|_| place.failed = true)?;
        if fetch.moves && wanted == 0 {
            return Ok(Answer::Done(format!("MOVE {}", u8::from(place.is_on_a_row()))));
        }
        let passed = place.skip(skipped).await?;
        if fetch.moves {
            // Where a single row is asked for, only that one counts.
            let moved = if passed < skipped { 0 } else { place.skip(wanted).await? };
            return Ok(Answer::Done(format!("MOVE {moved}")));
        }
        let wanted = if passed < skipped { 0 } else { wanted };
        drop(place);
        let kept = self.instance.analytic().keep("suspended results");
        Ok(Answer::Rows(Rows::fetched(Arc::clone(columns), Arc::clone(shared), wanted, *binary, watch.take(), kept)))
    }

    /// CLOSE; `None` is ALL. Errors: 34000.
    pub(crate) fn close(&mut self, name: Option<&str>) -> Result<Answer, SqlError> {
        match name {
            None => {
                self.cursors.clear();
                Ok(Answer::Done("CLOSE CURSOR ALL".into()))
            }
            Some(name) => match self.cursors.0.remove(name) {
                Some(_) => Ok(Answer::Done("CLOSE CURSOR".into())),
                None => Err(no_cursor(name)),
            },
        }
    }

    /// The columns of a cursor, if there is one of this name.
    pub fn cursor_columns(&self, name: &str) -> Option<Arc<[OutputColumn]>> {
        self.cursors.0.get(name).map(|cursor| Arc::clone(&cursor.columns))
    }

    /// Closes a cursor, if there is one of this name.
    pub fn close_cursor(&mut self, name: &str) {
        self.cursors.0.remove(name);
    }
}
