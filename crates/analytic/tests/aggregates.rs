//! Aggregation in the scan gives what DataFusion's does of the same rows.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use analytic::ExplainOptions;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use roaring::RoaringBitmap;
use support::{Database, Random};
use types::{Datum, Decimal, arrow_form};

const ROWS_PER_UNIT: u64 = 9000;

const DDL: &str =
    "CREATE TABLE t (k bigint, l smallint NOT NULL, flag text, word text, few integer, amount integer NOT NULL, many bigint,
    price numeric(15,2) NOT NULL, tax numeric(4,2), huge numeric(30,0) NOT NULL, day date NOT NULL, f double precision,
    PRIMARY KEY (k, l));";

/// Five units, of which some rows are dead, and a delta: NULLs, strings and numbers of many kinds.
fn database(seed: u64) -> Database {
    let mut database = Database::new(DDL);
    let definition = database.definition("t");
    let mut random = Random(seed);
    let mut key = 0;
    let mut batch = |rows: u64, random: &mut Random, with_nulls: bool| {
        let columns = definition.columns.iter().enumerate().map(|(at, column)| {
            let mut builder = arrow_form::ColumnBuilder::new(column.data_type, rows as usize);
            for row in 0..rows {
                let v = random.next();
                let number = |n: u64| (v % n) as i64;
                let datum = match at {
                    0 => Datum::Int8((key + row) as i64 / 4),
                    1 => Datum::Int2((row % 4) as i16),
                    2 => Datum::Text(["A", "N", "R", ""][number(4) as usize].into()),
                    3 => Datum::Text(format!("a longer word, number {}", number(700)).into()),
                    4 => Datum::Int4(number(5) as i32 - 2),
                    5 => Datum::Int4(v as i32 % 100_000),
                    6 => Datum::Int8(v as i64),
                    7 => Datum::Numeric(Decimal { unscaled: number(9_000_000).into(), scale: 2 }),
                    8 => Datum::Numeric(Decimal { unscaled: i128::from(number(9)), scale: 2 }),
                    9 => Datum::Numeric(Decimal { unscaled: i128::from(v) * 1_000_000_007, scale: 0 }),
                    10 => Datum::Date(8000 + number(300) as i32),
                    _ => Datum::Float8(number(1000) as f64),
                };
                let nullable = with_nulls && !column.not_null;
                builder.append(if nullable && random.below(7) == 0 { Datum::Null.as_ref() } else { datum.as_ref() });
            }
            builder.finish()
        });
        let fields: Vec<_> = definition.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, !c.not_null)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).unwrap();
        key += rows;
        batch
    };
    let units = (0..5).map(|unit| batch(ROWS_PER_UNIT, &mut random, unit % 2 == 0)).collect();
    let delta = (0..2).map(|unit| batch(1500, &mut random, unit == 0)).collect();
    let dead =
        (0..5).map(|unit| (0..unit * 300u32).map(|_| random.below(ROWS_PER_UNIT) as u32).collect::<RoaringBitmap>()).collect();
    database.fill("t", units, dead, delta);
    database
}

fn query(random: &mut Random, table: &str) -> String {
    let groups = [
        "",
        "",
        "flag",
        "flag, few",
        "few",
        "amount",
        "k",
        "l",
        "day",
        "flag, word",
        "word, few, l",
        "many",
        "tax",
        "f",
        "price",
    ];
    let groups = random.one(&groups);
    let numbers = [
        "amount",
        "price",
        "tax",
        "few",
        "l",
        "many",
        "huge",
        "price * (1 - tax)",
        "price * (1 - tax) * (1 + tax)",
        "amount * few",
        "amount + l",
        "price - tax",
        "price * price",
        "amount * amount",
        "few * few + l",
        "2 * price + amount",
        "many - amount",
        "huge * 2",
        "f",
        "-price",
    ];
    let mut aggregates: Vec<String> = (0..1 + random.below(5))
        .map(|_| {
            let number = random.one(&numbers);
            match random.below(9) {
                0 => "count(*)".to_owned(),
                1 => format!("count({number})"),
                2 => format!("avg({number})"),
                3 => format!("min({number})"),
                4 => "max(word)".to_owned(),
                5 => format!("sum({number}) FILTER (WHERE few > 0)"),
                _ => format!("sum({number})"),
            }
        })
        .collect();
    if !groups.is_empty() {
        aggregates.insert(0, groups.to_owned());
    }
    let conditions = [
        "",
        "",
        "price < 50000",
        "price >= 10.5 AND tax BETWEEN 0.02 AND 0.05",
        "flag = 'A'",
        "flag IN ('A', 'R')",
        "word LIKE '%longer%7%'",
        "word NOT LIKE '%number%1%'",
        "few <> 1",
        "amount <= -5",
        "day >= date '1992-01-01'",
        "few IS NULL",
        "flag IS NOT NULL AND l = 3",
        "flag IS NULL OR few = 2",
        "k < 0",
        "many > 0",
        "huge > 1000000000000000000000",
        "f < 500",
        "price > 1000000000",
        "few > -3",
        "flag < 'B'",
        "NOT (flag = 'N')",
        "0.03 = tax",
        "l = 1 AND k > 3000",
    ];
    let condition = random.one(&conditions);
    let mut sql = format!("SELECT {} FROM {table}", aggregates.join(", "));
    if !condition.is_empty() {
        sql += &format!(" WHERE {condition}");
    }
    if !groups.is_empty() {
        sql += &format!(" GROUP BY {groups}");
    }
    sql
}

fn answer(database: &Database, sql: &str) -> Result<Vec<String>, String> {
    let rows = database.rows(sql).map_err(|error| error.state.as_str().to_owned())?;
    let mut lines: Vec<String> =
        rows.iter().map(|row| row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")).collect();
    lines.sort_unstable();
    Ok(lines)
}

#[test]
fn the_scans_groups_are_datafusions() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40u64);
    let databases = [database(11), database(5)];
    for seed in 1..=seeds {
        let database = &databases[seed as usize % databases.len()];
        // A scan that is cut short gives its rows out.
        let fused = query(&mut Random(seed * 7919), "t");
        let plain = query(&mut Random(seed * 7919), "(SELECT * FROM t LIMIT 1000000000) AS u");
        assert_eq!(answer(database, &fused), answer(database, &plain), "seed {seed}: {fused}");
    }
}

#[test]
fn a_scan_adds_up_where_it_can() {
    let database = database(3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let is_fused = |sql: &str| {
        let plan = database.plan(sql, &[]).unwrap();
        let lines = runtime.block_on(plan.explain(database.execution(&[]), ExplainOptions::default())).unwrap();
        lines.iter().any(|line| line.contains("aggregates=["))
    };
    let wanted = [
        ("SELECT sum(price * (1 - tax)) FROM t", true),
        ("SELECT flag, few, count(*), avg(price) FROM t WHERE day < date '1992-06-01' GROUP BY flag, few", true),
        ("SELECT k, sum(price) FROM t GROUP BY k", true),
        ("SELECT sum(f) FROM t", true),
        ("SELECT many, count(*) FROM t GROUP BY many", false),
        ("SELECT count(DISTINCT few) FROM t", true),
        ("SELECT string_agg(flag, ',') FROM t", false),
        ("SELECT sum(price) FROM (SELECT * FROM t LIMIT 5) AS u", false),
    ];
    for (sql, fused) in wanted {
        assert_eq!(is_fused(sql), fused, "{sql}");
    }
}
