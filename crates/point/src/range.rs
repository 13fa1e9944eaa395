//! Rows between two keys: of the primary key, or of a secondary index, whose entries name the rows.
//!
//! ```text
//! WHERE a = $1 AND b > $2 ORDER BY b LIMIT 10      index (a, b):  [a $1, b behind $2 .. a $1]  forward, to the tenth row
//! ORDER BY k DESC LIMIT 1                          primary key k: everything, backward, to the first row
//! ```
//!
//! 1. The whole condition is looked at for each row: the bounds only leave out what cannot satisfy it.
//! 2. A range that has more than [`ROWS_MAX`] rows to look at, or [`BYTES_MAX`] of results, is not for a program: it says so, and has
//!    given nothing.
//! 3. Rows come in the order of the keys. ORDER BY is done only if that is its order.
//!
//! Not here: joins, groups; what is done with the rows of an UPDATE or DELETE (`modify`).

use std::ops::Bound;
use std::sync::Arc;

use catalog::{Index, IndexSource, Table};
use engine::{RangeOf, Transaction};
use expr::row::{Binder, RowExpr};
use sqlparser::ast::{BinaryOperator, Expr, LimitClause, OrderBy, OrderByKind, Query};
use types::{ByteList, Datum, Direction, Key, RowImages, RowLayout, RowRef, Shown, SqlError, SqlType, TableId};

use crate::compile::{Named, column_of, key_comparisons, key_equality};
use crate::key::KeyExpr;
use crate::{Access, Column, Outcome, Program};

/// Rows that a program looks at.
pub(crate) const ROWS_MAX: usize = 1000;
/// Bytes of the rows it gives.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// Rows read at once.
pub(crate) const ROWS_PER_BLOCK: usize = 64;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Range {
    /// None: the table's own keys.
    pub(crate) index: Option<Entries>,
    pub(crate) name: String,
    /// What the first columns of the key are equal to.
    prefix: Vec<KeyExpr>,
    /// What the column behind them is at least and at most, in the order of keys; the flag: or equal.
    least: Option<(KeyExpr, bool)>,
    most: Option<(KeyExpr, bool)>,
    pub(crate) direction: Direction,
    limit: Option<RowExpr>,
}

/// The hidden table of an index.
#[derive(Debug)]
pub(crate) struct Entries {
    pub(crate) id: TableId,
    storage: Table,
    /// Where in an entry the row's key is, in key order; and in order of the columns, as they are read.
    row_key: Vec<usize>,
    pub(crate) wanted: Vec<usize>,
}

impl Entries {
    /// The key of the row that an entry names.
    pub(crate) fn named_by(&self, table: &Table, entry: RowRef<'_>) -> Key {
        let of_row: Vec<Datum> = self.row_key.iter().map(|column| entry.get(*column).to_owned()).collect();
        table.key_from(&of_row)
    }
}

/// A key that rows can be found by.
struct Candidate<'a> {
    index: Option<&'a Index>,
    name: &'a str,
    /// Its columns among the stored ones of the table; of an index with those of the row's key behind.
    columns: Vec<usize>,
}

/// The range that a SELECT of one table asks for. `None`: none.
pub(crate) fn of_query(
    named: &Named,
    query: &Query,
    parts: &[&Expr],
    outputs: &[Column],
    binder: &mut Binder<'_>,
) -> Option<(Access, Range)> {
    let limit = limit(query, binder)?;
    access(named, query.order_by.as_ref(), limit, parts, outputs, binder)
}

/// The range by the key that settles most columns. `None`: by none, or the order is another.
pub(crate) fn access(
    named: &Named,
    order_by: Option<&OrderBy>,
    limit: Option<RowExpr>,
    parts: &[&Expr],
    outputs: &[Column],
    binder: &mut Binder<'_>,
) -> Option<(Access, Range)> {
    let before = binder.params.clone();
    let mut best: Option<(usize, Access, Range, Vec<Option<SqlType>>)> = None;
    for candidate in candidates(&named.table) {
        binder.params.clone_from(&before);
        let Some((access, range)) = by(named, &candidate, order_by, parts, outputs, &limit, binder) else { continue };
        let settled = range.settled();
        if best.as_ref().is_none_or(|(most, ..)| settled > *most) {
            best = Some((settled, access, range, binder.params.clone()));
        }
    }
    let (settled, access, range, params) = best?;
    // All rows in some order are no range, unless few of them are wanted.
    if settled == 0 && (limit.is_none() || !parts.is_empty()) {
        return None;
    }
    binder.params = params;
    Some((access, range))
}

