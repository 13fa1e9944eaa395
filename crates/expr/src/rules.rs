//! Types: which one two operands meet in, and how wide a `numeric` result is.
//!
//! ```text
//! smallint < integer < bigint < numeric < real < double precision       one of these with another: the greater
//!                                         real with anything but real is double precision
//! date < timestamp < timestamptz
//! char, varchar, text                                                the first of them; two lengths: of any
//! a string constant, NULL, a parameter not yet known                    the other's type
//! ```
//!
//! `numeric` here has at most 38 digits, so results whose digits would not fit keep those before the point:
//!
//! ```text
//! + -   scale max(s1, s2), one digit more before the point
//! *     scale s1 + s2, digits p1 + p2; beyond 38 the scale gives way, but not below max(s1, s2, 16)
//! /     scale max(s1, s2, 16)
//! ```
//!
//! Source: PostgreSQL 15, `parse_coerce.c`, `select_common_type`; `numeric.c` (`select_div_scale` gives 16 significant digits or more).

use types::SqlType;

use crate::function::Arg;

/// Most digits of a numeric.
pub(crate) const DIGITS_MAX: u8 = 38;
/// Digits behind the point of a quotient or an average, at least.
pub(crate) const QUOTIENT_SCALE: u8 = 16;
/// Digits before the point that a product keeps room for when its scale has to give way.
const PRODUCT_WHOLE_DIGITS: u8 = 22;

/// Where a type stands among the numbers.
fn rank(t: SqlType) -> Option<u8> {
    Some(match t {
        SqlType::Int2 => 0,
        SqlType::Int4 => 1,
        SqlType::Int8 => 2,
        SqlType::Numeric { .. } => 3,
        SqlType::Float4 => 4,
        SqlType::Float8 => 5,
        _ => return None,
    })
}

/// An integer type, or numeric, as a numeric.
pub(crate) fn as_numeric(t: SqlType) -> Option<(u8, u8)> {
    Some(match t {
        SqlType::Int2 => (5, 0),
        SqlType::Int4 => (10, 0),
        SqlType::Int8 => (19, 0),
        SqlType::Numeric { precision, scale } => (precision, scale),
        _ => return None,
    })
}

/// The types two numbers are computed in: one type for both, but numerics keep their own digits.
pub(crate) fn numbers(a: SqlType, b: SqlType) -> Option<(SqlType, SqlType)> {
    let (ra, rb) = (rank(a)?, rank(b)?);
    if ra == rb {
        return Some((a, b));
    }
    let greater = if ra > rb { a } else { b };
    match greater {
        SqlType::Float4 | SqlType::Float8 => Some((SqlType::Float8, SqlType::Float8)),
        SqlType::Numeric { .. } => {
            let numeric = |t| as_numeric(t).map(|(precision, scale)| SqlType::Numeric { precision, scale });
            Some((numeric(a)?, numeric(b)?))
        }
        _ => Some((greater, greater)),
    }
}

/// The result of `+` or `-`.
pub(crate) fn sum_of(a: (u8, u8), b: (u8, u8)) -> SqlType {
    let scale = a.1.max(b.1);
    let whole = (a.0 - a.1).max(b.0 - b.1) + 1;
    SqlType::Numeric { precision: (whole + scale).min(DIGITS_MAX), scale }
}

/// The result of `*`.
pub(crate) fn product_of(a: (u8, u8), b: (u8, u8)) -> SqlType {
    let (digits, scale) = (a.0 + b.0, a.1 + b.1);
    if digits <= DIGITS_MAX {
        return SqlType::Numeric { precision: digits, scale };
    }
    let whole = (digits - scale).min(PRODUCT_WHOLE_DIGITS);
    let least = a.1.max(b.1).max(QUOTIENT_SCALE.min(scale));
    SqlType::Numeric { precision: DIGITS_MAX, scale: scale.min(DIGITS_MAX - whole).max(least) }
}

