//! Which group a row belongs to, by the codes of its columns.
//!
//! ```text
//! dense       one column of numbers in a range       number - low --> group           one table as long as the scan
//! clustered   one that the rows are in the order of  number - the unit's least --> group        one table a unit
//! any         some columns of few values             combination of codes --> group             one table a unit, and a map
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array};
use foldhash::fast::RandomState;
use segments::{Codes, Packed, PackedForm};
use types::arrow_form::ColumnBuilder;
use types::{Datum, DatumRef, RowLayout, SqlType};

/// Entries of a table that is made for a unit.
const UNIT_TABLE_MAX: usize = 1 << 20;

/// No group has this number.
const NONE: u32 = u32::MAX;

/// How groups are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// There is one, of all rows.
    One,
    /// Numbers of one column, most of them from `low` on, `size` of them.
    Dense { low: i64, size: usize },
    /// Numbers of one column that rows are in the order of: groups end with their unit, or are begun again in the next.
    Clustered,
    /// Any columns.
    Any,
}

impl Manner {
    /// Dense, for numbers between these two, if there are at most so many.
    pub(crate) fn dense(low: i128, high: i128, most: f64) -> Option<Manner> {
        let size = usize::try_from(high - low + 1).ok().filter(|size| *size as f64 <= most)?;
        Some(Manner::Dense { low: i64::try_from(low).ok()?, size })
    }
}

/// The groups so far.
pub(crate) struct Groups {
    manner: Manner,
    types: Vec<SqlType>,
    keys: Keys,
    /// By number, or combination of codes: the group.
    table: Vec<u32>,
    /// The number that the table begins with.
    low: i64,
}

enum Keys {
    Whole {
        keys: Vec<Option<i64>>,
        others: HashMap<Option<i64>, u32, RandomState>,
    },
    /// `known` by the key's bytes.
    Any {
        keys: Vec<Vec<Datum>>,
        known: HashMap<Vec<u8>, u32, RandomState>,
        layout: RowLayout,
    },
}

/// A column of a unit, and where the rows are in it.
pub(crate) type Part = (Arc<Packed>, usize);

impl Groups {
    pub(crate) fn new(manner: Manner, types: Vec<SqlType>) -> Groups {
        let keys = match manner {
            Manner::Dense { .. } | Manner::Clustered => Keys::Whole { keys: vec![], others: HashMap::default() },
            Manner::One | Manner::Any => Keys::Any { keys: vec![], known: HashMap::default(), layout: RowLayout::new(&types) },
        };
        let mut groups = Groups { manner, types, keys, table: vec![], low: 0 };
        groups.clear();
        groups
    }

    pub(crate) fn len(&self) -> usize {
        match &self.keys {
            Keys::Whole { keys, .. } => keys.len(),
            Keys::Any { keys, .. } => keys.len(),
        }
    }

    /// Bytes of memory, about.
    pub(crate) fn size(&self) -> usize {
        let keys = match &self.keys {
            Keys::Whole { keys, others } => keys.capacity() * 16 + others.capacity() * 32,
            Keys::Any { keys, .. } => keys.capacity() * 2 * (48 + 32 * self.types.len()),
        };
        self.table.capacity() * 4 + keys
    }

    /// There are none any more.
    pub(crate) fn clear(&mut self) {
        match &mut self.keys {
            Keys::Whole { keys, others } => {
                *keys = vec![];
                *others = HashMap::default();
            }
            Keys::Any { keys, known, .. } => {
                keys.clear();
                known.clear();
            }
        }
        self.table = vec![];
        if let (Manner::One, Keys::Any { keys, .. }) = (self.manner, &mut self.keys) {
            keys.push(vec![]);
        }
    }

    /// Rows of another unit come next. True: the groups so far are to be handed on before.
    pub(super) fn next_unit(&mut self) -> bool {
        match self.manner {
            Manner::One | Manner::Dense { .. } => false,
            Manner::Any => {
                self.table.clear();
                false
            }
            Manner::Clustered => self.len() > 0,
        }
    }

