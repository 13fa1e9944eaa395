//! The order of joins changes no answer, and is the one wanted where that is known.

#![allow(clippy::unwrap_used)]

mod support;

use analytic::ExplainOptions;
use support::{Database, Random};

const TABLES: usize = 6;

/// Small tables t0, t1, .. of columns k (key), a, b (with NULLs), s and rows that often match each other.
fn database() -> Database {
    let ddl: Vec<String> =
        (0..TABLES).map(|t| format!("CREATE TABLE t{t} (k bigint PRIMARY KEY, a bigint, b integer, s text);")).collect();
    let mut database = Database::new(&ddl.concat());
    let mut random = Random(7);
    for table in 0..TABLES {
        let rows: Vec<[Option<String>; 4]> = (0..[3, 17, 9, 30, 12, 25][table])
            .map(|row| {
                let mut value = |n: u64| (random.below(6) > 0).then(|| random.below(n).to_string());
                let (a, b) = (value(8), value(5));
                [Some(row.to_string()), a, b, value(4).map(|n| format!("s{n}"))]
            })
            .collect();
        let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
        database.insert(&format!("t{table}"), &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    database
}

/// A query over two to five tables: equalities, ranges, expressions, subqueries of every kind, outer joins, derived tables.
fn query(random: &mut Random) -> String {
    let count = 2 + random.below(4) as usize;
    let mut from = Vec::new();
    for x in 0..count {
        let table = random.below(TABLES as u64);
        from.push(match random.below(8) {
            0 => format!("(SELECT k, a, b, s FROM t{table} WHERE a > 1) AS x{x}"),
            1 => format!("(SELECT max(k) AS k, a, min(b) AS b, max(s) AS s FROM t{table} GROUP BY a) AS x{x}"),
            2 => {
                let other = random.below(TABLES as u64);
                format!("(SELECT u.k, u.a, v.b, u.s FROM t{table} u JOIN t{other} v ON u.a = v.a) AS x{x}")
            }
            3 => {
                let other = random.below(TABLES as u64);
                format!("(SELECT u.k, u.a, v.b, v.s FROM t{table} u LEFT JOIN t{other} v ON u.b = v.b AND v.a < 6) AS x{x}")
            }
            _ => format!("t{table} AS x{x}"),
        });
    }
    let mut conditions = Vec::new();
    for x in 1..count {
        let y = random.below(x as u64);
        let column = random.one(&["k", "a", "b"]);
        conditions.push(match random.below(7) {
            0 => format!("x{x}.a + 1 = x{y}.a"),
            1 => format!("x{x}.{column} = x{y}.{column} AND x{x}.s = x{y}.s"),
            2 => format!("(x{x}.a = x{y}.b OR x{x}.k = 1 AND x{y}.k = 2)"),
            3 => format!("x{x}.b = x{y}.b AND x{x}.a < x{y}.a"),
            _ => format!("x{x}.{column} = x{y}.{column}"),
        });
    }
    for _ in 0..random.below(4) {
        let (x, y) = (random.below(count as u64), random.below(count as u64));
        let table = random.below(TABLES as u64);
        conditions.push(match random.below(9) {
            0 => format!("x{x}.a = x{y}.k"),
            1 => format!("x{x}.k < 5"),
            2 => format!("EXISTS (SELECT 1 FROM t{table} e WHERE e.a = x{x}.a AND e.k <> x{x}.k)"),
            3 => format!("NOT EXISTS (SELECT 1 FROM t{table} e WHERE e.a = x{x}.a AND e.b = x{y}.b)"),
            4 => format!("x{x}.b IN (SELECT e.b FROM t{table} e WHERE e.a > 2)"),
            5 => format!("x{x}.a NOT IN (SELECT e.a FROM t{table} e WHERE e.a IS NOT NULL)"),
            6 => format!("x{x}.a NOT IN (SELECT e.a FROM t{table} e WHERE e.k < 2)"),
            7 => format!("x{x}.a > (SELECT min(e.a) FROM t{table} e)"),
            _ => format!("x{x}.k < (SELECT max(e.k) FROM t{table} e WHERE e.a = x{x}.a)"),
        });
    }
    let columns: Vec<String> = (0..count).map(|x| format!("x{x}.k, x{x}.{}", random.one(&["a", "b", "s"]))).collect();
    format!("SELECT {} FROM {} WHERE {}", columns.join(", "), from.join(", "), conditions.join(" AND "))
}

#[test]
fn the_order_of_joins_changes_no_answer() {
    let ordered = database();
    let written = ordered.as_written();
    let mut random = Random(0x5eed);
    let mut with_rows = 0;
    for _ in 0..400 {
        let sql = query(&mut random);
        let answer = |database: &Database| {
            database.rows(&sql).map(|mut rows| {
                rows.sort();
                rows
            })
        };
        match (answer(&ordered), answer(&written)) {
            (Ok(a), Ok(b)) => {
                assert_eq!(a, b, "{sql}");
                with_rows += usize::from(!a.is_empty());
            }
            (Err(a), Err(b)) => assert_eq!(a.state, b.state, "{sql}"),
            (a, b) => panic!("{sql}\nordered: {a:?}\nas written: {b:?}"),
        }
    }
    assert!(with_rows > 100, "only {with_rows} of the queries found rows");
}

/// The joins of a plan as they nest, the built side first: `(a (b c))`.
fn shape(database: &Database, sql: &str) -> String {
    let plan = database.plan(sql, &[]).unwrap();
    let explained = plan.explain(database.execution(&[]), ExplainOptions::default());
    let lines = futures::executor::block_on(explained).unwrap();
    let mut nodes = lines.iter().filter_map(|line| {
        let depth = line.len() - line.trim_start().len();
        let node = line.trim_start();
        if let Some(scan) = node.strip_prefix("DataSourceExec: ") {
            return Some((depth, scan.split(',').next().unwrap_or_default().to_owned()));
        }
        let kind = node.split("join_type=").nth(1)?.split(',').next()?;
        Some((depth, format!("{kind} ")))
    });
    fn read(nodes: &mut dyn Iterator<Item = (usize, String)>) -> String {
        let Some((_, node)) = nodes.next() else { return String::new() };
        match node.strip_suffix(' ') {
            Some(kind) => {
                let (left, right) = (read(nodes), read(nodes));
                let kind = if kind == "Inner" { String::new() } else { format!("{kind}: ") };
                format!("({kind}{left} {right})")
            }
            None => node,
        }
    }
    read(&mut nodes)
}

#[test]
fn plans_have_the_shapes_wanted() {
    let mut database = Database::new(
        "CREATE TABLE fact (id bigint PRIMARY KEY, d1 bigint, d2 bigint, v bigint);
         CREATE TABLE d1 (id bigint PRIMARY KEY, n bigint);
         CREATE TABLE d2 (id bigint PRIMARY KEY, r bigint);
         CREATE TABLE r (id bigint PRIMARY KEY, n text);",
    );
    let mut fill = |name: &str, rows: usize, row: &dyn Fn(usize) -> Vec<String>| {
        let rows: Vec<Vec<String>> = (0..rows).map(row).collect();
        let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(|v| Some(v.as_str())).collect()).collect();
        database.insert(name, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    };
    let text = |values: &[usize]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    fill("fact", 20_000, &|n| text(&[n, n % 2_000, n % 300, n]));
    fill("d1", 2_000, &|n| text(&[n, n % 7]));
    fill("d2", 300, &|n| text(&[n, n % 5]));
    fill("r", 5, &|n| text(&[n, n]));
    let cases = [
        ("SELECT * FROM fact, d1 WHERE fact.d1 = d1.id", "(d1 fact)"),
        ("SELECT * FROM d1, fact WHERE fact.d1 = d1.id", "(d1 fact)"),
        // The text begins with tables that have nothing in common.
        (
            "SELECT * FROM r, d1, fact, d2 WHERE fact.d1 = d1.id AND fact.d2 = d2.id AND d2.r = r.id AND d1.id = 7",
            "(r ((d1 fact) d2))",
        ),
        // A semi join by few rows comes before the join with many.
        (
            "SELECT * FROM fact, d1 WHERE fact.d1 = d1.id AND EXISTS (SELECT 1 FROM r WHERE r.id = fact.id)",
            "((RightSemi: r fact) d1)",
        ),
        ("SELECT * FROM d1 LEFT JOIN fact ON fact.d1 = d1.id", "(Left: d1 fact)"),
        ("SELECT * FROM fact LEFT JOIN d1 ON fact.d1 = d1.id", "(Right: d1 fact)"),
    ];
    for (sql, expected) in cases {
        assert_eq!(shape(&database, sql), expected, "{sql}");
    }
}

/// The filters that the scan of a table has in a plan.
fn filters(database: &Database, sql: &str, table: &str) -> String {
    let plan = database.plan(sql, &[]).unwrap();
    let explained = plan.explain(database.execution(&[]), ExplainOptions::default());
    let lines = futures::executor::block_on(explained).unwrap();
    let scan = lines.iter().find_map(|line| line.trim_start().strip_prefix(&format!("DataSourceExec: {table},"))).unwrap();
    scan.split_once("filters=").map_or_else(String::new, |(_, filters)| filters.to_owned())
}

#[test]
fn what_a_join_has_learnt_goes_to_the_table_it_is_about() {
    let database = database();
    // Keys of t3 are about t1.a; the input they are passed to has another `a`, of t5, before it.
    let twins = "SELECT x0.k, x1.k, x2.k, x3.k, x4.k, x4.a
                 FROM t1 AS x0, (SELECT k, a, b FROM t3 WHERE a > 1) AS x1, t3 AS x2, t2 AS x3,
                      (SELECT max(k) AS k, a, min(b) AS b FROM t5 GROUP BY a) AS x4
                 WHERE x1.a = x0.a AND x2.a = x0.a AND x3.b = x1.b AND x3.a < x1.a AND x4.b = x0.b
                   AND x2.a > (SELECT min(e.a) FROM t3 e)";
    assert_eq!(filters(&database, twins, "t5"), "", "{twins}");
    let plain = "SELECT t1.s FROM t1, t3 WHERE t1.a = t3.a AND t3.k < 3";
    let learnt = [filters(&database, plain, "t1"), filters(&database, plain, "t3")];
    assert!(learnt.iter().any(|filters| filters.contains("DynamicFilter")), "{learnt:?}");
}
