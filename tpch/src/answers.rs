//! Expected answers, and what "equal" means.
//!
//! ```text
//!   l_returnflag:varchar,sum_qty:decimal(38, 2),avg_qty:double,count_order:bigint      names with DuckDB's types
//!   A,380456.00,25.575154611454693,14876                                               \N is NULL
//! ```
//!
//! 1. Integers, text and dates are equal exactly; trailing blanks of char(n) do not count.
//! 2. A decimal is equal when it is the same number after rounding to the expected scale.
//! 3. A double is equal within one part in 10^9: DuckDB averages and divides in floating point, PostgreSQL in numeric.
//! 4. Rows come in the order of the query's ORDER BY. Rows with the same sort key may change places, and where LIMIT cuts through
//!    such rows any of them may be the ones returned; the file keeps all of them.
//!
//! Not here: making the files (`scripts/oracle/tpch_answers.py`, with DuckDB).

use std::fmt;
use std::path::Path;

use crate::queries::Query;

const DOUBLE_TOLERANCE: f64 = 1e-9;

/// How a column's values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exact,
    Integer,
    Decimal { scale: usize },
    Double,
}

/// A row of an answer; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// The expected answer to one query.
#[derive(Debug)]
pub struct Answer {
    columns: Vec<(String, Kind)>,
    rows: Vec<Row>,
}

/// An expected answer that cannot be used.
#[derive(Debug)]
pub struct BadAnswer(String);

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadAnswer {}

macro_rules! stored {
    ($folder:literal) => {
        [
            stored!($folder, "q01.csv"),
            stored!($folder, "q02.csv"),
            stored!($folder, "q03.csv"),
            stored!($folder, "q04.csv"),
            stored!($folder, "q05.csv"),
            stored!($folder, "q06.csv"),
            stored!($folder, "q07.csv"),
            stored!($folder, "q08.csv"),
            stored!($folder, "q09.csv"),
            stored!($folder, "q10.csv"),
            stored!($folder, "q11.csv"),
            stored!($folder, "q12.csv"),
            stored!($folder, "q13.csv"),
            stored!($folder, "q14.csv"),
            stored!($folder, "q15.csv"),
            stored!($folder, "q16.csv"),
            stored!($folder, "q17.csv"),
            stored!($folder, "q18.csv"),
            stored!($folder, "q19.csv"),
            stored!($folder, "q20.csv"),
            stored!($folder, "q21.csv"),
            stored!($folder, "q22.csv"),
        ]
    };
    ($folder:literal, $file:literal) => {
        include_str!(concat!("../answers/", $folder, "/", $file))
    };
}

static STORED: [(f64, [&str; 22]); 2] = [(0.01, stored!("sf0.01")), (1.0, stored!("sf1"))];

/// The scales with answers compiled in.
pub fn scales_stored() -> impl Iterator<Item = f64> {
    STORED.iter().map(|(scale, _)| *scale)
}

impl Answer {
    /// The compiled-in answer at `scale`, if there is one.
    pub fn stored(query: &Query, scale: f64) -> Option<Result<Answer, BadAnswer>> {
        let (_, texts) = STORED.iter().find(|(stored, _)| *stored == scale)?;
        Some(Answer::parse(texts[query.number - 1]))
    }

