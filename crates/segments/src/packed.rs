//! A column of a row group in memory, in the least of it that can still be read at any row and compared as it is.
//!
//! ```text
//! whole numbers, dates, times, numerics    value = base + code        code: 1, 2, 4 or 8 bytes
//! strings that come again                  value = strings[code]      code: 1 or 2 bytes
//! everything else                          as Arrow has it
//! ```
//!
//! 1. A code is NULL's too: which rows are NULL is known beside the codes.
//! 2. Codes are whole bytes: row `n` is found without those before it, so a point read costs what an array's does.
//! 3. Codes of whole numbers are in the order of their values; those of strings are not.
//!
//! Costs, of a value: to pack 2 to 20 ns, once for each time it is decoded; to unpack 0.5 to 2 ns; to compare a code 0.3 ns.
//!
//! Source: Data Blocks (Lang et al., SIGMOD 2016): codes that are byte-aligned, so that points are read as well as scans.

#![allow(clippy::unnecessary_cast, reason = "what is written once for all widths of codes casts the widest to itself")]

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, Decimal128Array, GenericByteViewArray, Int16Array, Int32Array,
    Int64Array, PrimitiveArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{ByteViewType, DataType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use foldhash::fast::FixedState;
use types::{DatumRef, Decimal, SqlType, arrow_form};

use crate::cache::memory;
use crate::column::Column;

/// Strings in a dictionary, at most.
const STRINGS_MAX: usize = 1 << 16;
/// Rows that a string of a dictionary has to have on average.
const REPEATS_MIN: usize = 8;

/// A column of a row group, see the module's head.
#[derive(Debug)]
pub struct Packed {
    sql_type: SqlType,
    rows: usize,
    form: Form,
    /// Bytes.
    memory: usize,
}

#[derive(Debug)]
enum Form {
    Plain(ArrayRef, Column),
    Whole { base: i64, codes: Codes, most: u64, nulls: Option<NullBuffer> },
    Strings { strings: ArrayRef, column: Column, codes: Codes, nulls: Option<NullBuffer> },
}

/// A code for each row, in as many bytes as the largest needs.
#[derive(Debug)]
pub enum Codes {
    /// Of one byte.
    U8(ScalarBuffer<u8>),
    /// Of two bytes.
    U16(ScalarBuffer<u16>),
    /// Of four bytes.
    U32(ScalarBuffer<u32>),
    /// Of eight bytes.
    U64(ScalarBuffer<u64>),
}

/// Runs `$body` with `$codes` the slice of codes, whatever their width.
macro_rules! with_codes {
    ($all:expr, $codes:ident => $body:expr) => {
        match $all {
            Codes::U8($codes) => $body,
            Codes::U16($codes) => $body,
            Codes::U32($codes) => $body,
            Codes::U64($codes) => $body,
        }
    };
}

// Behind the macro, which it uses.
mod image;

/// What of a packed column can be looked at without unpacking it.
#[derive(Debug)]
pub enum PackedForm<'a> {
    /// Nothing.
    Plain,
    /// `base + code`: the number a value is kept as (days, microseconds, the digits of a numeric).
    Whole {
        /// The smallest value.
        base: i64,
        /// What is added to it.
        codes: &'a Codes,
        /// The largest of those.
        most: u64,
        /// Rows that are NULL, if any are.
        nulls: Option<&'a NullBuffer>,
    },
    /// `strings[code]`.
    Strings {
        /// The distinct strings, in no order, in the Arrow form of the column's type.
        strings: &'a ArrayRef,
        /// Which of them.
        codes: &'a Codes,
        /// Rows that are NULL, if any are.
        nulls: Option<&'a NullBuffer>,
    },
}

impl Packed {
    /// Packs the values of a column of type `t`. `None`: the array is not of that type's Arrow form.
    pub fn new(array: ArrayRef, t: SqlType) -> Option<Packed> {
        let column = Column::new(&array, t)?;
        let rows = array.len();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        let found = match &column {
            Column::Int2(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 2),
            Column::Int4(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 4),
            Column::Int8(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 8),
            Column::Numeric(a, _) => whole(a.values().iter().copied(), nulls.as_ref(), 16),
            Column::Date(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 4),
            Column::Time(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 8),
            Column::Timestamp(a) | Column::TimestampTz(a) => whole(a.values().iter().map(|v| i128::from(*v)), nulls.as_ref(), 8),
            _ => None,
        };
        if let Some((base, most, codes)) = found {
            return Some(Packed::in_memory(t, rows, Form::Whole { base, codes, most, nulls }));
        }
        let found = match array.data_type() {
            DataType::Utf8View => strings(array.as_string_view()),
            DataType::BinaryView => strings(array.as_binary_view()),
            _ => None,
        };
        let form = match found {
            Some((strings, codes)) => Form::Strings { column: Column::new(&strings, t)?, strings, codes, nulls },
            None => Form::Plain(array, column),
        };
        Some(Packed::in_memory(t, rows, form))
    }

