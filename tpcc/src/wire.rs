//! A terminal's connection: statements with values, by the prepared or the simple protocol, one at a time or a group at once.
//!
//! 1. Prepared: every statement is prepared when the connection opens, values go in binary. Simple: values are written into the text.
//! 2. A group is statements that do not need each other's rows: they are sent together and the server answers in order; without
//!    pipelining each is sent when the one before has answered.
//! 3. The isolation level is the session's default, and is read back from inside a transaction before anything is measured.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bench::direct::{self, Direct, DirectError, Prepared};
use bench::{BenchError, Target};
use bytes::{BufMut, BytesMut};
use clap::ValueEnum;
use foldhash::fast::FixedState;
use postgres_protocol::message::backend::DataRowBody;
use serde::Serialize;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// How statements go to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// Prepared once a connection.
    Prepared,
    /// As text with the values in it.
    Simple,
}

/// SQL's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    fn sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }
}

/// How a connection talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) protocol: Protocol,
    pub(crate) isolation: Isolation,
    pub(crate) pipeline: bool,
}

/// A value of a parameter or a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Int(i64),
    Money(Money),
    Text(String),
    /// Microseconds since 2000.
    Time(i64),
}

/// An amount in ten-thousandths: exact for every numeric column of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Money(pub(crate) i64);