    /// Sets the group of each row, or of those `chosen`, `count` in all; none, if there is one group.
    pub(crate) fn find(&mut self, columns: &[Part], chosen: Option<&[u32]>, count: usize, out: &mut Vec<u32>) {
        out.clear();
        match self.manner {
            Manner::One => {}
            Manner::Dense { .. } | Manner::Clustered => self.find_whole(&columns[0], chosen, count, out),
            Manner::Any => self.find_any(columns, chosen, count, out),
        }
    }

    fn find_whole(&mut self, (packed, start): &Part, chosen: Option<&[u32]>, count: usize, out: &mut Vec<u32>) {
        let Keys::Whole { keys, others } = &mut self.keys else { return };
        let (table, low) = (&mut self.table, &mut self.low);
        if let (Manner::Dense { low: first, size }, true) = (self.manner, table.is_empty()) {
            *low = first;
            table.resize(size, NONE);
        }
        if let PackedForm::Whole { base, codes, most, nulls: None } = packed.form() {
            if self.manner == Manner::Clustered && table.is_empty() && most < UNIT_TABLE_MAX as u64 {
                *low = base;
                table.resize(most as usize + 1, NONE);
            }
            // Codes from this one on are in the table.
            let shift = i128::from(base) - i128::from(*low);
            if shift >= 0 && shift + i128::from(most) < table.len() as i128 {
                let shift = shift as usize;
                let mut group_of = |code: usize| {
                    let entry = &mut table[shift + code];
                    if *entry == NONE {
                        *entry = keys.len() as u32;
                        keys.push(Some(base.wrapping_add(code as i64)));
                    }
                    *entry
                };
                macro_rules! each {
                    ($codes:expr) => {{
                        let codes = &$codes[*start..];
                        match chosen {
                            None => out.extend(codes[..count].iter().map(|code| group_of(*code as usize))),
                            Some(chosen) => out.extend(chosen.iter().map(|at| group_of(codes[*at as usize] as usize))),
                        }
                    }};
                }
                match codes {
                    Codes::U8(codes) => each!(codes),
                    Codes::U16(codes) => each!(codes),
                    Codes::U32(codes) => each!(codes),
                    Codes::U64(codes) => each!(codes),
                }
                return;
            }
        }
        for at in 0..count {
            let number = number(packed.get(start + chosen.map_or(at, |chosen| chosen[at] as usize)));
            let entry = number.and_then(|v| table.get_mut(usize::try_from(v.checked_sub(*low)?).ok()?));
            let entry = match entry {
                Some(entry) => entry,
                None => others.entry(number).or_insert(NONE),
            };
            if *entry == NONE {
                *entry = keys.len() as u32;
                keys.push(number);
            }
            out.push(*entry);
        }
    }

