//! Keys of many rows, side by side: made from a segment's key columns, searched by `memcmp`.
//!
//! ```text
//! fixed width (ascending, no text, no NULL)   | key 0 | key 1 | ...                      key i at i * width
//! otherwise                                  | key 0 | key 1 | ...   ends: u32 each     key i from the end of key i-1 to its own
//!                                            heads: 8 bytes of each key behind what all begin with, in memory only
//! ```
//!
//! Keys that differ in their heads are told apart without looking at them: side by side, the heads are a tenth of the memory to touch.
//!
//! A key is what `types::key` makes of the row's key columns; nothing else is ever stored or compared as a key.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use types::key::{KeyOrder, encode, encode_ordered};
use types::{Datum, Decimal, SqlType};

use crate::codec::{Decoder, Encoder};
use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::schema::SegmentSchema;

/// How often a key's place is guessed, and how far to both sides of it is looked.
const GUESSES_MAX: usize = 2;
const GUESS_REACH: usize = 4;

/// A list of encoded keys, see the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    width: Option<usize>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Of keys of no fixed width once they are all there; else empty.
    heads: Vec<u64>,
    /// How many bytes all of those begin with alike.
    alike: usize,
}

impl KeyList {
    /// An empty list of keys of this schema.
    pub(crate) fn new(schema: &SegmentSchema) -> KeyList {
        KeyList { width: fixed_width(schema), bytes: Vec::new(), ends: Vec::new(), heads: Vec::new(), alike: 0 }
    }

    /// The keys of the rows `rows` of these key columns (in key order, each in its type's Arrow form).
    pub fn of_columns(schema: &SegmentSchema, columns: &[ArrayRef], rows: Range<usize>) -> Result<KeyList> {
        let mut list = KeyList::new(schema);
        let columns = schema
            .key_columns()
            .zip(columns)
            .map(|(c, array)| {
                let view = ColumnView::new(array, c.sql_type).filter(|view| rows.end <= view.len());
                let view = view.filter(|_| c.nullable || array.null_count() == 0);
                view.map(|view| (view, c)).ok_or_else(|| SegmentError::Misuse(format!("column {} is no key column", c.name)))
            })
            .collect::<Result<Vec<_>>>()?;
        if let Some(width) = list.width {
            list.bytes = vec![0; rows.len() * width];
            let mut at = 0;
            for (view, column) in &columns {
                at += put_column(*view, column.sql_type, rows.clone(), &mut list.bytes, width, at);
            }
            return Ok(list);
        }
        list.bytes.reserve(rows.len() * 16);
        for row in rows {
            for ((view, column), order) in columns.iter().zip(schema.order()) {
                encode_ordered(view.get(row), column.sql_type, column.nullable, *order, &mut list.bytes);
            }
            list.end()?;
        }
        list.note_heads();
        Ok(list)
    }

    /// Makes the heads of keys that are all there and ascend; of others they are not used.
    fn note_heads(&mut self) {
        if self.width.is_some() || self.is_empty() {
            return;
        }
        let (first, last) = (self.get(0), self.get(self.len() - 1));
        self.alike = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        self.heads = self.iter().map(|key| head(key, self.alike)).collect();
    }

