# DuckDB and pyarrow read a table's files, and its deletion vector is applied by hand from docs/format.md.
"$BUILD/examples/sample_table" "$SCRATCH/table"
scripts/python scripts/checks/read_parquet.py "$SCRATCH/table"

# The same for a table of a served database that has been changed, merged and changed again.
. scripts/checks/server.bash
start_server "$SCRATCH/data"
sql() { psql -X -q "$URL" -v ON_ERROR_STOP=1 "$@"; }
scripts/python - >"$SCRATCH/rows.csv" <<'PYTHON'
for i in range(60_000):
    print(f"{i},{i % 1000 if i % 7 else ''},{i / 4 - 5000 if i % 11 else '':},note {i}")
PYTHON
sql -c 'create table t (id bigint primary key, v integer, amount numeric(15,2), note text)' \
  -c "copy t from stdin with (format csv)" <"$SCRATCH/rows.csv"
# What SELECT answers while it is served is what the files say as of the checkpoint.
compare() {
  sql -c checkpoint
  sql -c 'copy (select * from t order by id) to stdout with (format csv)' >"$SCRATCH/selected.csv"
  scripts/python scripts/checks/read_served.py "$SCRATCH/data" "$SCRATCH/selected.csv"
}
sql -c vacuum -c 'delete from t where id % 97 = 3' -c 'update t set v = -v where id % 5 = 0' -c "update t set note = note || '!' where id = 17"
compare
sql -c vacuum
sql -c "insert into t values (100000, 1, 2.50, 'new'), (100001, null, null, null)" -c 'delete from t where id < 100'
compare
stop_server
scripts/python scripts/checks/read_served.py "$SCRATCH/data" "$SCRATCH/selected.csv"