    fn find_any(&mut self, columns: &[Part], chosen: Option<&[u32]>, count: usize, out: &mut Vec<u32>) {
        let Keys::Any { keys, known, layout } = &mut self.keys else { return };
        let row_at = |at: usize| chosen.map_or(at, |chosen| chosen[at] as usize);
        let mut group_of = |at: usize| {
            let key = || columns.iter().map(|(packed, start)| packed.get(start + row_at(at)));
            let mut bytes = Vec::new();
            layout.append_refs(key(), &mut bytes);
            *known.entry(bytes).or_insert_with(|| {
                keys.push(key().map(|value| value.to_owned()).collect());
                keys.len() as u32 - 1
            })
        };
        let sizes: Option<Vec<usize>> = columns.iter().map(|(packed, _)| codes_of(packed)).collect();
        let sizes = sizes.filter(|sizes| {
            sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size)).is_some_and(|all| all <= UNIT_TABLE_MAX / 8)
        });
        let Some(sizes) = sizes else {
            out.extend((0..count).map(group_of));
            return;
        };
        self.table.resize(sizes.iter().product(), NONE);
        for (nth, ((packed, start), size)) in columns.iter().zip(&sizes).enumerate() {
            combine(packed, *start, *size as u32, nth == 0, chosen, count, out);
        }
        for (at, combination) in out.iter_mut().enumerate() {
            let entry = &mut self.table[*combination as usize];
            if *entry == NONE {
                *entry = group_of(at);
            }
            *combination = *entry;
        }
    }

    /// The columns that tell the groups apart.
    pub(crate) fn arrays(&self) -> Vec<ArrayRef> {
        match &self.keys {
            Keys::Whole { keys, .. } => {
                let numbers = keys.iter().copied();
                vec![match self.types[0] {
                    SqlType::Int2 => Arc::new(numbers.map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
                    SqlType::Int4 => Arc::new(numbers.map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
                    SqlType::Date => Arc::new(numbers.map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
                    _ => Arc::new(numbers.collect::<Int64Array>()),
                }]
            }
            Keys::Any { keys, .. } => {
                let column = |(at, t): (usize, &SqlType)| {
                    let mut builder = ColumnBuilder::new(*t, keys.len());
                    keys.iter().for_each(|key| builder.append(key[at].as_ref()));
                    builder.finish()
                };
                self.types.iter().enumerate().map(column).collect()
            }
        }
    }
}

/// Whether a column's numbers can be a key by themselves.
pub(crate) fn is_whole(t: SqlType) -> bool {
    matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Date)
}

/// A value of a type that [`is_whole`]; a NULL is `None`.
pub(super) fn number(value: DatumRef<'_>) -> Option<i64> {
    match value {
        DatumRef::Int2(v) => Some(v.into()),
        DatumRef::Int4(v) | DatumRef::Date(v) => Some(v.into()),
        DatumRef::Int8(v) => Some(v),
        _ => None,
    }
}

/// How many codes a column has, with one for NULL behind the others; `None`: too many, or none.
fn codes_of(packed: &Packed) -> Option<usize> {
    match packed.form() {
        PackedForm::Whole { codes: Codes::U8(_) | Codes::U16(_), most, .. } => Some(most as usize + 2),
        PackedForm::Strings { strings, .. } => Some(strings.len() + 1),
        _ => None,
    }
}

/// Makes a column's codes the last digit of each row's combination.
fn combine(packed: &Packed, start: usize, size: u32, is_first: bool, chosen: Option<&[u32]>, count: usize, out: &mut Vec<u32>) {
    let (codes, nulls) = match packed.form() {
        PackedForm::Whole { codes, nulls, .. } | PackedForm::Strings { codes, nulls, .. } => (codes, nulls),
        PackedForm::Plain => return,
    };
    let before = nulls.map(|_| if is_first { vec![0; count] } else { out.clone() });
    macro_rules! each {
        ($codes:expr) => {{
            let codes = &$codes[start..];
            match (chosen, is_first) {
                (None, true) => out.extend(codes[..count].iter().map(|c| u32::from(*c))),
                (None, false) => out.iter_mut().zip(codes).for_each(|(all, c)| *all = *all * size + u32::from(*c)),
                (Some(chosen), true) => out.extend(chosen.iter().map(|at| u32::from(codes[*at as usize]))),
                (Some(chosen), false) => {
                    let codes = chosen.iter().map(|at| u32::from(codes[*at as usize]));
                    out.iter_mut().zip(codes).for_each(|(all, c)| *all = *all * size + c);
                }
            }
        }};
    }
    match codes {
        Codes::U8(codes) => each!(codes),
        Codes::U16(codes) => each!(codes),
        // Not of so few codes.
        Codes::U32(_) | Codes::U64(_) => return,
    }
    if let (Some(nulls), Some(before)) = (nulls, before) {
        for at in 0..count {
            if nulls.is_null(start + chosen.map_or(at, |chosen| chosen[at] as usize)) {
                out[at] = before[at] * size + (size - 1);
            }
        }
    }
}