    /// The answer in `folder`/qNN.csv. Errors: no such file, or not in the form above.
    pub fn read(query: &Query, folder: &Path) -> Result<Answer, BadAnswer> {
        let path = folder.join(format!("q{:02}.csv", query.number));
        let text = std::fs::read_to_string(&path).map_err(|error| BadAnswer(format!("read {}: {error}", path.display())))?;
        Answer::parse(&text).map_err(|error| BadAnswer(format!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Result<Answer, BadAnswer> {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let columns = reader
            .headers()
            .map_err(|error| BadAnswer(error.to_string()))?
            .iter()
            .map(|head| {
                let (name, data_type) =
                    head.rsplit_once(':').ok_or_else(|| BadAnswer(format!("column head {head:?} has no type")))?;
                Ok((name.to_owned(), kind(data_type)?))
            })
            .collect::<Result<_, _>>()?;
        let rows = reader
            .records()
            .map(|record| {
                let record = record.map_err(|error| BadAnswer(error.to_string()))?;
                Ok(record.iter().map(|value| (value != "\\N").then(|| value.to_owned())).collect())
            })
            .collect::<Result<_, _>>()?;
        Ok(Answer { columns, rows })
    }

    /// The number of rows the query should return.
    pub fn rows_expected(&self, query: &Query) -> usize {
        query.limit().map_or(self.rows.len(), |limit| limit.min(self.rows.len()))
    }

    /// Compares the rows a server returned for `query`. Errors: the first differences, a line each.
    pub fn compare(&self, query: &Query, got: &[Row]) -> Result<(), Vec<String>> {
        let expected_count = self.rows_expected(query);
        if got.len() != expected_count {
            return Err(vec![format!("{} rows, expected {expected_count}", got.len())]);
        }
        if let Some(row) = got.iter().find(|row| row.len() != self.columns.len()) {
            return Err(vec![format!("{} columns, expected {}", row.len(), self.columns.len())]);
        }
        let keys = self.key_columns(query).map_err(|error| vec![error.to_string()])?;
        let mut differences = Vec::new();
        let mut start = 0;
        while start < expected_count {
            let same_key = |row: &Row| keys.iter().all(|&key| row[key] == self.rows[start][key]);
            let end = start + self.rows[start..].iter().take_while(|row| same_key(row)).count();
            self.compare_group(start, &self.rows[start..end], &got[start..end.min(expected_count)], &mut differences);
            start = end;
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    /// Each row of `got` must be a row of `expected` that no other one has taken.
    fn compare_group(&self, start: usize, expected: &[Row], got: &[Row], differences: &mut Vec<String>) {
        let mut left: Vec<&Row> = expected.iter().collect();
        for (offset, row) in got.iter().enumerate() {
            match left.iter().position(|candidate| self.rows_equal(candidate, row)) {
                Some(at) => drop(left.swap_remove(at)),
                None => differences.push(format!(
                    "row {}: {}, expected {}",
                    start + offset + 1,
                    shown(row),
                    left.first().map_or("no further such row".into(), |row| shown(row))
                )),
            }
        }
    }

    fn rows_equal(&self, expected: &Row, got: &Row) -> bool {
        self.columns.iter().zip(expected.iter().zip(got)).all(|((_, kind), pair)| match pair {
            (None, None) => true,
            (Some(expected), Some(got)) => kind.equal(expected, got),
            _ => false,
        })
    }

    fn key_columns(&self, query: &Query) -> Result<Vec<usize>, BadAnswer> {
        query
            .order_by()
            .iter()
            .map(|name| {
                let found = self.columns.iter().position(|(column, _)| column == name);
                found.ok_or_else(|| BadAnswer(format!("Q{} is ordered by {name}, which its answer does not have", query.number)))
            })
            .collect()
    }
}

fn kind(data_type: &str) -> Result<Kind, BadAnswer> {
    let name = data_type.to_ascii_lowercase();
    let unknown = || BadAnswer(format!("no way to compare values of type {data_type:?}"));
    match name.as_str() {
        "varchar" | "date" => Ok(Kind::Exact),
        "integer" | "bigint" | "hugeint" => Ok(Kind::Integer),
        "double" => Ok(Kind::Double),
        _ => {
            let inside = name.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(unknown)?;
            let (_, scale) = inside.split_once(',').ok_or_else(unknown)?;
            Ok(Kind::Decimal { scale: scale.trim().parse().map_err(|_| unknown())? })
        }
    }
}

impl Kind {
    fn equal(self, expected: &str, got: &str) -> bool {
        match self {
            Kind::Exact => expected.trim_end_matches(' ') == got.trim_end_matches(' '),
            // Servers may answer an integer as numeric: 1995 and 1995.0 are one number, 1995.4 is another.
            Kind::Integer => Number::parse(got).is_some_and(|got| {
                got.fraction.bytes().all(|digit| digit == b'0')
                    && Some(got.rounded(0)) == Number::parse(expected).map(|n| n.rounded(0))
            }),
            Kind::Decimal { scale } => match (Number::parse(expected), Number::parse(got)) {
                (Some(expected), Some(got)) => expected.rounded(scale) == got.rounded(scale),
                _ => false,
            },
            Kind::Double => match (expected.parse::<f64>(), got.parse::<f64>()) {
                (Ok(expected), Ok(got)) => {
                    expected == got || (expected - got).abs() <= DOUBLE_TOLERANCE * expected.abs().max(got.abs())
                }
                _ => false,
            },
        }
    }
}

/// A decimal number as its text's parts.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Number<'a>> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (!whole.is_empty() && all_digits(whole) && all_digits(fraction)).then_some(Number { negative, whole, fraction })
    }

    /// The number times 10^`scale`, rounded half away from zero, as digits without leading zeros; zero has no sign.
    fn rounded(&self, scale: usize) -> (bool, String) {
        let kept = self.fraction.bytes().chain(std::iter::repeat(b'0')).take(scale);
        let mut digits: Vec<u8> = self.whole.bytes().chain(kept).collect();
        if self.fraction.as_bytes().get(scale).is_some_and(|next| *next >= b'5') {
            let mut at = digits.len();
            loop {
                if at == 0 {
                    digits.insert(0, b'1');
                    break;
                }
                at -= 1;
                if digits[at] < b'9' {
                    digits[at] += 1;
                    break;
                }
                digits[at] = b'0';
            }
        }
        let text: String = digits.into_iter().skip_while(|digit| *digit == b'0').map(char::from).collect();
        (self.negative && !text.is_empty(), text)
    }
}

fn shown(row: &Row) -> String {
    let values: Vec<_> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    format!("({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QUERIES;

    fn row(values: &[&str]) -> Row {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    #[test]
    fn kinds_decide_what_is_equal() {
        let decimal = Kind::Decimal { scale: 2 };
        for (kind, expected, got, equal) in [
            (Kind::Exact, "BUILDING", "BUILDING  ", true),
            (Kind::Exact, "BUILDING", "building", false),
            (Kind::Integer, "1995", "1995", true),
            (Kind::Integer, "1995", "1995.00", true),
            (Kind::Integer, "1995", "1995.4", false),
            (Kind::Integer, "-3", "3", false),
            (decimal, "12.30", "12.3", true),
            (decimal, "12.30", "12.304", true),
            (decimal, "12.30", "12.305", false),
            (decimal, "10.00", "9.995", true),
            (decimal, "-0.00", "0", true),
            (decimal, "100.00", "99.995", true),
            (decimal, "1.00", "1e0", false),
            (Kind::Double, "25.5", "25.500000001", true),
            (Kind::Double, "25.5", "25.50000003", false),
            (Kind::Double, "0.0", "0.0000000000000000", true),
            (Kind::Double, "nan", "25.5", false),
        ] {
            assert_eq!(kind.equal(expected, got), equal, "{kind:?} {expected} {got}");
        }
    }

    #[test]
    fn rows_change_places_only_within_one_sort_key() {
        let query = Query { number: 99, text: "select a, b from t\norder by\n    a desc\nlimit 3;\n" };
        let answer = Answer::parse("a:integer,b:varchar\n9,x\n7,p\n7,q\n7,r\n").unwrap();
        assert_eq!(answer.compare(&query, &[row(&["9", "x"]), row(&["7", "q"]), row(&["7", "p"])]), Ok(()));
        assert_eq!(answer.compare(&query, &[row(&["9", "x"]), row(&["7", "r"]), row(&["7", "p"])]), Ok(()));
        for wrong in [
            vec![row(&["7", "p"]), row(&["9", "x"]), row(&["7", "q"])],
            vec![row(&["9", "x"]), row(&["7", "p"]), row(&["7", "p"])],
            vec![row(&["9", "x"]), row(&["7", "p"]), row(&["7", "s"])],
            vec![row(&["9", "x"]), row(&["7", "p"])],
            vec![row(&["9", "x"]), row(&["7", "p"]), row(&["7", "q"]), row(&["7", "r"])],
            vec![row(&["9", "x"]), row(&["7", "p"]), vec![Some("7".into()), None]],
        ] {
            assert!(answer.compare(&query, &wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn stored_answers_have_what_their_query_is_ordered_by() {
        for scale in scales_stored() {
            for query in &QUERIES {
                let answer = Answer::stored(query, scale).unwrap().unwrap();
                let keys = answer.key_columns(query).unwrap();
                assert_eq!(keys.len(), query.order_by().len());
                assert!(!answer.rows.is_empty(), "Q{} at {scale}", query.number);
                let itself = &answer.rows[..answer.rows_expected(query)];
                assert_eq!(answer.compare(query, itself), Ok(()), "Q{} at {scale}", query.number);
            }
        }
    }
}