impl Money {
    /// Hundredths.
    pub(crate) fn cents(cents: i64) -> Money {
        Money(cents * 100)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<Money> for Value {
    fn from(value: Money) -> Value {
        Value::Money(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

/// A statement of `statements.rs` with its values.
pub(crate) struct Call {
    sql: &'static str,
    values: Vec<Value>,
}

impl Call {
    pub(crate) fn new<const N: usize>(sql: &'static str, values: [Value; N]) -> Call {
        Call { sql, values: values.into() }
    }
}

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server said no, or is gone.
    Server { sql: &'static str, error: DirectError },
    /// The answer is not of the shape the data must have.
    Answer { sql: &'static str, reason: String },
}

impl Fault {
    /// The SQLSTATE, if the server gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Fault::Server { error, .. } => error.code(),
            Fault::Answer { .. } => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Server { sql, error } => write!(f, "{error}; in: {sql}"),
            Fault::Answer { sql, reason } => write!(f, "{reason}; in: {sql}"),
        }
    }
}

/// A statement ready to be sent.
enum Form {
    Prepared(Prepared),
    /// Text between parameters, and the parameter after each.
    Text(Vec<(&'static str, Option<usize>)>),
}

/// A terminal's connection.
pub(crate) struct Connection {
    wire: Direct,
    forms: HashMap<&'static str, Form, FixedState>,
    pipeline: bool,
}

impl Connection {
    /// Connects and readies `statements`. Errors: the server's, naming the statement it refuses.
    pub(crate) async fn open(target: &Target, manner: Manner, statements: &[&'static str]) -> Result<Connection, BenchError> {
        let mut wire = target.connect_direct().await?;
        let refused = |what: &str, reason: String| BenchError::Statement { what: what.to_owned(), reason };
        let level = manner.isolation.sql();
        let set = format!("set default_transaction_isolation to '{level}'");
        let mut found = Vec::new();
        for sql in [set.as_str(), "begin", "show transaction_isolation", "commit"] {
            let answer = wire.run_text(sql).await.map_err(|error| refused(sql, error.to_string()))?;
            found.extend(answer.rows);
        }
        let found = found.first().and_then(|row| direct::field(row, 0).ok().flatten());
        if found != Some(level.as_bytes()) {
            let found = String::from_utf8_lossy(found.unwrap_or_default()).into_owned();
            return Err(refused(&set, format!("the server's transactions are {found}")));
        }
        let mut forms = HashMap::default();
        for &sql in statements {
            let form = match manner.protocol {
                Protocol::Prepared => {
                    let prepared = wire.prepare(sql).await;
                    Form::Prepared(prepared.map_err(|error| refused(&format!("prepare {sql}"), error.to_string()))?)
                }
                Protocol::Simple => Form::Text(pieces(sql)),
            };
            forms.insert(sql, form);
        }
        Ok(Connection { wire, forms, pipeline: manner.pipeline })
    }

    /// Runs one statement; its rows.
    pub(crate) async fn call<const N: usize>(&mut self, sql: &'static str, values: [Value; N]) -> Result<Vec<Row>, Fault> {
        let call = Call::new(sql, values);
        self.send(&call)?;
        self.answer(&call).await
    }

    /// Runs a group (rule 2); each statement's rows. Errors: the first one's.
    pub(crate) async fn all(&mut self, calls: Vec<Call>) -> Result<Vec<Vec<Row>>, Fault> {
        let mut answers = Vec::with_capacity(calls.len());
        if self.pipeline {
            for call in &calls {
                self.send(call)?;
            }
        }
        for call in &calls {
            if !self.pipeline {
                self.send(call)?;
            }
            answers.push(self.answer(call).await);
            if !self.pipeline && answers.last().is_some_and(Result::is_err) {
                break;
            }
        }
        answers.into_iter().collect()
    }

    /// Ends a transaction that failed or must not happen.
    pub(crate) async fn rollback(&mut self) -> Result<(), Fault> {
        let sql = "rollback";
        self.wire.run_text(sql).await.map(drop).map_err(|error| Fault::Server { sql, error })
    }

    fn send(&mut self, call: &Call) -> Result<(), Fault> {
        let sent = match &self.forms[call.sql] {
            Form::Prepared(statement) => self.wire.send(statement, &call.values),
            Form::Text(pieces) => self.wire.send_text(&text(pieces, &call.values)),
        };
        sent.map_err(|error| Fault::Server { sql: call.sql, error })
    }

    async fn answer(&mut self, call: &Call) -> Result<Vec<Row>, Fault> {
        let sql = call.sql;
        let answer = self.wire.answer().await.map_err(|error| Fault::Server { sql, error })?;
        let columns = match &self.forms[sql] {
            Form::Prepared(statement) => Some(statement.columns()),
            Form::Text(_) => None,
        };
        Ok(answer.rows.into_iter().map(|body| Row { sql, columns: columns.cloned(), body }).collect())
    }
}

/// Cuts a statement at its `$n`.
fn pieces(sql: &'static str) -> Vec<(&'static str, Option<usize>)> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = after[..digits].parse().expect("a $ in a statement of ours is followed by a number");
        pieces.push((before, Some(number - 1)));
        rest = &after[digits..];
    }
    pieces.push((rest, None));
    pieces
}

fn text(pieces: &[(&'static str, Option<usize>)], values: &[Value]) -> String {
    let mut text = String::new();
    for (before, parameter) in pieces {
        text.push_str(before);
        let Some(parameter) = parameter else { continue };
        // Parentheses keep "- -5" from becoming a comment.
        let written = match &values[*parameter] {
            Value::Int(value) => write!(text, "({value})"),
            Value::Money(Money(value)) => {
                let sign = if *value < 0 { "-" } else { "" };
                let value = value.unsigned_abs();
                write!(text, "({sign}{}.{:04})", value / 10_000, value % 10_000)
            }
            Value::Text(value) => write!(text, "'{}'", value.replace('\'', "''")),
            Value::Time(micros) => write!(text, "'{}'", shown_time(*micros)),
        };
        written.expect("writing to a string does not fail");
    }
    text
}

/// Microseconds from 1970 to 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The time now, as a value.
pub(crate) fn now() -> Value {
    Value::Time(jiff::Timestamp::now().as_microsecond() - EPOCH_MICROS)
}

fn shown_time(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros + EPOCH_MICROS).expect("a time that a clock has shown");
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Value::Int(value), &Type::INT2) => out.put_i16(i16::try_from(*value)?),
            (Value::Int(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            (Value::Int(value), &Type::INT8) => out.put_i64(*value),
            (Value::Int(value), &Type::NUMERIC) => put_numeric(out, value * 10_000),
            (Value::Money(Money(value)), &Type::NUMERIC) => put_numeric(out, *value),
            (Value::Text(value), _) => out.put_slice(value.as_bytes()),
            (Value::Time(micros), &Type::TIMESTAMP | &Type::TIMESTAMPTZ) => out.put_i64(*micros),
            _ => return Err(format!("{self:?} is no value of type {ty}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        let integers = [Type::INT2, Type::INT4, Type::INT8];
        let others = [Type::NUMERIC, Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::TIMESTAMP, Type::TIMESTAMPTZ];
        integers.contains(ty) || others.contains(ty)
    }

    to_sql_checked!();
}

/// PostgreSQL's binary numeric: digits to base 10,000, of which the last is the ten-thousandths.
fn put_numeric(out: &mut BytesMut, value: i64) {
    let mut digits = [0_i16; 6];
    let mut rest = value.unsigned_abs();
    for digit in digits.iter_mut().rev() {
        *digit = (rest % 10_000) as i16;
        rest /= 10_000;
    }
    let leading = digits.iter().take_while(|digit| **digit == 0).count().min(digits.len() - 1);
    let shown = &digits[leading..];
    out.put_i16(shown.len() as i16);
    out.put_i16(shown.len() as i16 - 2);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_i16(4);
    shown.iter().for_each(|digit| out.put_i16(*digit));
}

impl<'a> FromSql<'a> for Money {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Money, Box<dyn std::error::Error + Sync + Send>> {
        let mut words = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
        let mut word = || words.next().ok_or("a numeric is cut short");
        let (digits, weight, sign, _) = (word()?, word()?, word()? as u16, word()?);
        if sign & 0xBFFF != 0 {
            return Err("a numeric is not a number".into());
        }
        let mut value: i64 = 0;
        for index in 0..digits {
            // The place of the ten-thousandths is -1.
            let digit = i64::from(word()?);
            let place = u32::try_from(weight - index + 1).or(if digit == 0 { Ok(0) } else { Err("a numeric is too fine") })?;
            let unit = 10_000_i64.checked_pow(place).ok_or("a numeric is too large")?;
            value = digit.checked_mul(unit).and_then(|part| value.checked_add(part)).ok_or("a numeric is too large")?;
        }
        Ok(Money(if sign == 0 { value } else { -value }))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }
}

/// An integer of any width.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Integer, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Integer(match *ty {
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT2, Type::INT4, Type::INT8].contains(ty)
    }
}

/// A row of an answer.
pub(crate) struct Row {
    sql: &'static str,
    /// Types of its values, which are binary; without them they are text.
    columns: Option<Arc<[Type]>>,
    body: DataRowBody,
}

impl Row {
    /// An integer column. Errors: it is NULL or something else.
    pub(crate) fn int(&self, column: usize) -> Result<i64, Fault> {
        self.get::<Integer>(column, |text| text.parse().ok().map(Integer)).map(|integer| integer.0)
    }

    /// A numeric column. Errors: it is NULL or something else.
    pub(crate) fn money(&self, column: usize) -> Result<Money, Fault> {
        self.get(column, money_of)
    }

    /// A text column. Errors: it is NULL or something else.
    pub(crate) fn text(&self, column: usize) -> Result<String, Fault> {
        self.get(column, |text| Some(text.to_owned()))
    }

    fn get<T: for<'a> FromSql<'a>>(&self, column: usize, of_text: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
        let wrong = |reason| Fault::Answer { sql: self.sql, reason: format!("column {}: {reason}", column + 1) };
        match &self.columns {
            Some(columns) => direct::value(columns, &self.body, column).map_err(wrong),
            None => {
                let text = direct::field(&self.body, column).map_err(&wrong)?;
                let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
                text.and_then(of_text).ok_or_else(|| wrong(format!("{text:?}")))
            }
        }
    }
}

fn money_of(text: &str) -> Option<Money> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = (part.len() <= 4).then(|| format!("{part:0<4}"))?;
    let whole: i64 = whole.parse().ok()?;
    Some(Money(sign * (whole.checked_mul(10_000)? + part.parse::<i64>().ok()?)))
}

/// The one row of an answer. Errors: there is none, or more.
pub(crate) fn only(sql: &'static str, rows: Vec<Row>) -> Result<Row, Fault> {
    let count = rows.len();
    match <[Row; 1]>::try_from(rows) {
        Ok([row]) => Ok(row),
        Err(_) => Err(Fault::Answer { sql, reason: format!("{count} rows where one must be") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_read_as_they_are_written() {
        for value in [0, 1, -1, 9_999, 10_000, 10_001, -123_456_789, 1_000_000_000_000, i64::MAX, -i64::MAX] {
            let mut bytes = BytesMut::new();
            put_numeric(&mut bytes, value);
            assert_eq!(Money::from_sql(&Type::NUMERIC, &bytes).unwrap(), Money(value));
        }
        // PostgreSQL leaves zeros at the end out: 300000.00 is the digit 30 of weight 1.
        let bytes = [0, 1, 0, 1, 0, 0, 0, 2, 0, 30];
        assert_eq!(Money::from_sql(&Type::NUMERIC, &bytes).unwrap(), Money(3_000_000_000));
        assert_eq!(Money::from_sql(&Type::NUMERIC, &[0, 0, 0, 0, 0, 0, 0, 2]).unwrap(), Money(0));
        assert!(Money::from_sql(&Type::NUMERIC, &[0, 0, 0, 0, 0xC0, 0, 0, 0]).is_err(), "not a number");
        assert!(Money::from_sql(&Type::NUMERIC, &[0, 1, 0xFF, 0xFE, 0, 0, 0, 8, 0, 1]).is_err(), "0.00000001");
        assert!(Money::from_sql(&Type::NUMERIC, &[0, 1]).is_err(), "cut short");
    }

    #[test]
    fn numerics_are_read_from_text() {
        for (text, value) in [("0", Some(0)), ("-0.5", Some(-5_000)), ("12.34", Some(123_400)), ("1.23456", None), ("NaN", None)]
        {
            assert_eq!(money_of(text), value.map(Money), "{text}");
        }
    }

    #[test]
    fn values_are_written_into_the_text() {
        let pieces = pieces("update t set a = a - $2, b = $1, c = $10 where d = $2");
        let mut values = vec![Value::Text("it's".into()), Value::Money(Money(-15_000)), Value::Int(-3)];
        values.resize(10, Value::Time(0));
        let text = text(&pieces, &values);
        assert_eq!(text, "update t set a = a - (-1.5000), b = 'it''s', c = '2000-01-01 00:00:00.000000' where d = (-1.5000)");
    }
}