    /// One whose buffers are its own.
    fn in_memory(sql_type: SqlType, rows: usize, form: Form) -> Packed {
        let bytes = |codes: &Codes, nulls: &Option<NullBuffer>| {
            with_codes!(codes, codes => codes.inner().capacity()) + nulls.as_ref().map_or(0, |n| n.buffer().capacity())
        };
        let memory = match &form {
            Form::Plain(array, _) => memory(array),
            Form::Whole { codes, nulls, .. } => bytes(codes, nulls),
            Form::Strings { strings, codes, nulls, .. } => memory(strings) + bytes(codes, nulls),
        };
        Packed { sql_type, rows, form, memory: size_of::<Packed>() + memory }
    }

    /// Values in the column.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True for a column of no values.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of memory it takes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What can be looked at without unpacking.
    pub fn form(&self) -> PackedForm<'_> {
        match &self.form {
            Form::Plain(..) => PackedForm::Plain,
            Form::Whole { base, codes, most, nulls } => {
                PackedForm::Whole { base: *base, codes, most: *most, nulls: nulls.as_ref() }
            }
            Form::Strings { strings, codes, nulls, .. } => PackedForm::Strings { strings, codes, nulls: nulls.as_ref() },
        }
    }

    /// The value at `row` (from 0). Panics beyond the end.
    #[inline]
    pub fn get(&self, row: usize) -> DatumRef<'_> {
        match &self.form {
            Form::Plain(_, column) => column.view().get(row),
            Form::Whole { nulls: Some(nulls), .. } | Form::Strings { nulls: Some(nulls), .. } if nulls.is_null(row) => {
                DatumRef::Null
            }
            Form::Whole { base, codes, .. } => datum(self.sql_type, base.wrapping_add(codes.get(row) as i64)),
            Form::Strings { column, codes, .. } => column.view().get(codes.get(row) as usize),
        }
    }

    /// Reads from memory what [`Packed::get`] will, but for strings that are not short, and no more: some bits of the value at `row`.
    #[inline]
    pub(crate) fn touch(&self, row: usize) -> u64 {
        match &self.form {
            Form::Plain(_, column) => column.view().touch(row),
            Form::Whole { codes, .. } | Form::Strings { codes, .. } => codes.get(row),
        }
    }

    /// The values of `rows`, in the type's Arrow form.
    pub fn array(&self, rows: Range<usize>) -> ArrayRef {
        match &self.form {
            Form::Plain(array, _) => array.slice(rows.start, rows.len()),
            Form::Whole { base, codes, nulls, .. } => {
                let nulls = nulls.as_ref().map(|nulls| nulls.slice(rows.start, rows.len()));
                with_codes!(codes, codes => whole_array(self.sql_type, *base, codes[rows].iter().map(|c| *c as u64), nulls))
            }
            Form::Strings { strings, codes, nulls, .. } => {
                let nulls = nulls.as_ref().map(|nulls| nulls.slice(rows.start, rows.len()));
                codes.strings(strings, rows, nulls)
            }
        }
    }

    /// The values of the rows `start + i` for each `i` of `chosen`, in the type's Arrow form. Panics beyond the end.
    pub fn chosen(&self, start: usize, chosen: &[u32]) -> ArrayRef {
        let picked = |nulls: &Option<NullBuffer>| {
            let nulls = nulls.as_ref()?;
            Some(NullBuffer::new(BooleanBuffer::collect_bool(chosen.len(), |at| nulls.is_valid(start + chosen[at] as usize))))
        };
        match &self.form {
            Form::Plain(array, _) => {
                let array = array.slice(start, array.len() - start);
                taken(&array, UInt32Array::new(chosen.to_vec().into(), None))
            }
            Form::Whole { base, codes, nulls, .. } => with_codes!(codes, codes => {
                let codes = &codes[start..];
                whole_array(self.sql_type, *base, chosen.iter().map(|at| codes[*at as usize] as u64), picked(nulls))
            }),
            Form::Strings { strings, codes, nulls, .. } => {
                codes.chosen(start, chosen).strings(strings, 0..chosen.len(), picked(nulls))
            }
        }
    }
}