/// LIMIT, if there is one; `None`: something else than that.
#[allow(clippy::option_option, reason = "no LIMIT is not one that cannot be done")]
fn limit(query: &Query, binder: &mut Binder<'_>) -> Option<Option<RowExpr>> {
    let expr = match &query.limit_clause {
        None => return Some(None),
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) if limit_by.is_empty() => limit,
        Some(_) => return None,
    };
    let bound = binder.bind(expr)?;
    let limit = binder.settle(bound, SqlType::Int8)?;
    let is_integer = matches!(limit.data_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    (is_integer && limit.is_constant()).then_some(Some(limit))
}

fn candidates(table: &Table) -> Vec<Candidate<'_>> {
    let mut all = Vec::new();
    if let Some(key) = &table.primary_key {
        all.push(Candidate { index: None, name: &key.name, columns: table.key_columns() });
    }
    for index in table.indexes.iter().filter(|index| index.predicate.is_none()) {
        let stored = |source: &IndexSource| match source {
            IndexSource::Column(id) => table.position_of(*id).map(|at| at + table.hidden()),
            IndexSource::Expression { .. } => None,
        };
        let Some(mut columns) = index.columns.iter().map(|c| stored(&c.source)).collect::<Option<Vec<usize>>>() else { continue };
        if !index.refuses_duplicates() {
            columns.extend(index.row_key_missing(table));
        }
        all.push(Candidate { index: Some(index), name: &index.name, columns });
    }
    all
}

fn by(
    named: &Named,
    candidate: &Candidate<'_>,
    order_by: Option<&OrderBy>,
    parts: &[&Expr],
    outputs: &[Column],
    limit: &Option<RowExpr>,
    binder: &mut Binder<'_>,
) -> Option<(Access, Range)> {
    let table = &named.table;
    let mut condition: Option<RowExpr> = None;
    for part in parts {
        let test = binder.bind_as(part, SqlType::Bool)?;
        condition = Some(match condition {
            None => test,
            Some(condition) => condition.and(test),
        });
    }
    let mut equal: Vec<Option<KeyExpr>> = candidate.columns.iter().map(|_| None).collect();
    for part in parts {
        if let Some((at, value)) = key_equality(named, part, &candidate.columns, binder) {
            equal[at].get_or_insert(value);
        }
    }
    let prefix: Vec<KeyExpr> = equal.into_iter().map_while(|value| value).collect();
    let (mut least, mut most) = (None, None);
    if let Some(next) = candidate.columns.get(prefix.len()) {
        let descends = order_of(candidate, prefix.len()).0;
        for (op, value) in parts.iter().flat_map(|part| key_comparisons(named, part, *next, binder)) {
            let or_equal = matches!(op, BinaryOperator::GtEq | BinaryOperator::LtEq);
            let is_least = matches!(op, BinaryOperator::Gt | BinaryOperator::GtEq) != descends;
            let bound = if is_least { &mut least } else { &mut most };
            bound.get_or_insert((value, or_equal));
        }
    }
    let direction = direction(named, candidate, prefix.len(), order_by, outputs)?;
    let index = candidate.index.map(|index| {
        let row_key = index.row_key_columns(table);
        let mut wanted = row_key.clone();
        wanted.sort_unstable();
        wanted.dedup();
        Entries { id: index.id, storage: index.storage(table), row_key, wanted }
    });
    let layout = RowLayout::new(&table.stored_types());
    let access = Access { table: Arc::clone(table), layout, key: vec![], unique: None, condition };
    Some((access, Range { index, name: candidate.name.to_owned(), prefix, least, most, direction, limit: limit.clone() }))
}

/// Whether a column of the key descends, and whether its NULLs come first.
fn order_of(candidate: &Candidate<'_>, at: usize) -> (bool, bool) {
    let column = candidate.index.and_then(|index| index.columns.get(at));
    column.map_or((false, false), |column| (column.descending, column.nulls_first))
}

