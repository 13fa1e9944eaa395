//! `coalesce`, `nullif`, `greatest`, `least`: which of their arguments they give.
//!
//! The Arrow driver turns `coalesce` and `nullif` into CASE, so that an argument that is not needed is not computed; the row driver
//! computes them one after the other for the same reason. The kernels here serve where all arguments are there already.

use std::cmp::Ordering;

use types::{Datum, DatumRef, SqlType};

use super::mismatch;
use crate::compare::compare;
use crate::function::{Arg, Call, Function, Signature};
use crate::rules;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("coalesce", one_type, |_, args| {
        Ok(args.iter().find(|v| !v.is_null()).map_or(Datum::Null, |v| (*v).to_owned()))
    })
    .called_on_null(),
    Function::new("nullif", two_compared, |call, args| match args {
        [a, b] if is_equal(call, *a, *b) => Ok(Datum::Null),
        [a, _] => Ok((*a).to_owned()),
        _ => Err(mismatch("nullif")),
    })
    .called_on_null(),
    Function::new("greatest", one_type, |_, args| Ok(extreme(args, Ordering::Greater))).called_on_null(),
    Function::new("least", one_type, |_, args| Ok(extreme(args, Ordering::Less))).called_on_null(),
    Function::new("num_nulls", any, |_, args| Ok(Datum::Int4(args.iter().filter(|v| v.is_null()).count() as i32)))
        .called_on_null(),
    Function::new("num_nonnulls", any, |_, args| Ok(Datum::Int4(args.iter().filter(|v| !v.is_null()).count() as i32)))
        .called_on_null(),
];

fn one_type(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    if args.is_empty() {
        return None;
    }
    let t = rules::common(args.iter().copied())?;
    Some(Signature { args: vec![t; args.len()], result: t })
}

/// The result has the type both are compared in: `char` with a text is a text.
fn two_compared(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let &[a, b] = args else { return None };
    let is_char = |t: SqlType| matches!(t, SqlType::Char(_));
    let t = match (a, b) {
        (Some(a), Some(b)) if a.is_string() && b.is_string() && is_char(a) != is_char(b) => SqlType::Text,
        _ => rules::common([a, b])?,
    };
    Some(Signature { args: vec![t, t], result: t })
}

fn any(args: &[Arg], _: Option<&str>) -> Option<Signature> {
    let args = args.iter().map(|arg| arg.unwrap_or(SqlType::Text)).collect::<Vec<_>>();
    (!args.is_empty()).then_some(Signature { args, result: SqlType::Int4 })
}

/// Blanks at the end of a `char(n)` do not count.
fn is_equal(call: &Call<'_>, a: DatumRef<'_>, b: DatumRef<'_>) -> bool {
    match (call.signature.result, a, b) {
        (SqlType::Char(_), DatumRef::Text(a), DatumRef::Text(b)) => a.trim_end_matches(' ') == b.trim_end_matches(' '),
        (_, a, b) => compare(a, b) == Some(Ordering::Equal),
    }
}

/// NULLs are passed over.
fn extreme(args: &[DatumRef<'_>], wanted: Ordering) -> Datum {
    let known = args.iter().filter(|v| !v.is_null());
    let found = known.reduce(|best, next| if compare(*next, *best) == Some(wanted) { next } else { best });
    found.map_or(Datum::Null, |v| (*v).to_owned())
}
