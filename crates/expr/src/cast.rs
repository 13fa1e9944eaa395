//! Explicit casts: `CAST(x AS t)`, `x::t`.
//!
//! They do what assignment does (`types::coerce`), and more: strings are cut to a length instead of refused, integers and booleans
//! become each other, everything becomes text.
//!
//! Source: PostgreSQL 15, `pg_cast.dat`, context `e`.

use types::text::Session;
use types::{Datum, DatumRef, SqlError, SqlState, SqlType, coerce};

use crate::functions;

/// True if there is a cast between the types.
pub(crate) fn exists(from: SqlType, to: SqlType) -> bool {
    use SqlType::{Bool, Date, Int4, Interval, Time, Timestamp, TimestampTz};
    if from.is_string() || to.is_string() || (from.is_number() && to.is_number()) {
        return true;
    }
    let kind = std::mem::discriminant::<SqlType>;
    kind(&from) == kind(&to)
        || matches!(
            (from, to),
            (Bool, Int4)
                | (Int4, Bool)
                | (Date, Timestamp | TimestampTz)
                | (Timestamp, Date | Time | TimestampTz)
                | (TimestampTz, Date | Time | Timestamp)
                | (Time, Interval)
                | (Interval, Time)
        )
}

/// The error for a cast there is not.
pub(crate) fn missing(from: SqlType, to: SqlType) -> SqlError {
    SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}"))
}

/// `value` as a value of type `to`. Errors: 22003, 22008, 22P02, ...: the value has no such form; 42846 where there is no cast.
pub(crate) fn cast(value: DatumRef<'_>, to: SqlType, session: &Session) -> Result<Datum, SqlError> {
    match (value, to) {
        (DatumRef::Bool(v), SqlType::Int4) => Ok(Datum::Int4(v.into())),
        (DatumRef::Int4(v), SqlType::Bool) => Ok(Datum::Bool(v != 0)),
        (DatumRef::Text(v), SqlType::Varchar(n)) => Ok(Datum::Text(functions::first(v, n as usize).into())),
        (DatumRef::Text(v), SqlType::Char(0)) => Ok(Datum::Text(v.into())),
        (DatumRef::Text(v), SqlType::Char(n)) => coerce::assign(Datum::Text(functions::first(v, n as usize).into()), to),
        // What is shown in full is cut, not refused.
        (v, SqlType::Varchar(_) | SqlType::Char(_)) if !v.is_null() => {
            let text = coerce::assign_in(v.to_owned(), SqlType::Text, session)?;
            cast(text.as_ref(), to, session)
        }
        (v, to) => coerce::assign_in(v.to_owned(), to, session).map_err(|error| match error.state {
            SqlState::DATATYPE_MISMATCH => SqlError { state: SqlState::CANNOT_COERCE, ..error },
            _ => error,
        }),
    }
}
