//! Ranges of keys, read at once or a block now and a block then, against the model.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use catalog::Table;
use engine::{EngineError, RangeCursor, RangeOf, RowBlock};
use rand::Rng;
use rand::rngs::SmallRng;
use types::{Direction, Key};

use crate::model::State;
use crate::tables::{self, Content, KINDS, Kind};

/// What a range should be of.
pub(crate) struct Wish {
    number: usize,
    from: Bound<Key>,
    to: Bound<Key>,
    direction: Direction,
    /// Whether only the key and the first other column are read.
    narrow: bool,
}

/// A range that is read a block at a time, whatever happens in between.
pub(crate) struct HeldRange {
    number: usize,
    cursor: RangeCursor,
    block: RowBlock,
    /// What is still to come.
    rest: VecDeque<(Key, Content)>,
    narrow: bool,
}

impl Wish {
    pub(crate) fn random(random: &mut SmallRng, state: &State) -> Wish {
        let number = random.random_range(0..KINDS.len());
        let keys: Vec<&Key> = state.keys().filter(|(of, _)| *of == number).map(|(_, key)| key).collect();
        let bound = |random: &mut SmallRng| {
            let kind = random.random_range(0..5);
            if kind == 0 || keys.is_empty() {
                return Bound::Unbounded;
            }
            let mut key = keys[random.random_range(0..keys.len())].0.to_vec();
            if kind == 1 {
                // A beginning of keys.
                key.truncate(random.random_range(0..=key.len()));
            }
            if kind % 2 == 0 { Bound::Included(key.into()) } else { Bound::Excluded(key.into()) }
        };
        let (from, to) = (bound(random), bound(random));
        let direction = if random.random_bool(0.5) { Direction::Forward } else { Direction::Backward };
        Wish { number, from, to, direction, narrow: random.random_bool(0.3) }
    }

    fn of(&self) -> RangeOf<'_> {
        let wanted: Option<&[usize]> = match KINDS[self.number] {
            _ if !self.narrow => None,
            Kind::Pair => Some(&[0, 1, 2]),
            Kind::Number | Kind::RowId => Some(&[0, 1]),
        };
        let (from, to) = (self.from.as_ref().map(|key| &**key), self.to.as_ref().map(|key| &**key));
        RangeOf { from, to, direction: self.direction, wanted }
    }

    /// The rows there should be, in order.
    fn expected(&self, state: &State) -> VecDeque<(Key, Content)> {
        let within = |key: &Key| {
            (match &self.from {
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
                Bound::Unbounded => true,
            }) && match &self.to {
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
                Bound::Unbounded => true,
            }
        };
        let rows = state.iter().filter(|((of, key), _)| *of == self.number && within(key));
        let rows = rows.map(|((_, key), content)| (key.clone(), content.clone()));
        match self.direction {
            Direction::Forward => rows.collect(),
            Direction::Backward => rows.rev().collect(),
        }
    }
}

impl HeldRange {
    /// Begins to read what is wished for. `open` makes the cursor for the range of a table, by the table's number.
    pub(crate) fn new(
        wish: &Wish,
        state: &State,
        open: impl FnOnce(usize, RangeOf<'_>) -> Result<RangeCursor, EngineError>,
    ) -> Result<HeldRange, EngineError> {
        let cursor = open(wish.number, wish.of())?;
        let block = cursor.block();
        Ok(HeldRange { number: wish.number, cursor, block, rest: wish.expected(state), narrow: wish.narrow })
    }

    /// Reads the next rows; false at the end. Errors: what differs from the model, if the engine has none.
    pub(crate) fn advance(&mut self, tables: &[Arc<Table>], rows_max: usize) -> Result<Result<bool, String>, EngineError> {
        if let Err(error) = self.cursor.next(&mut self.block, rows_max) {
            return match self.cursor.next(&mut self.block, rows_max) {
                Err(again) if again.to_string() == error.to_string() => Err(error),
                again => Ok(Err(format!("after \"{error}\" a range answers {again:?}"))),
            };
        }
        for at in 0..self.block.len() {
            let stored = self.block.row(at).to_datums();
            let (key, mut content) = tables::split(&tables[self.number], self.number, &stored);
            if *key != *self.block.key(at) {
                return Ok(Err(format!("the row of {:?} has key {key:?}", self.block.key(at))));
            }
            let mut expected = self.rest.pop_front();
            if self.narrow {
                content.truncate(1);
                expected.iter_mut().for_each(|(_, content)| content.truncate(1));
            }
            if expected.as_ref() != Some(&(key, content)) {
                return Ok(Err(format!("a range gave {stored:?} where {expected:?} comes")));
            }
        }
        if self.block.len() < rows_max && !self.rest.is_empty() {
            return Ok(Err(format!("a range ended before {:?}", self.rest[0])));
        }
        Ok(Ok(self.block.len() == rows_max))
    }
}
