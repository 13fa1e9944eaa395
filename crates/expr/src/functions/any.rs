//! `x = ANY (array)` where the array is a text: what a client sends for a list of values.
//!
//! ```text
//! "= any"(x, '{1,2,NULL}')      true if x is one of them, else NULL if there is a NULL or x is NULL, else false; of no elements false
//! ```
//!
//! Elements are read as values of x's type; a number that x's type has no room for is none of its values. Once the array is known the
//! planner makes a list of it (`members`), which scans and keys can use.

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

pub(super) const FUNCTIONS: &[Function] = &[Function::new(NAME, |args, _| signature(args), is_any).stable().called_on_null()];

fn signature(args: &[Arg]) -> Option<Signature> {
    let of = |t: SqlType| if t.is_string() { SqlType::Text } else { t };
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
pub(crate) fn members(t: SqlType, array: &str, session: &Session) -> Result<Members, SqlError> {
    let elements = array_text::elements(array)?;
    let mut found = Members { values: Vec::new(), has_null: false, is_empty: elements.is_empty() };
    for element in elements {
        match element {
            None => found.has_null = true,
            Some(element) => found.values.extend(value(t, &element, session)?),
        }
    }
    Ok(found)
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

thread_local! {
    /// The array of the row before: most often it is the same.
    static LAST: RefCell<Option<(SqlType, String, Members)>> = const { RefCell::new(None) };
}

fn is_any(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (Some(wanted), Some(t)) = (args.first(), call.signature.args.first()) else { return Err(mismatch(NAME)) };
    if matches!(args.get(1), Some(DatumRef::Null)) {
        return Ok(Datum::Null);
    }
    let array = text_of(args, 1)?;
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(of, text, _)| of != t || text != array) {
            *last = Some((*t, array.to_owned(), members(*t, array, call.session)?));
        }
        let Some((_, _, members)) = last else { return Err(mismatch(NAME)) };
        if members.is_empty {
            return Ok(Datum::Bool(false));
        }
        if wanted.is_null() {
            return Ok(Datum::Null);
        }
        let found = members.values.iter().any(|member| compare(*wanted, member.as_ref()) == Some(Ordering::Equal));
        Ok(if !found && members.has_null { Datum::Null } else { Datum::Bool(found) })
    })
}