/// The result of `/`.
pub(crate) fn quotient_of(a: (u8, u8), b: (u8, u8)) -> SqlType {
    SqlType::Numeric { precision: DIGITS_MAX, scale: a.1.max(b.1).max(QUOTIENT_SCALE) }
}

/// The result of `%`.
pub(crate) fn remainder_of(a: (u8, u8), b: (u8, u8)) -> SqlType {
    let scale = a.1.max(b.1);
    let whole = (a.0 - a.1).min(b.0 - b.1).max(1);
    SqlType::Numeric { precision: (whole + scale).min(DIGITS_MAX), scale }
}

/// What `sum` gives of this type, if it is not of floats.
pub(crate) fn sum(of: SqlType) -> Option<SqlType> {
    Some(match of {
        SqlType::Int2 | SqlType::Int4 => SqlType::Int8,
        SqlType::Int8 => SqlType::Numeric { precision: DIGITS_MAX, scale: 0 },
        SqlType::Numeric { scale, .. } => SqlType::Numeric { precision: DIGITS_MAX, scale },
        _ => return None,
    })
}

/// What `avg` gives of this type, if it is not of floats.
pub(crate) fn average(of: SqlType) -> Option<SqlType> {
    let (_, scale) = as_numeric(of)?;
    Some(SqlType::Numeric { precision: DIGITS_MAX, scale: scale.max(QUOTIENT_SCALE) })
}

/// The type that values of all these can be: of the branches of CASE, the arguments of COALESCE, the rows of VALUES.
///
/// `None` if they have none in common. All open: text.
pub(crate) fn common(args: impl IntoIterator<Item = Arg>) -> Option<SqlType> {
    let mut open = false;
    let mut known = args.into_iter().inspect(|arg| open |= arg.is_none()).flatten();
    let Some(first) = known.next() else { return Some(SqlType::Text) };
    let common = known.try_fold(first, common_of_two)?;
    // An open one may be longer than what it stands beside.
    Some(match common {
        SqlType::Char(_) if open => SqlType::Char(0),
        SqlType::Varchar(_) if open => SqlType::Text,
        common => common,
    })
}

/// As [`common`], of two.
pub(crate) fn common_of_two(a: SqlType, b: SqlType) -> Option<SqlType> {
    use SqlType::{Char, Date, Numeric, Text, Timestamp, TimestampTz, Varchar};
    Some(match (a, b) {
        (a, b) if a == b => a,
        (Char(_), Char(_) | Varchar(_) | Text) => Char(0),
        (Varchar(_) | Text, Char(_) | Varchar(_) | Text) => Text,
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        (Date | Timestamp, TimestampTz) | (TimestampTz, Date | Timestamp) => TimestampTz,
        (Numeric { .. }, other) | (other, Numeric { .. }) if as_numeric(other).is_some() => {
            let (a, b) = (as_numeric(a)?, as_numeric(b)?);
            let scale = a.1.max(b.1);
            let whole = (a.0 - a.1).max(b.0 - b.1);
            Numeric { precision: (whole + scale).min(DIGITS_MAX), scale }
        }
        (a, b) => {
            let (ra, rb) = (rank(a)?, rank(b)?);
            let greater = if ra > rb { a } else { b };
            if greater == SqlType::Float4 { SqlType::Float8 } else { greater }
        }
    })
}

/// What two operands of a comparison are compared as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Comparison {
    /// As values of this type; both are cast to it.
    As(SqlType),
    /// As numbers, each as it is: integers and numerics compare by value.
    Numbers,
    /// As texts without their trailing blanks.
    Blanks,
    /// As texts, a `char` without its trailing blanks.
    CharAsText,
}