impl Codes {
    /// The code of a row. Panics beyond the end.
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        with_codes!(self, codes => codes[row] as u64)
    }

    /// Appends `base + code` of each of `rows`.
    pub fn numbers(&self, base: i64, rows: Range<usize>, out: &mut Vec<i64>) {
        with_codes!(self, codes => out.extend(codes[rows].iter().map(|code| base.wrapping_add(*code as i64))));
    }

    /// Appends `base + code` of the row `start + i` for each `i` of `chosen`.
    pub fn numbers_of(&self, base: i64, start: usize, chosen: &[u32], out: &mut Vec<i64>) {
        with_codes!(self, codes => {
            let codes = &codes[start..];
            out.extend(chosen.iter().map(|at| base.wrapping_add(codes[*at as usize] as i64)));
        });
    }

    fn chosen(&self, start: usize, chosen: &[u32]) -> Codes {
        macro_rules! of {
            ($form:path, $codes:expr) => {{
                let codes = &$codes[start..];
                $form(chosen.iter().map(|at| codes[*at as usize]).collect())
            }};
        }
        match self {
            Codes::U8(codes) => of!(Codes::U8, codes),
            Codes::U16(codes) => of!(Codes::U16, codes),
            Codes::U32(codes) => of!(Codes::U32, codes),
            Codes::U64(codes) => of!(Codes::U64, codes),
        }
    }

    /// The strings that the codes of `rows` stand for.
    fn strings(&self, strings: &ArrayRef, rows: Range<usize>, nulls: Option<NullBuffer>) -> ArrayRef {
        let (start, len) = (rows.start, rows.len());
        match self {
            Codes::U8(codes) => taken(strings, PrimitiveArray::<UInt8Type>::new(codes.slice(start, len), nulls)),
            Codes::U16(codes) => taken(strings, PrimitiveArray::<UInt16Type>::new(codes.slice(start, len), nulls)),
            Codes::U32(codes) => taken(strings, PrimitiveArray::<UInt32Type>::new(codes.slice(start, len), nulls)),
            Codes::U64(codes) => taken(strings, PrimitiveArray::<UInt64Type>::new(codes.slice(start, len), nulls)),
        }
    }

    /// Which of `rows` have a code within `range`.
    pub fn within(&self, rows: Range<usize>, range: RangeInclusive<u64>) -> BooleanBuffer {
        macro_rules! within {
            ($codes:expr, $t:ty) => {{
                let codes = &$codes[rows];
                let most = u64::from(<$t>::MAX);
                if range.is_empty() || *range.start() > most {
                    return BooleanBuffer::new_unset(codes.len());
                }
                let low = *range.start() as $t;
                let width = (*range.end()).min(most) as $t - low;
                bits(codes, |code| code.wrapping_sub(low) <= width)
            }};
        }
        match self {
            Codes::U8(codes) => within!(codes, u8),
            Codes::U16(codes) => within!(codes, u16),
            Codes::U32(codes) => within!(codes, u32),
            Codes::U64(codes) => within!(codes, u64),
        }
    }

    /// Which of `rows` have a code for which this is true.
    #[inline]
    pub fn that(&self, rows: Range<usize>, is_wanted: impl Fn(u64) -> bool) -> BooleanBuffer {
        with_codes!(self, codes => bits(&codes[rows], |code| is_wanted(code as u64)))
    }

    /// Which of `rows` have a code that `wanted` says yes to, by code.
    pub fn among(&self, rows: Range<usize>, wanted: &[bool]) -> BooleanBuffer {
        self.that(rows, |code| wanted.get(code as usize).copied().unwrap_or(false))
    }
}