/// Which end comes first; `None` if ORDER BY asks for another order than that of the keys behind the first `settled` columns.
fn direction(
    named: &Named,
    candidate: &Candidate<'_>,
    settled: usize,
    order_by: Option<&OrderBy>,
    outputs: &[Column],
) -> Option<Direction> {
    let Some(order_by) = order_by else { return Some(Direction::Forward) };
    let OrderByKind::Expressions(items) = &order_by.kind else { return None };
    if order_by.interpolate.is_some() {
        return None;
    }
    let table = &named.table;
    let mut at = settled;
    let mut found: Option<Direction> = None;
    for item in items {
        let stored = column_of(named, &item.expr)?.0;
        let column = stored.checked_sub(table.hidden())?;
        // A name alone is an output column's first.
        if let Expr::Identifier(name) = &item.expr
            && outputs.iter().any(|output| output.name == name.value && output.source != Some(named.source(column)))
        {
            return None;
        }
        if item.with_fill.is_some() {
            return None;
        }
        if candidate.columns[..settled].contains(&stored) {
            continue;
        }
        let Some(key) = candidate.columns.get(at) else {
            // The key is unique: nothing is left to order.
            break;
        };
        let definition = &table.columns[column];
        let is_exact = !matches!(definition.data_type, SqlType::Char(_) | SqlType::Interval);
        if *key != stored || !is_exact {
            return None;
        }
        let descends = item.options.asc == Some(false);
        let nulls_first = item.options.nulls_first.unwrap_or(descends);
        let (key_descends, key_nulls_first) = order_of(candidate, at);
        let this = if descends == key_descends { Direction::Forward } else { Direction::Backward };
        let nulls_fit = definition.not_null || (nulls_first == key_nulls_first) == (this == Direction::Forward);
        if !nulls_fit || found.is_some_and(|found| found != this) {
            return None;
        }
        found = Some(this);
        at += 1;
    }
    // Behind the columns of a unique index there may be several rows of NULLs.
    let is_all_of_it = at >= candidate.columns.len();
    let is_vague = is_all_of_it && candidate.index.is_some_and(Index::refuses_duplicates) && items.len() > at - settled;
    if is_vague { None } else { Some(found.unwrap_or_default()) }
}

impl Program {
    /// The rows of a range, or [`Outcome::TooMany`].
    pub(crate) fn select_range(
        &self,
        access: &Access,
        range: &Range,
        transaction: &mut Transaction,
        params: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let limit = match range.limit.as_ref().map(|limit| limit.evaluate(None, params)).transpose()? {
            None | Some(Datum::Null) => usize::MAX,
            Some(Datum::Int2(n)) if n >= 0 => n as usize,
            Some(Datum::Int4(n)) if n >= 0 => n as usize,
            Some(Datum::Int8(n)) if n >= 0 => usize::try_from(n).unwrap_or(usize::MAX),
            // Who plans it anew says what is wrong.
            Some(_) => return Ok(Outcome::TooMany),
        };
        let rows = match &self.shown {
            Some(shown) => FoundRows::Images(Arc::clone(shown), ByteList::default()),
            None => FoundRows::Values(vec![], 0),
        };
        let mut found = Found { program: self, access, params, rows, looked_at: 0 };
        let Some((from, to)) = range.bounds(&access.table, None, params)? else { return Ok(Outcome::Rows(vec![])) };
        if limit == 0 {
            return Ok(Outcome::Rows(vec![]));
        }
        let (of, wanted) = match &range.index {
            None => (access.table.id, self.reads.as_slice()),
            Some(entries) => (entries.id, entries.wanted.as_slice()),
        };
        let bounds = RangeOf { from: as_bytes(&from), to: as_bytes(&to), direction: range.direction, wanted: Some(wanted) };
        let mut cursor = transaction.range(of, bounds)?;
        let mut block = cursor.block();
        loop {
            cursor.next(&mut block, ROWS_PER_BLOCK.min(limit))?;
            for at in 0..block.len() {
                let enough = match &range.index {
                    None => found.add(transaction, block.key(at), block.row(at))?,
                    Some(entries) => {
                        let key = entries.named_by(&access.table, block.row(at));
                        match transaction.get_columns(access.table.id, &key, &self.reads)? {
                            Some(row) => found.add(transaction, &key, access.layout.read(&row))?,
                            None => return Err(SqlError::bug(format!("index {} names a row that is not there", range.name))),
                        }
                    }
                };
                if !enough {
                    return Ok(Outcome::TooMany);
                }
                if found.rows.len() == limit {
                    return Ok(found.rows.into());
                }
            }
            if block.is_empty() {
                return Ok(found.rows.into());
            }
        }
    }
}

/// Rows so far.
struct Found<'a> {
    program: &'a Program,
    access: &'a Access,
    params: &'a [Datum],
    rows: FoundRows,
    looked_at: usize,
}

enum FoundRows {
    Images(Arc<Shown>, ByteList),
    /// With the bytes of their texts.
    Values(Vec<Vec<Datum>>, usize),
}

