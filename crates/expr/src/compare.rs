//! The order of values, as `<` and `ORDER BY` see it.

use std::cmp::Ordering;

use types::key::interval_micros;
use types::{DatumRef, Decimal};

/// How two values of one type compare; `None` if one is NULL or the types have no common order.
///
/// Text is compared by bytes, floats with NaN the greatest and equal to itself, intervals with months of 30 days, decimals by value.
pub fn compare(a: DatumRef<'_>, b: DatumRef<'_>) -> Option<Ordering> {
    use DatumRef::*;
    Some(match (a, b) {
        (Bool(a), Bool(b)) => a.cmp(&b),
        (Int2(a), Int2(b)) => a.cmp(&b),
        (Int4(a), Int4(b)) => a.cmp(&b),
        (Int8(a), Int8(b)) => a.cmp(&b),
        (Float4(a), Float4(b)) => floats(a.into(), b.into()),
        (Float8(a), Float8(b)) => floats(a, b),
        (Numeric(a), Numeric(b)) => decimals(a, b),
        (Text(a), Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Bytea(a), Bytea(b)) => a.cmp(b),
        (Date(a), Date(b)) => a.cmp(&b),
        (Time(a), Time(b)) | (Timestamp(a), Timestamp(b)) | (TimestampTz(a), TimestampTz(b)) => a.cmp(&b),
        (Interval(a), Interval(b)) => interval_micros(a).cmp(&interval_micros(b)),
        (Uuid(a), Uuid(b)) => a.cmp(&b),
        _ => return None,
    })
}

fn floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

fn decimals(a: Decimal, b: Decimal) -> Ordering {
    if a.scale == b.scale {
        return a.unscaled.cmp(&b.unscaled);
    }
    // The one of fewer digits behind the point gets zeros; if they do not fit, it is greater in size.
    let (fewer, more, swapped) = if a.scale < b.scale { (a, b, false) } else { (b, a, true) };
    let zeros = 10i128.checked_pow(u32::from(more.scale - fewer.scale));
    let order = match zeros.and_then(|zeros| fewer.unscaled.checked_mul(zeros)) {
        Some(grown) => grown.cmp(&more.unscaled),
        None => fewer.unscaled.cmp(&0),
    };
    if swapped { order.reverse() } else { order }
}
