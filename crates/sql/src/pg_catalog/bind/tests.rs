//! Names, types and their errors, in a database with a table `t (id integer)`.

use catalog::{Catalog, Edit};
use types::{ColumnId, SqlType, TableId};

use super::*;
use crate::pg_catalog::data;
use crate::pg_catalog::plan::{Body, Source as From};

fn catalog() -> Catalog {
    let catalog = Catalog::new();
    let schema = catalog.schema(catalog.database("postgres").unwrap().id, "public").unwrap().id;
    let column = catalog::Column {
        id: ColumnId(1),
        name: "id".into(),
        data_type: SqlType::Int4,
        not_null: false,
        default: None,
        identity: None,
        generated: None,
    };
    let table =
        catalog::Table { id: TableId(20000), schema, name: "t".into(), columns: vec![column], ..catalog::Table::default() };
    catalog.apply(&Edit::CreateTable(table)).unwrap()
}

fn bound(text: &str, path: &[&str]) -> Result<Bound, SqlError> {
    let catalog = catalog();
    let search_path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
    let names = Scope { catalog: &catalog, database: catalog.database("postgres").unwrap().id, search_path: &search_path };
    bind(names, Some(&Source::new(text)), &crate::parse::parse_query(text).unwrap(), &[])
}

/// `name type, ...` of a query's columns, and its parameters' types.
fn shape(text: &str) -> String {
    let bound = bound(text, &["public"]).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let column = |c: &Column| format!("{} {}", c.name, kind::format(c.kind, None));
    let columns: Vec<String> = bound.plan.columns.iter().map(column).collect();
    let params: Vec<String> = bound.params.iter().map(|k| kind::format(*k, None)).collect();
    if params.is_empty() { columns.join(", ") } else { format!("{} <- {}", columns.join(", "), params.join(", ")) }
}

#[test]
fn columns_have_postgresqls_names_and_types() {
    for (text, expected) in [
        (
            "select oid, relname, relkind, reltuples, relacl from pg_class",
            "oid oid, relname name, relkind \"char\", reltuples real, relacl aclitem[]",
        ),
        ("select c.* from pg_catalog.pg_inherits c", "inhrelid oid, inhparent oid, inhseqno integer, inhdetachpending boolean"),
        (
            "select 1, 3000000000, 1.5, 'x', null",
            "?column? integer, ?column? bigint, ?column? numeric, ?column? text, ?column? text",
        ),
        ("select 'pg_class'::pg_catalog.regclass, '{a}'::text[], 1::oid", "regclass regclass, text text[], oid oid"),
        ("select case when true then relname else 'x' end from pg_class", "case name"),
        ("select case when relname = 'x' then 1 end from pg_class", "case integer"),
        (
            "select coalesce(relname, 'x'), array[1, 2], exists (select 1) from pg_class",
            "coalesce name, array integer[], exists boolean",
        ),
        (
            "select count(*), sum(attnum), max(attname), array_agg(attname), string_agg(attname, ',') from pg_attribute",
            "count bigint, sum bigint, max name, array_agg name[], string_agg text",
        ),
        ("select array(select oid from pg_class), (select relname from pg_class limit 1)", "array oid[], relname name"),
        (
            "select indkey[0], conkey[1], conkey[1:2] from pg_index, pg_constraint",
            "indkey smallint, conkey smallint, conkey smallint[]",
        ),
        (
            "select (x).n, (x).x from (select information_schema._pg_expandarray(conkey) as x from pg_constraint) s",
            "n integer, x smallint",
        ),
        ("select * from generate_series(1, 2) with ordinality as s(a, b)", "a integer, b bigint"),
        ("select u from unnest('{a,b}'::name[]) u", "u name"),
        ("select relname from pg_class union all select 'x' order by 1", "relname name"),
        ("select * from (values (1, 'a'), (2, null)) v(n, s)", "n integer, s text"),
        ("select * from pg_attribute a join pg_attrdef d using (oid) limit 0", ""),
        ("with recursive w(n) as (select 1 union all select n + 1 from w where n < 3) select n from w", "n integer"),
        ("select table_name from information_schema.tables", "table_name name"),
        ("select relname operator(pg_catalog.~) '^(x)$' collate pg_catalog.default from pg_class", "?column? boolean"),
        ("select tableoid from pg_class", "tableoid oid"),
        ("select pid from pg_stat_activity where now() - query_start > interval '5 minutes'", "pid integer"),
    ] {
        if expected.is_empty() {
            assert_eq!(bound(text, &["public"]).unwrap_err().state, SqlState::UNDEFINED_COLUMN, "{text}");
        } else {
            assert_eq!(shape(text), expected, "{text}");
        }
    }
}

