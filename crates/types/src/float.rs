//! Floats with one NaN.
//!
//! PostgreSQL knows one NaN; a processor makes several, and Arrow orders and groups them by their bits. So values are made to have the
//! one where they come into being: from the wire, from files, from arithmetic.

/// The value, or the one NaN.
#[inline]
pub fn one_nan_f64(v: f64) -> f64 {
    if v.is_nan() { f64::NAN } else { v }
}

/// As [`one_nan_f64`].
#[inline]
pub fn one_nan_f32(v: f32) -> f32 {
    if v.is_nan() { f32::NAN } else { v }
}