impl FoundRows {
    fn len(&self) -> usize {
        match self {
            FoundRows::Images(_, images) => images.len(),
            FoundRows::Values(rows, _) => rows.len(),
        }
    }
}

impl From<FoundRows> for Outcome {
    fn from(rows: FoundRows) -> Outcome {
        match rows {
            FoundRows::Images(shown, images) => Outcome::Images(RowImages::new(shown, images)),
            FoundRows::Values(rows, _) => Outcome::Rows(rows),
        }
    }
}

impl Found<'_> {
    /// Takes a row if the condition holds for it, and locks it if that is asked for. False: there are too many.
    fn add(&mut self, transaction: &mut Transaction, key: &[u8], row: RowRef<'_>) -> Result<bool, SqlError> {
        self.looked_at += 1;
        if self.looked_at > ROWS_MAX {
            return Ok(false);
        }
        if let Some(condition) = &self.access.condition
            && !condition.holds(Some(row), self.params)?
        {
            return Ok(true);
        }
        let (rows, bytes) = match &mut self.rows {
            FoundRows::Values(rows, bytes) => (rows, bytes),
            FoundRows::Images(_, images) => {
                images.push_with(|out| row.append_to(out));
                return Ok(images.bytes() <= BYTES_MAX);
            }
        };
        let values = match self.program.lock {
            None => self.program.outputs.iter().map(|e| e.evaluate(Some(row), self.params)).collect::<Result<Vec<_>, _>>()?,
            Some(lock) => match self.program.lock_row(lock, self.access, transaction, key, self.params)? {
                Some(values) => values,
                None => return Ok(true),
            },
        };
        *bytes += values.iter().map(bytes_of).sum::<usize>();
        rows.push(values);
        Ok(*bytes <= BYTES_MAX)
    }
}

pub(crate) fn bytes_of(value: &Datum) -> usize {
    match value {
        Datum::Text(text) => text.len(),
        Datum::Bytea(bytes) => bytes.len(),
        _ => 0,
    }
}

fn as_bytes(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

impl Range {
    /// How much of the key is known.
    pub(crate) fn settled(&self) -> usize {
        2 * self.prefix.len() + usize::from(self.least.is_some() || self.most.is_some())
    }

    /// Between which keys the rows are; `None`: nowhere.
    pub(crate) fn bounds(
        &self,
        table: &Table,
        earlier: Option<RowRef<'_>>,
        params: &[Datum],
    ) -> Result<Option<(Bound<Key>, Bound<Key>)>, SqlError> {
        let of = self.index.as_ref().map_or(table, |entries| &entries.storage);
        let mut values = Vec::with_capacity(self.prefix.len() + 1);
        for part in &self.prefix {
            match part.evaluate(earlier, params)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        let prefix = of.key_from(&values);
        let mut with = |bound: &Option<(KeyExpr, bool)>| -> Result<Option<(Key, bool)>, SqlError> {
            let Some((value, or_equal)) = bound else { return Ok(None) };
            // What no value is equal to bounds nothing here; the condition does.
            let Some(value) = value.evaluate(earlier, params)? else { return Ok(None) };
            values.push(value);
            let key = of.key_from(&values);
            values.pop();
            Ok(Some((key, *or_equal)))
        };
        let from = match with(&self.least)? {
            None => Bound::Included(prefix.clone()),
            Some((key, true)) => Bound::Included(key),
            Some((key, false)) => match behind(&key) {
                Some(next) => Bound::Included(next),
                None => return Ok(None),
            },
        };
        let to = match with(&self.most)? {
            None => behind(&prefix).map_or(Bound::Unbounded, Bound::Excluded),
            Some((key, true)) => behind(&key).map_or(Bound::Unbounded, Bound::Excluded),
            Some((key, false)) => Bound::Excluded(key),
        };
        if let (Bound::Included(from), Bound::Excluded(to)) = (&from, &to)
            && from >= to
        {
            return Ok(None);
        }
        Ok(Some((from, to)))
    }
}

/// The least key behind all that begin with these bytes; `None`: there is none.
fn behind(key: &[u8]) -> Option<Key> {
    let end = key.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = key[..=end].to_vec();
    next[end] += 1;
    Some(next.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_comes_what_does_not_begin_with_it() {
        let behind = |key: &[u8]| behind(key).map(|key| key.to_vec());
        assert_eq!(behind(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(behind(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(behind(&[255]), None);
        assert_eq!(behind(&[]), None);
    }
}
