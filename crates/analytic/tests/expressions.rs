//! Expressions, compared with what PostgreSQL 15 answers (`scripts/oracle/expressions.py`).
//!
//! `expressions/deviations.tsv` lists those that answer differently, each with our answer and the reason: a change in either direction
//! fails here. Numerics are compared as numbers: PostgreSQL's scale of a quotient depends on its value, ours on its type.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{SetExpr, Statement};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use support::Database;
use types::{Decimal, SqlError, text};

const TABLE: &str = include_str!("expressions/table.sql");
const EXPECTED: &str = include_str!("expressions/expected.tsv");
const DEVIATIONS: &str = include_str!("expressions/deviations.tsv");

/// The table of `table.sql` with its one row.
fn database() -> Database {
    let (create, insert) = TABLE.split_once("insert into").expect("a table and its row");
    let mut database = Database::new(create);
    let statement = Parser::parse_sql(&DIALECT, &format!("insert into{insert}")).unwrap().remove(0);
    let Statement::Insert(insert) = statement else { panic!("{statement} is no INSERT") };
    let source = insert.source.unwrap();
    let SetExpr::Values(values) = source.body.as_ref() else { panic!("{source} is no VALUES") };
    let row: Vec<Option<String>> = values.rows[0]
        .iter()
        .map(|value| match value.to_string().as_str() {
            "NULL" => None,
            text => Some(text.trim_matches('\'').to_owned()),
        })
        .collect();
    let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
    database.insert("v", &[&row]);
    database
}

fn ours(database: &Database, case: &str) -> Result<(String, String), SqlError> {
    let sql = format!("select {case} as x from v");
    let parsed = Parser::new(&DIALECT).try_with_sql(&sql).and_then(|mut p| p.parse_query());
    let query = parsed.map_err(|error| SqlError::new(types::SqlState::SYNTAX_ERROR, error.to_string()))?;
    let plan = database.analytic.plan(&database.context(&sql), &query, &[])?;
    let t = plan.columns()[0].data_type;
    let rows = support::rows_of(&plan, database.execution(&[]))?;
    assert_eq!(rows.len(), 1, "{case}");
    Ok((t.base_name().to_owned(), rows[0][0].clone().unwrap_or_else(|| "\\N".into())))
}

/// Numbers are equal if they are at the fewer digits of the two.
fn same_number(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (text::parse_decimal(a), text::parse_decimal(b)) else { return a == b };
    let scale = a.scale.min(b.scale);
    let cut = |v: Decimal| text::fit_numeric(v, 38, scale).map(|v| v.unscaled);
    matches!((cut(a), cut(b)), (Ok(a), Ok(b)) if a == b)
}

#[test]
fn expressions_answer_as_postgresql_does() {
    let database = database();
    let deviations: HashMap<&str, &str> =
        DEVIATIONS.lines().filter(|l| !l.starts_with("--")).filter_map(|line| line.split_once('\t')).collect();
    let mut wrong = Vec::new();
    let mut met = 0;
    for line in EXPECTED.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(case), Some(kind), Some(value)) = (fields.next(), fields.next(), fields.next()) else { panic!("{line}") };
        let got = ours(&database, case);
        let shown = match &got {
            Ok((t, v)) => format!("{t}\t{v}"),
            Err(error) => format!("error\t{}", error.state),
        };
        let expected = format!("{kind}\t{value}");
        let equal =
            shown == expected || matches!(&got, Ok((t, v)) if t == "numeric" && kind == "numeric" && same_number(v, value));
        if let Some(listed) = deviations.get(case) {
            met += 1;
            if *listed != shown {
                wrong.push(format!("{case}: {shown}, listed as {listed}"));
            } else if equal {
                wrong.push(format!("{case}: is no deviation any more"));
            }
        } else if !equal {
            let why = got.err().map(|e| format!("  ({})", e.message)).unwrap_or_default();
            wrong.push(format!("{case}: {shown}, expected {expected}{why}"));
        }
    }
    assert_eq!(met, deviations.len(), "every deviation is of a case");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
