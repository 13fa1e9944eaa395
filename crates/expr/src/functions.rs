//! The functions and operators there are. Each file holds one kind, as a table of [`crate::function::Function`]s and their kernels.
//!
//! Not here: aggregates (`arrow_driver::aggregates`), what only DataFusion has (arrays, regular expressions, `LIKE`).

use types::{Datum, DatumRef, SqlError, SqlType};

use crate::function::{Arg, Function, Signature};

pub(crate) mod any;
mod arithmetic;
mod conditional;
mod datetime;
mod encoding;
mod fields;
mod hash;
mod math;
mod pattern;
mod regexp;
mod template;
mod template_interval;
mod temporal;
mod text;

pub(crate) use arithmetic::Op;
pub(crate) use fields::Field;
pub(crate) use temporal::{TruncateTo, add_interval, add_interval_in, truncate_timestamp};
pub(crate) use text::{characters, first};

/// All of them; later ones with the same name do not exist.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    [
        any::FUNCTIONS,
        arithmetic::FUNCTIONS,
        conditional::FUNCTIONS,
        datetime::FUNCTIONS,
        encoding::FUNCTIONS,
        hash::FUNCTIONS,
        math::FUNCTIONS,
        regexp::FUNCTIONS,
        text::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Fits `args` to `wanted`: an open one takes the wanted type, the others must be it or widen to it without loss.
fn fits(args: &[Arg], wanted: &[SqlType], result: SqlType) -> Option<Signature> {
    if args.len() != wanted.len() {
        return None;
    }
    for (arg, wanted) in args.iter().zip(wanted) {
        if arg.is_some_and(|arg| !widens(arg, *wanted)) {
            return None;
        }
    }
    Some(Signature { args: wanted.to_vec(), result })
}

/// True if PostgreSQL casts `from` to `to` by itself, for an argument.
pub(crate) fn widens(from: SqlType, to: SqlType) -> bool {
    use SqlType::*;
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if from.is_string() && to.is_string() => true,
        (Int2, Int4 | Int8 | Float4 | Float8 | Numeric { .. })
        | (Int4, Int8 | Float4 | Float8 | Numeric { .. })
        | (Int8, Float4 | Float8 | Numeric { .. })
        | (Numeric { .. }, Float4 | Float8)
        | (Float4, Float8)
        | (Date, Timestamp | TimestampTz)
        | (Timestamp, TimestampTz)
        | (Time, Interval) => true,
        (Numeric { .. }, Numeric { .. }) => true,
        _ => false,
    }
}

/// A kernel was called with other types than its signature says.
fn mismatch(name: &str) -> SqlError {
    SqlError::bug(format!("{name} was called with types it was not resolved for"))
}

fn text_of<'a>(args: &[DatumRef<'a>], at: usize) -> Result<&'a str, SqlError> {
    match args.get(at) {
        Some(DatumRef::Text(v)) => Ok(v),
        _ => Err(mismatch("a text function")),
    }
}

fn int_of(args: &[DatumRef<'_>], at: usize) -> Result<i64, SqlError> {
    match args.get(at) {
        Some(DatumRef::Int2(v)) => Ok((*v).into()),
        Some(DatumRef::Int4(v)) => Ok((*v).into()),
        Some(DatumRef::Int8(v)) => Ok(*v),
        _ => Err(mismatch("a function of an integer")),
    }
}

fn float_of(args: &[DatumRef<'_>], at: usize) -> Result<f64, SqlError> {
    match args.get(at) {
        Some(DatumRef::Float8(v)) => Ok(*v),
        Some(DatumRef::Float4(v)) => Ok((*v).into()),
        _ => Err(mismatch("a function of a float")),
    }
}

fn text(v: impl Into<Box<str>>) -> Result<Datum, SqlError> {
    Ok(Datum::Text(v.into()))
}