#[test]
fn parameters_take_the_type_of_what_they_are_used_with() {
    for (text, expected) in [
        ("select 1 from pg_class where oid = $1 and relname = $2", "?column? integer <- oid, name"),
        ("select 1 from pg_class where oid = any($1) limit $2", "?column? integer <- oid[], bigint"),
        ("select 1 from pg_class where oid = $1::regclass", "?column? integer <- regclass"),
        ("select $1 from pg_class", "?column? text <- text"),
        ("select 1 from pg_class where relname like $1 or relkind in ($2, 'v')", "?column? integer <- text, \"char\""),
        ("select pg_table_size($1)", "pg_table_size bigint <- regclass"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_as_postgresql_says_it() {
    for (text, state, message) in [
        ("select 1 from pg_nothing", "42P01", "relation \"pg_nothing\" does not exist"),
        ("select x.oid from pg_class c", "42P01", "missing FROM-clause entry for table \"x\""),
        ("select nope from pg_class", "42703", "column \"nope\" does not exist"),
        ("select c.nope from pg_class c", "42703", "column c.nope does not exist"),
        ("select oid from pg_class, pg_type", "42702", "column reference \"oid\" is ambiguous"),
        ("select nope(1) from pg_class", "42883", "function nope(integer) does not exist"),
        ("select lower(5)", "42883", "function lower(integer) does not exist"),
        ("select relname + 1 from pg_class", "42883", "operator does not exist: name + integer"),
        ("select 1 from pg_class where relname = 1", "42883", "operator does not exist: name = integer"),
        ("select 1 from pg_class where relname", "42804", "argument of WHERE must be type boolean, not type name"),
        ("select 1 from pg_class where not oid", "42804", "argument of NOT must be type boolean, not type oid"),
        ("select case when true then 1 else relname end from pg_class", "42804", "CASE types name and integer cannot be matched"),
        ("select oid from pg_class union select 'x'::text", "42804", "UNION types oid and text cannot be matched"),
        ("select 1 union select 1, 2", "42601", "each UNION query must have the same number of columns"),
        (
            "select relname, count(*) from pg_class",
            "42803",
            "column \"pg_class.relname\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        ("select 1 from pg_class where count(*) > 1", "42803", "aggregate functions are not allowed in WHERE"),
        ("select 1::nope", "42704", "type \"nope\" does not exist"),
        ("select 1 from pg_class a, pg_type a", "42712", "table name \"a\" specified more than once"),
        ("select 1 from pg_class order by 2", "42P10", "ORDER BY position 2 is not in select list"),
        ("select oid from pg_class where oid in (select oid, relname from pg_class)", "42601", "subquery has too many columns"),
        ("select array[]", "42P18", "cannot determine type of empty array"),
        ("select rank() over () from pg_class", "0A000", "a window function is not supported in queries of system relations"),
    ] {
        let error = bound(text, &["public"]).unwrap_err();
        assert_eq!((error.state.as_str(), error.message.as_str()), (state, message), "{text}");
    }
    assert_eq!(bound("select nope from pg_class", &["public"]).unwrap_err().fields.position, Some(8));
}

#[test]
fn names_are_looked_up_along_the_search_path() {
    let source = |text: &str, path: &[&str]| {
        bound(text, path).map(|bound| match bound.plan.body {
            Body::Select(select) => match select.from.map(|node| node.source) {
                Some(From::Table(shape)) => format!("{}.{}", shape.schema, shape.name),
                Some(From::Query { .. }) => "view".to_owned(),
                Some(From::Cte(_)) => "cte".to_owned(),
                _ => "other".to_owned(),
            },
            _ => "other".to_owned(),
        })
    };
    assert_eq!(source("select 1 from pg_class", &[]).unwrap(), "pg_catalog.pg_class");
    assert_eq!(source("select 1 from sql_parts", &["information_schema"]).unwrap(), "information_schema.sql_parts");
    assert_eq!(source("select 1 from sql_parts", &["public"]).unwrap_err().state, SqlState::UNDEFINED_TABLE);
    assert_eq!(source("select 1 from information_schema.tables", &[]).unwrap(), "view");
    assert_eq!(source("with pg_class as (select 1) select 1 from pg_class", &[]).unwrap(), "cte");
    assert_eq!(source("select 1 from t", &["public"]).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(source("select 1 from t", &[]).unwrap_err().state, SqlState::UNDEFINED_TABLE);
}

#[test]
fn every_system_view_can_be_bound() {
    let mut refused = vec![];
    for shape in data::shapes().iter().filter(|shape| shape.relkind == "v") {
        if let Err(error) = bound(&format!("select * from {}.{}", shape.schema, shape.name), &["public"]) {
            refused.push(format!("{}.{}: {}", shape.schema, shape.name, error.message));
        }
    }
    assert_eq!(refused, Vec::<String>::new());
    assert!(data::shapes().iter().filter(|shape| data::is_empty_view(shape)).count() > 30, "the names are found");
}

#[test]
fn nesting_is_bounded_and_long_chains_are_not_nesting() {
    let chain = vec!["oid = 1"; 2000].join(" or ");
    assert!(bound(&format!("select 1 from pg_class where {chain}"), &[]).is_ok());
    let deep = format!("select {}oid{} from pg_class", "-(".repeat(70), ")".repeat(70));
    assert_eq!(bound(&deep, &[]).unwrap_err().state, SqlState::STATEMENT_TOO_COMPLEX);
}