/// A bit for each value.
#[inline]
fn bits<T: Copy>(values: &[T], is_set: impl Fn(T) -> bool) -> BooleanBuffer {
    let mut words: Vec<u64> = Vec::with_capacity(values.len().div_ceil(64));
    let chunks = values.chunks_exact(64);
    let rest = chunks.remainder();
    for chunk in chunks {
        // Bytes first: the processor makes sixteen of them at a time.
        let mut found = [0u8; 64];
        for (found, value) in found.iter_mut().zip(chunk) {
            *found = u8::from(is_set(*value));
        }
        let mut word = 0;
        for (at, eight) in found.as_chunks::<8>().0.iter().enumerate() {
            // The lowest bit of each of eight bytes, side by side.
            word |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
        }
        words.push(word);
    }
    if !rest.is_empty() {
        words.push(rest.iter().enumerate().fold(0, |word, (at, value)| word | u64::from(is_set(*value)) << at));
    }
    BooleanBuffer::new(words.into(), 0, values.len())
}

/// Numbers as a base and codes, if those are narrower than the `width` bytes a number has.
fn whole(values: impl Iterator<Item = i128> + Clone, nulls: Option<&NullBuffer>, width: usize) -> Option<(i64, u64, Codes)> {
    let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let (mut min, mut max) = (i128::MAX, i128::MIN);
    match nulls {
        None => values.clone().for_each(|v| (min, max) = (min.min(v), max.max(v))),
        Some(_) => {
            values.clone().enumerate().filter(|(row, _)| is_valid(*row)).for_each(|(_, v)| (min, max) = (min.min(v), max.max(v)));
        }
    }
    if min > max {
        // Nothing but NULLs, or nothing at all.
        (min, max) = (0, 0);
    }
    let base = i64::try_from(min).ok()?;
    i64::try_from(max).ok()?;
    // What stands in the place of a NULL may be outside.
    let code = |(row, v): (usize, i128)| if is_valid(row) { (v - min) as u64 } else { 0 };
    let codes = values.enumerate().map(code);
    let most = (max - min) as u64;
    let codes = match most {
        0..=0xff if width > 1 => Codes::U8(codes.map(|c| c as u8).collect()),
        0..=0xffff if width > 2 => Codes::U16(codes.map(|c| c as u16).collect()),
        0..=0xffff_ffff if width > 4 => Codes::U32(codes.map(|c| c as u32).collect()),
        _ if width > 8 => Codes::U64(codes.collect()),
        _ => return None,
    };
    Some((base, most, codes))
}

/// Strings as codes, if there are few of them.
fn strings<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Option<(ArrayRef, Codes)> {
    let most = STRINGS_MAX.min(array.len() / REPEATS_MIN);
    let mut seen: HashMap<&[u8], u16, FixedState> = HashMap::default();
    let mut codes = Vec::with_capacity(array.len());
    let mut rows: Vec<u32> = Vec::new();
    // The code found last for short strings of a kind: most columns of codes have a handful.
    let mut last: Option<(u128, u16)> = None;
    for row in 0..array.len() {
        if array.is_null(row) {
            codes.push(0);
            continue;
        }
        let view = array.views()[row];
        let short = view as u32 <= 12;
        if let Some((seen, code)) = last
            && short
            && seen == view
        {
            codes.push(code);
            continue;
        }
        let value: &[u8] = array.value(row).as_ref();
        let code = match seen.get(value) {
            Some(code) => *code,
            None if rows.len() >= most => return None,
            None => {
                let code = rows.len() as u16;
                seen.insert(value, code);
                rows.push(row as u32);
                code
            }
        };
        if short {
            last = Some((view, code));
        }
        codes.push(code);
    }
    let strings = take(array, &UInt32Array::new(rows.into(), None), None).ok()?;
    let strings: ArrayRef = match strings.data_type() {
        DataType::Utf8View => Arc::new(strings.as_string_view().gc()),
        _ => Arc::new(strings.as_binary_view().gc()),
    };
    let codes = match strings.len() {
        0..=0x100 => Codes::U8(codes.iter().map(|c| *c as u8).collect()),
        _ => Codes::U16(codes.into()),
    };
    Some((strings, codes))
}

/// The value of a type that is kept as this number.
#[inline]
fn datum(t: SqlType, v: i64) -> DatumRef<'static> {
    match t {
        SqlType::Int2 => DatumRef::Int2(v as i16),
        SqlType::Int4 => DatumRef::Int4(v as i32),
        SqlType::Date => DatumRef::Date(v as i32),
        SqlType::Time => DatumRef::Time(v),
        SqlType::Timestamp => DatumRef::Timestamp(v),
        SqlType::TimestampTz => DatumRef::TimestampTz(v),
        SqlType::Numeric { scale, .. } => DatumRef::Numeric(Decimal { unscaled: v.into(), scale }),
        _ => DatumRef::Int8(v),
    }
}