    fn end(&mut self) -> Result<()> {
        if self.width.is_none() {
            let end = u32::try_from(self.bytes.len()).map_err(|_| SegmentError::Misuse("keys of 4 GiB in one group".into()))?;
            self.ends.push(end);
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, key: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(key);
        self.end()
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self.width {
            Some(width) => self.bytes.len() / width,
            None => self.ends.len(),
        }
    }

    /// The key at `i`, from 0.
    pub fn get(&self, i: usize) -> &[u8] {
        match self.width {
            Some(width) => &self.bytes[i * width..(i + 1) * width],
            None => {
                let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
                &self.bytes[start..self.ends[i] as usize]
            }
        }
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Where `key` is among the keys `within`, which ascend; or where it would be.
    pub fn search(&self, within: Range<usize>, key: &[u8]) -> std::result::Result<usize, usize> {
        // Keys of one integer are compared as integers.
        match (self.width, key.len()) {
            (Some(4), 4) => return search_words::<4>(&self.bytes, within, key, |word| u64::from(u32::from_be_bytes(word))),
            (Some(8), 8) => return search_words::<8>(&self.bytes, within, key, u64::from_be_bytes),
            _ => {}
        }
        let (mut low, mut high) = (within.start, within.end);
        if !self.heads.is_empty() && low < high {
            let beginning = |key| <[u8]>::get(key, ..self.alike).unwrap_or(key);
            match beginning(key).cmp(beginning(self.get(low))) {
                Ordering::Less => return Err(low),
                Ordering::Greater => return Err(high),
                Ordering::Equal => {}
            }
            let wanted = head(key, self.alike);
            low = first_not_below(|at| self.heads[at], within, wanted);
            let heads = &self.heads[low..high];
            let several = heads.get(1) == Some(&wanted);
            high = low + if several { heads.partition_point(|head| *head <= wanted) } else { heads.len().min(1) };
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// True if every key is greater than the one before it.
    pub fn ascends(&self) -> bool {
        self.first_unsorted().is_none()
    }

    /// The first row whose key is not greater than the one before it.
    pub(crate) fn first_unsorted(&self) -> Option<usize> {
        (1..self.len()).find(|i| self.get(*i) <= self.get(i - 1))
    }

    /// Bytes of memory it holds.
    pub(crate) fn memory(&self) -> usize {
        size_of::<KeyList>() + self.bytes.capacity() + size_of_val(&*self.ends) + size_of_val(&*self.heads)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.len());
        for key in self.iter() {
            out.bytes(key);
        }
    }

    pub(crate) fn decode(schema: &SegmentSchema, from: &mut Decoder<'_>) -> Result<KeyList> {
        let mut list = KeyList::new(schema);
        for _ in 0..from.count(4)? {
            let key = from.bytes()?;
            if list.width.is_some_and(|width| width != key.len()) {
                return Err(from.refuse("a key is not as long as its columns"));
            }
            list.push(key)?;
        }
        list.note_heads();
        Ok(list)
    }
}

/// Writes a column's part of keys of `width` bytes each, at byte `at` of every key; returns how many bytes that is.
fn put_column(view: ColumnView<'_>, t: SqlType, rows: Range<usize>, keys: &mut [u8], width: usize, at: usize) -> usize {
    fn put<const N: usize>(keys: &mut [u8], width: usize, at: usize, parts: impl Iterator<Item = [u8; N]>) -> usize {
        for (key, part) in keys.chunks_exact_mut(width).zip(parts) {
            key[at..at + N].copy_from_slice(&part);
        }
        N
    }
    match view {
        ColumnView::Int8(a) => put(keys, width, at, a.values()[rows].iter().map(|v| (*v as u64 ^ 1 << 63).to_be_bytes())),
        ColumnView::Int4(a) => put(keys, width, at, a.values()[rows].iter().map(|v| (*v as u32 ^ 1 << 31).to_be_bytes())),
        _ => {
            let mut part = Vec::new();
            for (key, row) in keys.chunks_exact_mut(width).zip(rows) {
                part.clear();
                encode(view.value(row), t, &mut part);
                key[at..at + part.len()].copy_from_slice(&part);
            }
            self::width(t).unwrap_or(0)
        }
    }
}

/// Eight bytes of a key from byte `at` on, fewer with zeros behind them, so that heads order as their keys do where they differ.
fn head(key: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = key.get(at..).unwrap_or_default();
    let len = rest.len().min(8);
    bytes[..len].copy_from_slice(&rest[..len]);
    u64::from_be_bytes(bytes)
}

fn search_words<const N: usize>(
    bytes: &[u8],
    within: Range<usize>,
    key: &[u8],
    number: impl Fn([u8; N]) -> u64,
) -> std::result::Result<usize, usize> {
    let Some(key) = key.first_chunk::<N>() else { return Err(within.start) };
    let wanted = number(*key);
    let (end, keys) = (within.end, bytes.as_chunks::<N>().0);
    let at = first_not_below(|at| number(keys[at]), within, wanted);
    if at < end && number(keys[at]) == wanted { Ok(at) } else { Err(at) }
}

/// Where the first number is, of those that `number` gives in ascending order, that is not below `wanted`.
///
/// Looks where it would be if numbers grew evenly, twice at most, then searches what is left in halves: of numbers that do grow so two
/// places are looked at and not seven, which are as many waits for memory.
fn first_not_below(number: impl Fn(usize) -> u64, within: Range<usize>, wanted: u64) -> usize {
    let (mut low, mut high) = (within.start, within.end);
    for _ in 0..GUESSES_MAX {
        if high - low <= 4 * GUESS_REACH {
            break;
        }
        let (first, last) = (number(low), number(high - 1));
        if wanted <= first {
            return low;
        }
        if wanted > last {
            return high;
        }
        let share = (wanted - first) as f64 / (last - first) as f64;
        let guess = low + (share * (high - 1 - low) as f64) as usize;
        let (from, to) = (guess.saturating_sub(GUESS_REACH).max(low), (guess + GUESS_REACH).min(high));
        if number(from) >= wanted {
            high = from;
        } else if number(to - 1) < wanted {
            low = to;
        } else {
            (low, high) = (from, to);
        }
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if number(middle) < wanted { low = middle + 1 } else { high = middle }
    }
    low
}

/// Bytes of every key of this schema, if they are all equally long.
fn fixed_width(schema: &SegmentSchema) -> Option<usize> {
    let plain = schema.order().iter().all(|order| *order == KeyOrder::default());
    schema.key_columns().map(|c| if c.nullable || !plain { None } else { width(c.sql_type) }).sum()
}

/// Bytes of every encoded value of this type, if they are all equally long.
fn width(t: SqlType) -> Option<usize> {
    Some(match t {
        SqlType::Bool => 1,
        SqlType::Int2 => 2,
        SqlType::Int4 | SqlType::Float4 | SqlType::Date => 4,
        SqlType::Int8 | SqlType::Float8 | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 8,
        SqlType::Numeric { precision, .. } if precision <= 18 => 8,
        SqlType::Numeric { .. } | SqlType::Interval | SqlType::Uuid => 16,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Bytea => return None,
    })
}

/// The value that `types::key::encode` made these bytes of. None for an interval (its key is not invertible) and for bytes that
/// are no such key. A float's -0.0 comes back as 0.0 and its NaN as the positive one.
pub(crate) fn decode_value(bytes: &[u8], t: SqlType) -> Option<Datum> {
    if width(t).is_some_and(|width| width != bytes.len()) {
        return None;
    }
    let int4 = || Some((u32::from_be_bytes(bytes.try_into().ok()?) ^ 1 << 31) as i32);
    let int8 = || Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ 1 << 63) as i64);
    Some(match t {
        SqlType::Bool => Datum::Bool(*bytes.first()? != 0),
        SqlType::Int2 => Datum::Int2((u16::from_be_bytes(bytes.try_into().ok()?) ^ 1 << 15) as i16),
        SqlType::Int4 => Datum::Int4(int4()?),
        SqlType::Date => Datum::Date(int4()?),
        SqlType::Int8 => Datum::Int8(int8()?),
        SqlType::Time => Datum::Time(int8()?),
        SqlType::Timestamp => Datum::Timestamp(int8()?),
        SqlType::TimestampTz => Datum::TimestampTz(int8()?),
        SqlType::Float4 => {
            let bits = u32::from_be_bytes(bytes.try_into().ok()?);
            Datum::Float4(f32::from_bits(if bits >> 31 == 1 { bits ^ 1 << 31 } else { !bits }))
        }
        SqlType::Float8 => {
            let bits = u64::from_be_bytes(bytes.try_into().ok()?);
            Datum::Float8(f64::from_bits(if bits >> 63 == 1 { bits ^ 1 << 63 } else { !bits }))
        }
        SqlType::Numeric { precision, scale } => {
            let unscaled = if precision <= 18 {
                i128::from(int8()?)
            } else {
                (u128::from_be_bytes(bytes.try_into().ok()?) ^ 1 << 127) as i128
            };
            Datum::Numeric(Decimal { unscaled, scale })
        }
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => {
            Datum::Text(String::from_utf8(unescape(bytes)?).ok()?.into_boxed_str())
        }
        SqlType::Bytea => Datum::Bytea(unescape(bytes)?.into_boxed_slice()),
        SqlType::Interval => return None,
        SqlType::Uuid => Datum::Uuid(bytes.try_into().ok()?),
    })
}

/// A key as people write its values, `(7, abc)`; where they cannot be told from its bytes, those.
pub(crate) fn text_of_key(schema: &SegmentSchema, key: &[u8]) -> String {
    let plain = schema.order().iter().all(|order| *order == KeyOrder::default());
    let mut rest = key;
    let values = schema.key_columns().map(|column| {
        if column.nullable {
            let (marker, value) = rest.split_first()?;
            rest = value;
            if *marker == 2 {
                return Some("NULL".to_owned());
            }
        }
        let len = match width(column.sql_type) {
            Some(width) => width,
            None => rest.windows(2).position(|pair| pair == [0, 0])? + 2,
        };
        let (value, after) = rest.split_at_checked(len)?;
        rest = after;
        decode_value(value, column.sql_type).map(|value| types::text::to_string(value.as_ref()))
    });
    match values.collect::<Option<Vec<_>>>() {
        Some(values) if plain => format!("({})", values.join(", ")),
        _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn unescape(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    loop {
        match bytes {
            [0, 0] => return Some(out),
            [0, 0xFF, rest @ ..] => {
                out.push(0);
                bytes = rest;
            }
            [0, ..] | [] => return None,
            [byte, rest @ ..] => {
                out.push(*byte);
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringViewArray};
    use types::key::encode_nullable;
    use types::{ColumnId, DatumRef};

    use super::*;
    use crate::schema::SegmentColumn;

    fn schema(columns: &[(SqlType, bool)]) -> SegmentSchema {
        let columns = columns.iter().enumerate();
        let columns: Vec<_> =
            columns.map(|(i, (t, n))| SegmentColumn::new(ColumnId(i as u16), format!("c{i}"), *t, *n)).collect();
        let key = (0..columns.len()).collect();
        SegmentSchema::new(columns, key)
    }

    #[test]
    fn keys_of_columns_are_those_of_their_values() {
        let schema = schema(&[(SqlType::Int8, false), (SqlType::Text, true)]);
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(vec![-1, 5, 5, 5])),
            Arc::new(StringViewArray::from(vec![Some("a"), Some(""), Some("a long string that is not inline"), None])),
        ];
        let list = KeyList::of_columns(&schema, &columns, 1..4).unwrap();
        let mut key = Vec::new();
        encode(DatumRef::Int8(5), SqlType::Int8, &mut key);
        encode_nullable(DatumRef::Null, SqlType::Text, &mut key);
        assert_eq!(list.len(), 3);
        assert_eq!(list.get(2), key);
        assert_eq!(list.search(0..3, &key), Ok(2));
        assert_eq!(list.search(0..2, &key), Err(2));
        assert_eq!(list.first_unsorted(), None);

        let mut out = Encoder::default();
        list.encode(&mut out);
        assert_eq!(KeyList::decode(&schema, &mut Decoder::new(Path::new("x"), &out.bytes)).unwrap(), list);
    }

    #[test]
    fn keys_of_descending_columns_are_found_and_keep_their_order_in_the_sidecar() {
        let order = [KeyOrder { descending: true, nulls_first: true }, KeyOrder { descending: false, nulls_first: true }];
        let schema = schema(&[(SqlType::Int8, false), (SqlType::Int4, true)]).ordered(&order);
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(vec![5, 5, 4, -1])), Arc::new(Int32Array::from(vec![None, Some(1), Some(0), None]))];
        let list = KeyList::of_columns(&schema, &columns, 0..4).unwrap();
        assert!(list.ascends());
        let mut key = Vec::new();
        encode_ordered(DatumRef::Int8(4), SqlType::Int8, false, order[0], &mut key);
        encode_ordered(DatumRef::Int4(0), SqlType::Int4, true, order[1], &mut key);
        assert_eq!(list.search(0..4, &key), Ok(2));

        let mut out = Encoder::default();
        schema.encode(&mut out);
        assert_eq!(SegmentSchema::decode(&mut Decoder::new(Path::new("x"), &out.bytes)).unwrap(), schema);
    }

    #[test]
    fn bigint_keys_take_the_short_way_to_the_same_bytes() {
        let schema = schema(&[(SqlType::Int8, false)]);
        let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX, 3]))];
        let list = KeyList::of_columns(&schema, &columns, 0..5).unwrap();
        for (key, v) in list.iter().zip([i64::MIN, -1, 0, i64::MAX, 3]) {
            let mut expected = Vec::new();
            encode(DatumRef::Int8(v), SqlType::Int8, &mut expected);
            assert_eq!(key, expected);
        }
        assert_eq!(list.first_unsorted(), Some(4));
    }

    #[test]
    fn integers_are_searched_as_their_bytes_are() {
        for (schema, array) in [
            (schema(&[(SqlType::Int8, false)]), Arc::new(Int64Array::from_iter_values(-50..50)) as ArrayRef),
            (schema(&[(SqlType::Int4, false)]), Arc::new(Int32Array::from_iter_values(-50..50)) as ArrayRef),
        ] {
            let list = KeyList::of_columns(&schema, &[array], 0..100).unwrap();
            for within in [0..100, 10..90, 30..30, 99..100] {
                for (i, key) in list.iter().enumerate() {
                    let expected = if within.contains(&i) { Ok(i) } else { Err(i.clamp(within.start, within.end)) };
                    assert_eq!(list.search(within.clone(), key), expected);
                    let longer = [key, &[0]].concat();
                    assert_eq!(list.search(within.clone(), &longer), Err((i + 1).clamp(within.start, within.end)));
                }
            }
        }
    }

    #[test]
    fn numbers_are_found_however_they_grow() {
        let even: Vec<u64> = (0..1000).map(|n| n * 3 + 7).collect();
        let steep: Vec<u64> = (0..64).map(|n| 1 << n).chain([u64::MAX]).collect();
        let alike: Vec<u64> = [5; 500].into_iter().chain([6; 300]).chain([u64::MAX; 2]).collect();
        let late: Vec<u64> = (0..500).chain((0..500).map(|n| (1 << 63) + n * n)).collect();
        for numbers in [even, steep, alike, late, vec![9], vec![]] {
            let near = numbers.iter().flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
            for wanted in near.chain([0, 1 << 62, u64::MAX]) {
                for start in [0, numbers.len() / 3] {
                    let expected = start + numbers[start..].partition_point(|n| *n < wanted);
                    assert_eq!(first_not_below(|at| numbers[at], start..numbers.len(), wanted), expected, "{wanted}");
                }
            }
        }
    }

    #[test]
    fn texts_are_searched_as_their_bytes_are() {
        let schema = schema(&[(SqlType::Text, false)]);
        let texts =
            ["", "\0", "a", "a\0", "a\0\0", "a\0b", "ab", "user1", "user10", "user100000001", "user100000002", "user2", "\u{ff}"];
        for shown in [&texts[..], &texts[7..12], &texts[2..6], &texts[8..9]] {
            let columns: [ArrayRef; 1] = [Arc::new(StringViewArray::from(shown.to_vec()))];
            let list = KeyList::of_columns(&schema, &columns, 0..shown.len()).unwrap();
            for text in texts {
                let mut key = Vec::new();
                encode(DatumRef::Text(text), SqlType::Text, &mut key);
                for start in 0..=shown.len() {
                    for end in start..=shown.len() {
                        let expected = shown[start..end].binary_search(&text).map(|at| at + start).map_err(|at| at + start);
                        assert_eq!(list.search(start..end, &key), expected, "{text:?} in {:?}", &shown[start..end]);
                    }
                }
            }
        }
    }

    #[test]
    fn decoding_gives_back_the_value() {
        let values = [
            (SqlType::Bool, Datum::Bool(true)),
            (SqlType::Int2, Datum::Int2(-7)),
            (SqlType::Int4, Datum::Int4(i32::MIN)),
            (SqlType::Int8, Datum::Int8(i64::MAX)),
            (SqlType::Float4, Datum::Float4(-1.5)),
            (SqlType::Float8, Datum::Float8(f64::INFINITY)),
            (SqlType::Numeric { precision: 9, scale: 2 }, Datum::Numeric(Decimal { unscaled: -5, scale: 2 })),
            (SqlType::NUMERIC, Datum::Numeric(Decimal { unscaled: -(10i128.pow(37)), scale: 16 })),
            (SqlType::Text, Datum::Text("a\0b\0\0c".into())),
            (SqlType::Bytea, Datum::Bytea([0, 0xFF, 0, 0].into())),
            (SqlType::Date, Datum::Date(-1)),
            (SqlType::Time, Datum::Time(5)),
            (SqlType::Timestamp, Datum::Timestamp(-5)),
            (SqlType::TimestampTz, Datum::TimestampTz(0)),
            (SqlType::Uuid, Datum::Uuid([9; 16])),
        ];
        for (t, value) in values {
            let mut bytes = Vec::new();
            encode(value.as_ref(), t, &mut bytes);
            assert_eq!(decode_value(&bytes, t), Some(value));
            assert_eq!(decode_value(&bytes[..bytes.len() - 1], t), None, "cut bytes of {t}");
        }
        assert_eq!(decode_value(&[0; 16], SqlType::Interval), None);
    }
}
