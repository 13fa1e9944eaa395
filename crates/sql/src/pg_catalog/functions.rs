//! The functions clients ask system relations with.
//!
//! ```text
//! name, argument types --find--> Function (what it returns) --call--> value
//!         object     what relations, types and users are called, how they are defined, how big they are
//!         session    who and where the session is
//!         sequence   nextval and its kin
//!         advisory   pg_advisory_lock and its kin
//!         text       strings and arrays
//!         sets       functions that return rows
//! ```

mod advisory;
mod object;
mod schema;
mod sequence;
mod session;
mod sets;
mod text;

pub(crate) use object::procedure_text;
pub(crate) use sets::{SetFunction, find as find_set, is_system as is_system_set, set};

use types::SqlError;

use super::kind::Kind;
use super::run::Run;
use super::value::Value;

type Body = fn(&Run<'_>, &[Value], &[Kind]) -> Result<Value, SqlError>;

/// A function that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    pub(crate) returns: Kind,
    /// NULL for any NULL argument.
    strict: bool,
    /// Whether it tells something only the server knows: a query that calls it is for this module.
    pub(crate) of_system: bool,
    /// Whether each call may give another value.
    pub(crate) volatile: bool,
    body: Body,
}

impl Function {
    /// NULL for any NULL argument.
    fn strict(returns: Kind, body: Body) -> Function {
        Function { returns, strict: true, of_system: true, volatile: false, body }
    }

    /// Looks at NULL arguments itself.
    fn lax(returns: Kind, body: Body) -> Function {
        Function { returns, strict: false, of_system: true, volatile: false, body }
    }

    /// One whose calls each count.
    fn volatile(self) -> Function {
        Function { volatile: true, ..self }
    }

    /// One that is not about the system.
    fn common(self) -> Function {
        Function { of_system: false, ..self }
    }

    pub(crate) fn call(&self, run: &Run<'_>, args: &[Value], kinds: &[Kind]) -> Result<Value, SqlError> {
        if self.strict && args.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        (self.body)(run, args, kinds)
    }
}

/// The function of a name for arguments of these types.
pub(crate) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    session::find(name, kinds)
        .or_else(|| sequence::find(name, kinds))
        .or_else(|| advisory::find(name, kinds))
        .or_else(|| object::find(name, kinds))
        .or_else(|| schema::find(name, kinds))
        .or_else(|| text::find(name, kinds))
}

/// An argument's text; empty if it is none.
fn string(args: &[Value], at: usize) -> &str {
    args.get(at).and_then(Value::as_str).unwrap_or_default()
}

fn integer(args: &[Value], at: usize) -> i64 {
    args.get(at).and_then(Value::as_int).unwrap_or_default()
}
