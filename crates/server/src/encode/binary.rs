//! One value in binary form.
//!
//! Not here: the forms themselves (`types::binary`).

use types::{DatumRef, SqlType, binary};

/// Appends the binary form of a value of a column of type `data_type`. NULL has none.
pub(super) fn put(value: DatumRef<'_>, data_type: SqlType, out: &mut Vec<u8>) {
    binary::format(value, data_type, out);
}
