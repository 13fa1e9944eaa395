//! `x = ANY (array)` where the array is a text: what a client sends for a list of values.
//!
//! ```text
//! "= any"(x, '{1,2,NULL}')      true if x is one of them, else NULL if there is a NULL or x is NULL, else false; of no elements false
//! ```
//!
//! Elements are read as values of x's type; a number that x's type has no room for is none of its values. If the array was written as one
//! of fractions (`"= any@numeric"`), x is compared as PostgreSQL would: as a numeric, or a double precision. Once the array is known
//! the planner makes a list of it (`members`), which scans and keys can use.

use std::cell::RefCell;
use std::cmp::Ordering;

use types::text::{self, Session};
use types::{Datum, DatumRef, SqlError, SqlState, SqlType};

use super::{mismatch, text_of};
use crate::array_text;
use crate::compare;
use crate::function::{Arg, Call, Function, Signature};

/// The name of it; an array stands on its right.
pub(crate) const NAME: &str = "= any";

pub(super) const FUNCTIONS: &[Function] = &[Function::new(NAME, signature, is_any).stable().called_on_null()];

/// What the elements were written as where that matters, the constant in the function's name.
pub(crate) const NUMERIC: &str = "numeric";
pub(crate) const FLOAT4: &str = "float4";
pub(crate) const FLOAT8: &str = "float8";

fn signature(args: &[Arg], written: Option<&str>) -> Option<Signature> {
    use SqlType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    let of = |t: SqlType| match (t, written) {
        (t, _) if t.is_string() => SqlType::Text,
        (Int2, Some(NUMERIC)) => Numeric { precision: 5, scale: 0 },
        (Int4, Some(NUMERIC)) => Numeric { precision: 10, scale: 0 },
        (Int8, Some(NUMERIC)) => Numeric { precision: 19, scale: 0 },
        (Float4, Some(NUMERIC | FLOAT8)) | (Int2 | Int4 | Int8 | Numeric { .. }, Some(FLOAT4 | FLOAT8)) => Float8,
        (t, _) => t,
    };
    match *args {
        [t, None] => Some(Signature { args: vec![t.map_or(SqlType::Text, of), SqlType::Text], result: SqlType::Bool }),
        [t, Some(array)] if array.is_string() => {
            Some(Signature { args: vec![t.map_or(SqlType::Text, of), SqlType::Text], result: SqlType::Bool })
        }
        _ => None,
    }
}

/// The elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Members {
    /// Those that a value of the type can be equal to.
    pub(crate) values: Vec<Datum>,
    pub(crate) has_null: bool,
    /// Whether there is no element at all.
    pub(crate) is_empty: bool,
}

/// The elements of an array of values that are compared with one of type `t`. Errors: 22P02, and others of values.
pub(crate) fn members(t: SqlType, written: Option<&str>, array: &str, session: &Session) -> Result<Members, SqlError> {
    let elements = array_text::elements(array)?;
    let mut found = Members { values: Vec::new(), has_null: false, is_empty: elements.is_empty() };
    for element in elements {
        match element {
            None => found.has_null = true,
            Some(element) if is_rounded(t, written) => match text::parse_in(SqlType::Float4, &element, session)? {
                Datum::Float4(value) => found.values.push(Datum::Float8(value.into())),
                _ => return Err(mismatch(NAME)),
            },
            Some(element) => found.values.extend(value(t, &element, session)?),
        }
    }
    Ok(found)
}

/// Whether elements are rounded to a real before they are compared as double precision.
fn is_rounded(t: SqlType, written: Option<&str>) -> bool {
    t == SqlType::Float8 && written == Some(FLOAT4)
}

/// `None` if no value of type `t` is equal to it.
fn value(t: SqlType, element: &str, session: &Session) -> Result<Option<Datum>, SqlError> {
    let is_number = matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. });
    let parsed = match t {
        t if t.is_string() => return Ok(Some(Datum::Text(element.into()))),
        SqlType::Numeric { scale, .. } => text::parse_decimal(element).map(|exact| {
            let scaled = crate::decimal::rescale(exact, scale).ok().map(|unscaled| types::Decimal { unscaled, scale });
            scaled.filter(|scaled| compare(DatumRef::Numeric(*scaled), DatumRef::Numeric(exact)) == Some(Ordering::Equal))
        }),
        t => {
            return match text::parse_in(t, element, session) {
                Err(error) if is_number && error.state == SqlState::NUMERIC_VALUE_OUT_OF_RANGE => Ok(None),
                parsed => parsed.map(Some),
            };
        }
    };
    Ok(parsed?.map(Datum::Numeric))
}

/// Bytes of an array that is remembered: that and its values are in no account of memory.
const REMEMBERED_MAX: usize = 16 << 10;

thread_local! {
    /// The array of the row before, often the same.
    static LAST: RefCell<Option<(SqlType, String, Members)>> = const { RefCell::new(None) };
}

/// Whether its elements depend on nothing but their type and text. Dates and times depend on the session and the day.
fn is_remembered(t: SqlType, written: Option<&str>, array: &str) -> bool {
    use SqlType::{Date, Interval, Time, Timestamp, TimestampTz};
    let is_moving = matches!(t, Date | Time | Timestamp | TimestampTz | Interval);
    !is_moving && !is_rounded(t, written) && array.len() <= REMEMBERED_MAX
}

fn is_any(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (Some(wanted), Some(t)) = (args.first(), call.signature.args.first()) else { return Err(mismatch(NAME)) };
    if matches!(args.get(1), Some(DatumRef::Null)) {
        return Ok(Datum::Null);
    }
    let array = text_of(args, 1)?;
    if !is_remembered(*t, call.special, array) {
        return Ok(is_in(*wanted, &members(*t, call.special, array, call.session)?));
    }
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(of, text, _)| of != t || text != array) {
            *last = Some((*t, array.to_owned(), members(*t, call.special, array, call.session)?));
        }
        let Some((_, _, members)) = last else { return Err(mismatch(NAME)) };
        Ok(is_in(*wanted, members))
    })
}

fn is_in(wanted: DatumRef<'_>, members: &Members) -> Datum {
    if members.is_empty {
        return Datum::Bool(false);
    }
    if wanted.is_null() {
        return Datum::Null;
    }
    let found = members.values.iter().any(|member| compare(wanted, member.as_ref()) == Some(Ordering::Equal));
    if !found && members.has_null { Datum::Null } else { Datum::Bool(found) }
}
