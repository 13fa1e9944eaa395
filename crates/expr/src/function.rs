//! One function or operator: for which types it is defined, and what it does with values.
//!
//! ```text
//! resolve  [integer, '1' (open)]  ->  Signature { args: [integer, integer], result: integer }     once, when planned
//! kernel   [3, 1]                 ->  4                                                           per row, either driver
//! ```
//!
//! 1. Resolving the types a signature asks for gives that signature again: planning twice changes nothing.
//! 2. A strict function is not called with NULL; its result is NULL.

use types::text::Session;
use types::{Datum, DatumRef, SqlError, SqlState, SqlType};

/// The type of an argument; `None` for a string constant or NULL, which takes the type its use asks for.
pub(crate) type Arg = Option<SqlType>;

/// Which arguments a call takes, and what it gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    pub(crate) args: Vec<SqlType>,
    pub(crate) result: SqlType,
}

/// When two calls with the same arguments give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stability {
    /// Always.
    Immutable,
    /// Within one statement.
    Stable,
}

/// What a kernel knows besides its arguments.
pub(crate) struct Call<'a> {
    /// The types it was resolved for.
    pub(crate) signature: &'a Signature,
    /// The constant in its name (`crate::syntax::SPECIAL`).
    pub(crate) special: Option<&'a str>,
    /// Zone and time of the transaction.
    pub(crate) session: &'a Session,
    /// Where memory for long values comes from; `None` while nothing but the size of one is limited.
    pub(crate) room: Option<&'a dyn Room>,
}

/// Memory for the values that functions make.
pub(crate) trait Room {
    /// Takes room for a value of so many bytes that is about to be made. Errors: 53200.
    fn take(&self, bytes: usize) -> Result<(), SqlError>;
}

/// Bytes a value may have: PostgreSQL's 1 GB, with its header of 4.
pub(crate) const VALUE_BYTES_MAX: usize = (1 << 30) - 5;

impl Call<'_> {
    /// To be called before a value is made that is longer than the arguments. Errors: 54000 for one that is too long, 53200.
    pub(crate) fn room_for(&self, bytes: usize) -> Result<(), SqlError> {
        if bytes > VALUE_BYTES_MAX {
            return Err(too_long());
        }
        self.room.map_or(Ok(()), |room| room.take(bytes))
    }

    /// The same for a value that grows to so many bytes; `taken` is what it has room for. It doubles, as the value does.
    pub(crate) fn room_to_grow(&self, taken: &mut usize, bytes: usize) -> Result<(), SqlError> {
        if bytes <= *taken {
            return Ok(());
        }
        if bytes > VALUE_BYTES_MAX {
            return Err(too_long());
        }
        let next = bytes.max(taken.saturating_mul(2).min(VALUE_BYTES_MAX));
        self.room.map_or(Ok(()), |room| room.take(next - *taken))?;
        *taken = next;
        Ok(())
    }
}

fn too_long() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

/// See the module's head.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) stability: Stability,
    pub(crate) strict: bool,
    /// The signature for these arguments; `None` if there is none. The second argument is the constant in the name.
    pub(crate) resolve: fn(&[Arg], Option<&str>) -> Option<Signature>,
    pub(crate) kernel: fn(&Call<'_>, &[DatumRef<'_>]) -> Result<Datum, SqlError>,
}

impl Function {
    /// A strict, immutable one.
    pub(crate) const fn new(
        name: &'static str,
        resolve: fn(&[Arg], Option<&str>) -> Option<Signature>,
        kernel: fn(&Call<'_>, &[DatumRef<'_>]) -> Result<Datum, SqlError>,
    ) -> Function {
        Function { name, stability: Stability::Immutable, strict: true, resolve, kernel }
    }

    /// The same, called with NULLs too.
    pub(crate) const fn called_on_null(mut self) -> Function {
        self.strict = false;
        self
    }

    /// The same, depending on the transaction's time or zone.
    pub(crate) const fn stable(mut self) -> Function {
        self.stability = Stability::Stable;
        self
    }

    /// Applies the kernel, or gives NULL where a strict function must not be called.
    pub(crate) fn apply(&self, call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
        if self.strict && args.iter().any(DatumRef::is_null) { Ok(Datum::Null) } else { (self.kernel)(call, args) }
    }
}

/// The function with this name, without the constant that may be part of it.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
        LazyLock::new(|| crate::functions::all().map(|function| (function.name, function)).collect());
    BY_NAME.get(name).copied()
}

/// Splits `round@2` into a name and its constant.
pub(crate) fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(crate::syntax::SPECIAL) {
        Some((name, special)) => (name, Some(special)),
        None => (name, None),
    }
}
