# The 22 queries answer as DuckDB does over the wire: after the load, with half of the rows changed and changed back (so that delta,
# deletion vectors and segments all take part), after a merge, and after a restart.
. scripts/checks/server.bash

start_server "$SCRATCH/data"
"$TPCH" load --url "$URL" --scale 0.01
"$TPCH" validate --url "$URL" --scale 0.01

psql "$URL" -X -v ON_ERROR_STOP=1 <<'SQL'
begin;
update orders set o_shippriority = o_shippriority + 1 where o_orderkey % 2 = 0;
update lineitem set l_tax = l_tax + 1 where l_orderkey % 2 = 0;
commit;
begin;
update orders set o_shippriority = o_shippriority - 1 where o_orderkey % 2 = 0;
update lineitem set l_tax = l_tax - 1 where l_orderkey % 2 = 0;
commit;
SQL
"$TPCH" validate --url "$URL" --scale 0.01

psql "$URL" -X -v ON_ERROR_STOP=1 -c vacuum -c checkpoint
"$TPCH" validate --url "$URL" --scale 0.01
stop_server
"$COLONNADE" check --data "$SCRATCH/data"

start_server "$SCRATCH/data"
"$TPCH" validate --url "$URL" --scale 0.01
stop_server