/// How `a` and `b` compare; `None` if they do not (`operator does not exist`).
pub(crate) fn comparison(a: Arg, b: Arg) -> Option<Comparison> {
    use SqlType::{Char, Text, Varchar};
    let (a, b) = match (a, b) {
        (None, None) => return Some(Comparison::As(Text)),
        (Some(t), None) | (None, Some(t)) => {
            return Some(Comparison::As(match t {
                Varchar(_) => Text,
                // Of any length: the constant has none to be filled to.
                Char(0) => return Some(Comparison::Blanks),
                SqlType::Numeric { .. } => return Some(Comparison::Numbers),
                other => other,
            }));
        }
        (Some(a), Some(b)) => (a, b),
    };
    match (a, b) {
        (Char(m), Char(n)) if m == n && m > 0 => Some(Comparison::As(a)),
        (Char(_), Char(_) | Varchar(_)) | (Varchar(_), Char(_)) => Some(Comparison::Blanks),
        (Char(_), Text) | (Text, Char(_)) => Some(Comparison::CharAsText),
        (Varchar(_) | Text, Varchar(_) | Text) => Some(Comparison::As(Text)),
        (a, b) if as_numeric(a).is_some() && as_numeric(b).is_some() => {
            Some(if a == b { Comparison::As(a) } else { Comparison::Numbers })
        }
        (a, b) => common_of_two(a, b).map(Comparison::As),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn numeric(precision: u8, scale: u8) -> SqlType {
        SqlType::Numeric { precision, scale }
    }

    #[test]
    fn operands_meet_where_postgresql_has_them_meet() {
        use SqlType::*;
        assert_eq!(numbers(Int2, Int8), Some((Int8, Int8)));
        assert_eq!(numbers(Float4, Float4), Some((Float4, Float4)));
        assert_eq!(numbers(Float4, Int2), Some((Float8, Float8)));
        assert_eq!(numbers(Int4, numeric(15, 2)), Some((numeric(10, 0), numeric(15, 2))));
        assert_eq!(numbers(Int4, Text), None);
        assert_eq!(common([Some(Int4), None, Some(numeric(4, 2))]), Some(numeric(12, 2)));
        assert_eq!(common([Some(Date), Some(TimestampTz)]), Some(TimestampTz));
        assert_eq!(common([Some(Int4), Some(Text)]), None);
        assert_eq!(common([None, None]), Some(Text));
        assert_eq!(common([Some(Char(3)), Some(Char(5))]), Some(Char(0)));
        assert_eq!(common([Some(Char(3)), Some(Varchar(5))]), Some(Char(0)));
        assert_eq!(common([Some(Varchar(5)), Some(Char(3))]), Some(Text));
        assert_eq!(common([Some(Char(3)), Some(Char(5)), Some(Text)]), Some(Char(0)));
        assert_eq!(comparison(Some(Char(3)), Some(Text)), Some(Comparison::CharAsText));
        assert_eq!(comparison(Some(Varchar(9)), Some(Char(3))), Some(Comparison::Blanks));
        assert_eq!(comparison(Some(Int4), Some(Text)), None);
    }

    #[test]
    fn numeric_results_fit_in_38_digits_and_lose_scale_last() {
        assert_eq!(sum_of((10, 0), (15, 2)), numeric(16, 2));
        assert_eq!(product_of((15, 2), (16, 2)), numeric(31, 4));
        assert_eq!(product_of((31, 4), (16, 2)), numeric(38, 6));
        assert_eq!(product_of((38, 16), (38, 16)), numeric(38, 16));
        assert_eq!(quotient_of((38, 4), (38, 4)), numeric(38, 16));
        for (a, b) in [((38, 0), (38, 0)), ((38, 38), (38, 38)), ((38, 20), (10, 5)), ((1, 0), (1, 1))] {
            for result in [sum_of(a, b), product_of(a, b), quotient_of(a, b), remainder_of(a, b)] {
                let SqlType::Numeric { precision, scale } = result else { panic!("{result} is no numeric") };
                assert!((1..=38).contains(&precision) && scale <= precision, "{result}");
            }
        }
    }
}
