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
    let plan = client.ok("EXPLAIN SELECT f.s FROM fact f JOIN small s ON f.k = s.k ORDER BY f.s").await.rows;
    let plan: String = plan.iter().flatten().flatten().map(|line| format!("{line}\n")).collect();
    assert!(plan.contains("k@1 IN keys") && plan.matches("CompactStringsExec").count() == 2, "{plan}");
}
