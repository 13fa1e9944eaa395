//! Joins whose keys are looked for as bits where the other side is scanned, beside the same joins by expressions, which have none.

#![allow(clippy::unwrap_used)]

mod common;

use common::Client;
use env::RealEnv;
use sql::{Instance, Options};

/// `fact` has most of its rows in segments and some in the delta; `k` and `m` are NULL now and then.
async fn tables(client: &mut Client) {
    client.ok("CREATE TABLE fact (id int PRIMARY KEY, k int, m smallint, d date NOT NULL, s text NOT NULL)").await;
    client.ok("CREATE TABLE small (id int PRIMARY KEY, k int, m smallint, d date NOT NULL)").await;
    let row = "x, nullif(x % 1000, 7), nullif((x % 50)::smallint, 3), date '2020-01-01' + x % 3000, 'a text that is longer than its view ' || x % 10";
    client.ok(&format!("INSERT INTO fact SELECT {row} FROM generate_series(1, 70000) AS g (x)")).await;
    client.ok(&format!("INSERT INTO fact SELECT {row} FROM generate_series(70001, 70500) AS g (x)")).await;
    let row = "x, nullif(x * 37, 111), nullif((x % 11)::smallint, 5), date '2020-01-01' + x * 9";
    client.ok(&format!("INSERT INTO small SELECT {row} FROM generate_series(1, 60) AS g (x)")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_those_of_joins_without() {
    let dir = tempfile::tempdir().unwrap();
    let instance = Instance::open(RealEnv::new(), dir.path(), Options { query_threads: 2, ..Options::default() }).unwrap();
    let mut client = Client::new(&instance);
    tables(&mut client).await;
    // {=} stands between two keys: as they are, and as expressions.
    let queries = [
        "SELECT count(*), sum(f.id), sum(s.id), max(f.s) FROM fact f JOIN small s ON f.k {=} s.k",
        "SELECT count(*), sum(f.id), sum(s.id) FROM fact f JOIN small s ON f.d {=} s.d",
        "SELECT count(*), sum(f.id), sum(s.id) FROM fact f JOIN small s ON f.k {=} s.k AND f.m {=} s.m",
        "SELECT count(*), sum(f.id), sum(s.id) FROM fact f LEFT JOIN small s ON f.k {=} s.k",
        "SELECT count(*), sum(f.id), sum(s.id) FROM small s LEFT JOIN fact f ON f.k {=} s.k AND f.m < 20",
        "SELECT count(*), sum(f.id), sum(s.id) FROM small s FULL JOIN fact f ON f.k {=} s.k",
        "SELECT count(*), sum(f.id) FROM fact f WHERE EXISTS (SELECT 1 FROM small s WHERE f.k {=} s.k)",
        "SELECT count(*), sum(f.id) FROM fact f WHERE NOT EXISTS (SELECT 1 FROM small s WHERE f.k {=} s.k)",
        "SELECT count(*), sum(s.id) FROM small s WHERE EXISTS (SELECT 1 FROM fact f WHERE f.k {=} s.k AND f.m = 9)",
        "SELECT count(*), sum(s.id) FROM small s WHERE NOT EXISTS (SELECT 1 FROM fact f WHERE f.k {=} s.k AND f.m = 9)",
        "SELECT count(*), sum(f.id) FROM fact f JOIN small s ON f.k {=} s.k WHERE s.id < 0",
        "SELECT count(*), sum(u.id) FROM (SELECT id, k FROM fact WHERE m < 9 UNION ALL SELECT id, k FROM fact WHERE m > 30) u JOIN small s ON u.k {=} s.k",
        "SELECT count(*), sum(g.n) FROM (SELECT k, count(*) AS n FROM fact GROUP BY k) g JOIN small s ON g.k {=} s.k",
        "SELECT count(*), sum(f.id), sum(t.id) FROM fact f JOIN small s ON f.k {=} s.k JOIN fact t ON t.id {=} f.m JOIN small r ON r.id {=} t.m",
        "SELECT f.id, s.id FROM fact f JOIN small s ON f.k {=} s.k ORDER BY f.id DESC, s.id LIMIT 20",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION SELECT f.id FROM r JOIN fact f ON f.k {=} r.n WHERE f.id < 40) SELECT count(*), sum(n) FROM r",
        // Keys of columns that come through other joins, groups and filters.
        "SELECT count(*), sum(f.id), sum(t.id) FROM fact f JOIN fact t ON f.m {=} t.m AND f.id < 200 AND t.id < 3000 JOIN small s ON s.m {=} f.m AND s.k {=} t.k",
        "SELECT count(*), sum(f.id), count(t.id) FROM fact f LEFT JOIN fact t ON t.id {=} f.k JOIN small s ON s.k {=} f.k AND s.m {=} f.m",
        "SELECT count(*), sum(f.id), count(t.id) FROM fact f LEFT JOIN fact t ON t.id {=} f.k AND t.m < 20 JOIN small s ON s.k {=} t.k",
        "SELECT count(*), sum(f.id), count(t.id) FROM fact t RIGHT JOIN fact f ON t.id {=} f.k AND t.m < 20 JOIN small s ON s.k {=} f.k",
        "SELECT count(*), sum(f.id), count(t.id) FROM fact t RIGHT JOIN fact f ON t.id {=} f.k AND t.m < 20 JOIN small s ON s.k {=} t.k",
        "SELECT count(*), sum(f.id), sum(r.id) FROM fact f FULL JOIN small r ON f.id {=} r.id JOIN small s ON s.k {=} f.k",
        "SELECT count(*), sum(f.id), sum(r.id) FROM fact f FULL JOIN small r ON f.id {=} r.id JOIN small s ON s.k {=} r.k",
        "SELECT count(*), sum(g.n) FROM (SELECT k, m, count(*) AS n FROM fact GROUP BY k, m) g JOIN small s ON g.k {=} s.k AND g.m {=} s.m",
        "SELECT count(*), sum(g.n) FROM (SELECT k, m, count(*) AS n FROM fact GROUP BY ROLLUP (k, m)) g JOIN small s ON g.k {=} s.k",
        "SELECT count(*), sum(g.n) FROM (SELECT k % 10 AS k, count(*) AS n FROM fact GROUP BY k % 10) g JOIN small s ON g.k {=} s.m",
        "SELECT count(*), sum(g.n), sum(t.id) FROM (SELECT DISTINCT k, 2 AS n FROM fact) g JOIN fact t ON t.id {=} g.k JOIN small s ON s.k {=} t.k AND s.m {=} t.m",
        "SELECT count(*), sum(f.id) FROM (SELECT id, k FROM fact ORDER BY id LIMIT 500) f JOIN small s ON f.k {=} s.k",
        "SELECT count(*), sum(f.id) FROM (SELECT f.id, t.k FROM fact f JOIN fact t ON t.id {=} f.k ORDER BY f.id LIMIT 900) f JOIN small s ON f.k {=} s.k",
        "SELECT count(*), sum(w.n) FROM (SELECT k, count(*) OVER (PARTITION BY m) AS n FROM fact WHERE id < 5000) w JOIN small s ON w.k {=} s.k",
        "SELECT count(*), sum(w.n) FROM (SELECT k, lag(id) OVER (PARTITION BY k ORDER BY id) AS n FROM fact WHERE id < 5000) w JOIN small s ON w.k {=} s.k",
        "SELECT count(*), sum(f.id) FROM fact f JOIN small s ON f.k {=} s.k WHERE NOT EXISTS (SELECT 1 FROM fact t WHERE t.id {=} f.m AND t.k < 30)",
        "SELECT count(*), sum(f.id) FROM fact f JOIN small s ON f.k {=} s.k WHERE EXISTS (SELECT 1 FROM fact t WHERE t.id {=} f.k AND t.m < 30)",
        "SELECT count(*), sum(f.id) FROM (SELECT * FROM fact f WHERE NOT EXISTS (SELECT 1 FROM small r WHERE r.m {=} f.m)) f JOIN small s ON f.k {=} s.k",
        "SELECT count(*), sum(f.id) FROM fact f JOIN (SELECT k FROM small UNION SELECT m FROM small) s ON f.k {=} s.k JOIN small r ON r.m {=} f.m AND r.k {=} s.k",
        "SELECT s.id, (SELECT count(*) FROM fact f JOIN small t ON f.k {=} t.k WHERE t.id < s.id) FROM small s ORDER BY 1",
    ];
    for query in queries {
        let plain = client.ok(&query.replace("{=}", "=")).await.rows;
        let terms: Vec<&str> = query.split("{=}").collect();
        // `a = b` as `a + 0 = b`: a key that is no column has no bits.
        let mut other = terms[0].to_owned();
        for term in &terms[1..] {
            other.push_str("+ 0 =");
            other.push_str(term);
        }
        assert_eq!(plain, client.ok(&other).await.rows, "{query}");
    }
    for list in ["SELECT k FROM small", "SELECT k FROM small WHERE k IS NOT NULL"] {
        let found = client.ok(&format!("SELECT count(*) FROM fact WHERE k NOT IN ({list})")).await.rows;
        let expected = format!("SELECT count(*) FROM fact WHERE k + 0 NOT IN ({list})");
        assert_eq!(found, client.ok(&expected).await.rows, "{list}");
    }
    // The nations of the suppliers are those of the customers: of both tables other rows are not read.
    client.ok("CREATE TABLE c (id int PRIMARY KEY, n int); CREATE TABLE o (id int PRIMARY KEY, c int); CREATE TABLE l (o int, s int)").await;
    client.ok("CREATE TABLE p (id int PRIMARY KEY, n int); CREATE TABLE r (n int PRIMARY KEY, name text)").await;
    client.ok("INSERT INTO c SELECT x, x % 25 FROM generate_series(1, 3000) AS g (x); INSERT INTO o SELECT x, x % 3000 FROM generate_series(1, 9000) AS g (x)").await;
    client.ok("INSERT INTO l SELECT x % 9000, x % 200 FROM generate_series(1, 70000) AS g (x)").await;
    client.ok("INSERT INTO p SELECT x, x % 25 FROM generate_series(1, 200) AS g (x); INSERT INTO r SELECT x, 'r' || x / 5 FROM generate_series(0, 24) AS g (x)").await;
    let query = "SELECT count(*) FROM c, o, l, p, r WHERE o.c = c.id AND l.o = o.id AND l.s = p.id AND p.n = c.n AND r.n = p.n AND r.name = 'r2'";
    let plan = client.ok(&format!("EXPLAIN {query}")).await.rows;
    let scan =
        |table: &str| plan.iter().flatten().flatten().find(|line| line.contains(&format!("DataSourceExec: {table},"))).unwrap();
    assert!(scan("c").contains("n@1 IN keys") && scan("l").contains("s@1 IN keys"), "{plan:#?}");
    let other = query.replace(" = c.n", " + 0 = c.n").replace("r.n =", "r.n + 0 =").replace("l.s =", "l.s + 0 =");
    assert_eq!(client.ok(query).await.rows, client.ok(&other).await.rows);

    let plan = client.ok("EXPLAIN SELECT f.s FROM fact f JOIN small s ON f.k = s.k ORDER BY f.s").await.rows;
    let plan: String = plan.iter().flatten().flatten().map(|line| format!("{line}\n")).collect();
    assert!(plan.contains("k@1 IN keys") && plan.matches("CompactStringsExec").count() == 2, "{plan}");
}