fn whole_array(t: SqlType, base: i64, codes: impl Iterator<Item = u64>, nulls: Option<NullBuffer>) -> ArrayRef {
    let values = codes.map(|code| base.wrapping_add(code as i64));
    match t {
        SqlType::Int2 => Arc::new(Int16Array::new(values.map(|v| v as i16).collect(), nulls)),
        SqlType::Int4 => Arc::new(Int32Array::new(values.map(|v| v as i32).collect(), nulls)),
        SqlType::Date => Arc::new(Date32Array::new(values.map(|v| v as i32).collect(), nulls)),
        SqlType::Time => Arc::new(Time64MicrosecondArray::new(values.collect(), nulls)),
        SqlType::Timestamp | SqlType::TimestampTz => {
            let array = TimestampMicrosecondArray::new(values.collect(), nulls);
            Arc::new(array.with_data_type(arrow_form::data_type(t)))
        }
        SqlType::Numeric { .. } => {
            let array = Decimal128Array::new(values.map(i128::from).collect(), nulls);
            Arc::new(array.with_data_type(arrow_form::data_type(t)))
        }
        _ => Arc::new(Int64Array::new(values.collect(), nulls)),
    }
}

/// The values at some indices, all of which the array has but for those of NULLs.
fn taken<I: ArrowPrimitiveType>(array: &ArrayRef, indices: PrimitiveArray<I>) -> ArrayRef {
    take(array, &indices, None).expect("an array can be taken from by whole numbers")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Datum;
    use types::arrow_form::{ColumnBuilder, datum_at};

    use super::*;

    pub(super) fn array_of(t: SqlType, values: &[Datum]) -> ArrayRef {
        let mut builder = ColumnBuilder::new(t, values.len());
        values.iter().for_each(|value| builder.append(value.as_ref()));
        builder.finish()
    }

    /// A column's type and values: numbers from a small or a large range, strings that come again or not, some NULL.
    pub(super) fn columns() -> impl Strategy<Value = (SqlType, Vec<Datum>)> {
        let span = prop_oneof![Just(1i64), Just(250), Just(300), Just(70_000), Just(5_000_000_000), Just(i64::MAX)];
        let numeric = SqlType::Numeric { precision: 38, scale: 2 };
        let types = prop_oneof![
            Just(SqlType::Int2),
            Just(SqlType::Int4),
            Just(SqlType::Int8),
            Just(SqlType::Date),
            Just(SqlType::Time),
            Just(SqlType::Timestamp),
            Just(SqlType::TimestampTz),
            Just(numeric),
            Just(SqlType::Text),
            Just(SqlType::Bytea),
            Just(SqlType::Bool),
            Just(SqlType::Float8),
        ];
        (types, span, any::<i64>(), 0..3u8, proptest::collection::vec((any::<i64>(), 0..10u8), 1..300)).prop_map(
            |(t, span, base, nulls, values)| {
                let datum = |(v, chance): &(i64, u8)| {
                    if *chance < nulls {
                        return Datum::Null;
                    }
                    let v = base.saturating_add(v.rem_euclid(span));
                    match t {
                        SqlType::Int2 => Datum::Int2(v as i16),
                        SqlType::Int4 => Datum::Int4(v as i32),
                        SqlType::Int8 => Datum::Int8(v),
                        SqlType::Date => Datum::Date(v as i32),
                        SqlType::Time => Datum::Time(v),
                        SqlType::Timestamp => Datum::Timestamp(v),
                        SqlType::TimestampTz => Datum::TimestampTz(v),
                        SqlType::Numeric { scale, .. } => {
                            // Beyond 64 bits now and then.
                            let unscaled = if span == i64::MAX { i128::from(v) * 1_000_000_007 } else { v.into() };
                            Datum::Numeric(Decimal { unscaled, scale })
                        }
                        SqlType::Text => Datum::Text(format!("a string of {}", v % 40).into()),
                        SqlType::Bytea => Datum::Bytea((v % 30).to_le_bytes().as_slice().into()),
                        SqlType::Bool => Datum::Bool(v % 2 == 0),
                        _ => Datum::Float8(v as f64),
                    }
                };
                (t, values.iter().map(datum).collect())
            },
        )
    }

    proptest! {
        #[test]
        fn packed_values_are_the_arrays((t, values) in columns(), at in any::<proptest::sample::Index>()) {
            let array = array_of(t, &values);
            let packed = Packed::new(Arc::clone(&array), t).unwrap();
            prop_assert_eq!(packed.len(), values.len());
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(&packed.get(row).to_owned(), value);
            }
            let start = at.index(values.len());
            let part = packed.array(start..values.len());
            prop_assert_eq!(part.data_type(), array.data_type());
            for (row, value) in values[start..].iter().enumerate() {
                prop_assert_eq!(&datum_at(&part, row, t), value);
            }
            let chosen: Vec<u32> = (0..(values.len() - start) as u32).filter(|row| row % 3 == 1).collect();
            let some = packed.chosen(start, &chosen);
            prop_assert_eq!(some.len(), chosen.len());
            for (found, row) in chosen.iter().enumerate() {
                prop_assert_eq!(&datum_at(&some, found, t), &values[start + *row as usize]);
            }
        }

        #[test]
        fn codes_within_a_range(codes in proptest::collection::vec(any::<u8>(), 0..200), low in any::<u8>(), high in 0..300u64, wide in any::<bool>()) {
            let of = match wide {
                false => Codes::U8(codes.clone().into()),
                true => Codes::U32(codes.iter().map(|c| u32::from(*c)).collect()),
            };
            let range = u64::from(low)..=high;
            let rows = codes.len() / 3..codes.len();
            let found: Vec<bool> = of.within(rows.clone(), range.clone()).iter().collect();
            let expected: Vec<bool> = codes[rows.clone()].iter().map(|code| range.contains(&u64::from(*code))).collect();
            prop_assert_eq!(found, expected);
            let wanted: Vec<bool> = (0..256u64).map(|code| range.contains(&code)).collect();
            let found: Vec<bool> = of.among(rows.clone(), &wanted).iter().collect();
            let expected: Vec<bool> = codes[rows].iter().map(|code| range.contains(&u64::from(*code))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn nothing_but_nulls() {
        for t in [SqlType::Int4, SqlType::Text, SqlType::Bytea, SqlType::Numeric { precision: 20, scale: 1 }, SqlType::Bool] {
            let packed = Packed::new(array_of(t, &vec![Datum::Null; 40]), t).unwrap();
            assert!(packed.get(3).is_null());
            assert_eq!((packed.array(2..40).null_count(), packed.array(2..40).len()), (38, 38));
            assert_eq!(packed.chosen(1, &[0, 5]).null_count(), 2);
        }
    }

    #[test]
    fn a_code_takes_as_many_bytes_as_it_needs() {
        let bytes = |t: SqlType, values: Vec<Datum>| {
            let packed = Packed::new(array_of(t, &values), t).unwrap();
            match packed.form {
                Form::Plain(..) => 0,
                Form::Whole { codes, .. } | Form::Strings { codes, .. } => codes.width(),
            }
        };
        let longs = |values: &[i64]| values.iter().map(|v| Datum::Int8(*v)).collect::<Vec<_>>();
        assert_eq!(bytes(SqlType::Int8, longs(&[-5, 250])), 1);
        assert_eq!(bytes(SqlType::Int8, longs(&[-5, 251])), 2);
        assert_eq!(bytes(SqlType::Int8, longs(&[0, 65_536])), 4);
        assert_eq!(bytes(SqlType::Int8, longs(&[0, 1 << 32])), 0);
        let numeric = SqlType::Numeric { precision: 30, scale: 0 };
        let numerics =
            |values: &[i128]| values.iter().map(|v| Datum::Numeric(Decimal { unscaled: *v, scale: 0 })).collect::<Vec<_>>();
        assert_eq!(bytes(numeric, numerics(&[0, 1 << 32])), 8);
        assert_eq!(bytes(numeric, numerics(&[0, 1 << 64])), 0);
        let texts = |distinct: usize, rows: usize| {
            (0..rows).map(|row| Datum::Text(format!("{}", row % distinct).into())).collect::<Vec<_>>()
        };
        assert_eq!(bytes(SqlType::Text, texts(256, 4096)), 1);
        assert_eq!(bytes(SqlType::Text, texts(257, 4096)), 2);
        assert_eq!(bytes(SqlType::Text, texts(1000, 4096)), 0);
    }
}
