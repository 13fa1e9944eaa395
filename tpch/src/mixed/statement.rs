//! A statement that can be sent with parameters, sent as text, and written to the operation log.
//!
//! ```text
//!   template   update customer set c_acctbal = c_acctbal + ? where c_custkey = ?     [Money(-1250), Int(7)]
//!   prepared   update customer set c_acctbal = c_acctbal + ($1::bigint / 100.0) where c_custkey = $2
//!   text       update customer set c_acctbal = c_acctbal + -12.50 where c_custkey = 7
//! ```
//!
//! 1. Templates have no question mark but the placeholders, texts no quote.

use std::borrow::Cow;

use tokio_postgres::types::ToSql;

/// A value for a placeholder.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    /// A bigint.
    Int(i64),
    /// An integer.
    Int4(i32),
    /// An amount in cents.
    Money(i64),
    /// A text without quotes.
    Text(String),
}

/// A template with its values.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) template: Cow<'static, str>,
    pub(super) args: Vec<Arg>,
}

impl Statement {
    pub(super) fn new(template: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Statement {
        let template = template.into();
        debug_assert_eq!(template.matches('?').count(), args.len(), "{template}");
        Statement { template, args }
    }

    /// With the values in it.
    pub(super) fn text(&self) -> String {
        self.fill(|_, arg| match arg {
            Arg::Int(value) => value.to_string(),
            Arg::Int4(value) => value.to_string(),
            Arg::Money(cents) => money(*cents),
            Arg::Text(text) => format!("'{text}'"),
        })
    }

    /// With parameters where the values go.
    pub(super) fn prepared(&self) -> String {
        self.fill(|number, arg| match arg {
            Arg::Money(_) => format!("(${number}::bigint / 100.0)"),
            _ => format!("${number}"),
        })
    }

    /// The values for [`Statement::prepared`].
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.args
            .iter()
            .map(|arg| match arg {
                Arg::Int(value) | Arg::Money(value) => value as &(dyn ToSql + Sync),
                Arg::Int4(value) => value,
                Arg::Text(text) => text,
            })
            .collect()
    }

    fn fill(&self, mut put: impl FnMut(usize, &Arg) -> String) -> String {
        let mut pieces = self.template.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (index, (arg, piece)) in self.args.iter().zip(pieces).enumerate() {
            text.push_str(&put(index + 1, arg));
            text.push_str(piece);
        }
        text
    }
}

/// Cents as SQL writes them.
pub(super) fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

/// Reads what SQL writes as a number with at most two decimals. `None` for anything else.
pub(super) fn cents(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let (kept, dropped) = part.split_at(part.len().min(2));
    if dropped.bytes().any(|byte| byte != b'0') {
        return None;
    }
    Some(sign * (whole.parse::<i128>().ok()? * 100 + format!("{kept:0<2}").parse::<i128>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_parameters_say_the_same() {
        let args = vec![Arg::Money(-1250), Arg::Int(7), Arg::Text("a b".into())];
        let statement = Statement::new("update t set m = m + ? where k = ? and c = ?", args);
        assert_eq!(statement.text(), "update t set m = m + -12.50 where k = 7 and c = 'a b'");
        assert_eq!(statement.prepared(), "update t set m = m + ($1::bigint / 100.0) where k = $2 and c = $3");
        assert_eq!(statement.parameters().len(), 3);
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for amount in [0, 5, -5, 99, 100, -12_345, 1_000_000_000_000] {
            assert_eq!(cents(&money(amount)), Some(i128::from(amount)));
        }
        assert_eq!((cents("12"), cents("1.5"), cents("1.2500")), (Some(1200), Some(150), Some(125)));
        assert_eq!((cents("x"), cents("1.005"), cents("")), (None, None, None));
    }
}
