# Files in and out of a directory: bad rows aside, the rest whole; what DuckDB and we write of the same rows is equal.
cd_to=$SCRATCH
cat >"$cd_to/items.csv" <<'CSV'
id,name,price,added
1,"a, quoted ""name""",9.50,2026-01-31
2,two,,2026-02-01
x,not a number,1.00,2026-02-01
3,"two
lines",3.25,2026-02-30
4,four,4.00,2026-02-28
5,too,many,fields,here
CSV

code=0
"$COLONNADE" import --data "$cd_to/data" items "$cd_to/items.csv" --create --primary-key id --rejects "$cd_to/bad.csv" \
  >"$cd_to/created.sql" || code=$?
# Inference sees the bad rows too, so every column with one is text and only the broken row is rejected.
[ "$code" = 4 ]
grep -q 'id text not null' "$cd_to/created.sql"
[ "$("$COLONNADE" sql --data "$cd_to/data" --format csv -c 'select count(*) from items' | tail -1)" = 5 ]

"$COLONNADE" sql --data "$cd_to/data" -c 'create table typed (id integer primary key, name varchar(20) not null, price numeric(8,2), added date)'
code=0
"$COLONNADE" import --data "$cd_to/data" typed "$cd_to/items.csv" --rejects "$cd_to/bad.csv" || code=$?
[ "$code" = 4 ]
cat "$cd_to/bad.csv"
cut -d, -f2,3 "$cd_to/bad.csv" | grep -E '^([0-9]+,|line)' | tr '\n' ' ' | grep -q 'line,column 4,id 5,added 8, '
"$COLONNADE" export --data "$cd_to/data" 'select * from typed order by id' "$cd_to/out.csv"
cat >"$cd_to/expected.csv" <<'CSV'
id,name,price,added
1,"a, quoted ""name""",9.50,2026-01-31
2,two,,2026-02-01
4,four,4.00,2026-02-28
CSV
diff "$cd_to/expected.csv" "$cd_to/out.csv"

# Nothing of an import that fails is kept, and its exit code says so.
code=0
"$COLONNADE" import --data "$cd_to/data" typed "$cd_to/out.csv" || code=$?
[ "$code" = 1 ]
[ "$("$COLONNADE" sql --data "$cd_to/data" --format csv -c 'select count(*) from typed' | tail -1)" = 3 ]

# Parquet in (several files) and out again, compared by DuckDB.
"$TPCH" generate --scale 0.01 --out "$cd_to/tpch" --parts 3
"$COLONNADE" import --data "$cd_to/data" lineitem "$cd_to/tpch/lineitem.*.parquet" --create --primary-key l_orderkey,l_linenumber
"$COLONNADE" export --data "$cd_to/data" lineitem "$cd_to/lineitem.parquet"
"$COLONNADE" export --data "$cd_to/data" lineitem "$cd_to/lineitem.csv"
scripts/python - "$cd_to" <<'PYTHON'
import sys, duckdb
folder = sys.argv[1]
ours, csv, theirs = (f"select * from '{folder}/{name}'" for name in ("lineitem.parquet", "lineitem.csv", "tpch/lineitem.*.parquet"))
for one, other in ((ours, theirs), (theirs, ours), (csv, theirs), (theirs, csv)):
    left = duckdb.sql(f"select count(*) from ({one} except all {other})").fetchall()[0][0]
    assert left == 0, (left, one, other)
assert duckdb.sql(f"select count(*) from ({ours})").fetchall()[0][0] == 60175
PYTHON
"$COLONNADE" check --data "$cd_to/data"

# The same through a server.
. scripts/checks/server.bash
start_server "$cd_to/data"
"$COLONNADE" sql --url "$URL" -c 'create table remote (id integer primary key, name varchar(20) not null, price numeric(8,2), added date)'
"$COLONNADE" import --url "$URL" remote "$cd_to/expected.csv"
"$COLONNADE" export --url "$URL" 'select * from remote order by id' "$cd_to/remote.csv"
diff "$cd_to/expected.csv" "$cd_to/remote.csv"
"$COLONNADE" export --url "$URL" lineitem "$cd_to/remote.parquet"
scripts/python -c "
import duckdb
embedded, remote = (f\"select * from '$cd_to/{name}.parquet'\" for name in ('lineitem', 'remote'))
for one, other in ((embedded, remote), (remote, embedded)):
    left = duckdb.sql(f'select count(*) from ({one} except all {other})').fetchall()[0][0]
    assert left == 0, (left, one, other)
"
stop_server
