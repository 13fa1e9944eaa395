# The 22 queries answer as DuckDB does over the wire: before, during and after merges, with half of orders and lineitem written again (so
# that delta, deletion vectors and segments all take part), and after a restart; with other parameters too. Full form: scripts/full tpch
# (SCALE, 0.01; SUBSTITUTIONS, 2).
. scripts/checks/server.bash
scale=${SCALE:-0.01}

validate() {
  echo "validate: $1"
  "$TPCH" validate --url "$URL" --scale "$scale"
}
sql() { psql -X "$URL" -v ON_ERROR_STOP=1 "$@"; }
# Validates while a command in the background is at work, and at least once.
validate_during() {
  local what=$1 background times=0
  shift
  "$@" >"$SCRATCH/background" 2>&1 &
  background=$!
  while [ "$times" = 0 ] || kill -0 "$background" 2>/dev/null; do
    validate "$what"
    times=$((times + 1))
  done
  wait "$background" || { cat "$SCRATCH/background"; return 1; }
}

start_server "$SCRATCH/data" --log-level info,engine=debug
"$TPCH" load --url "$URL" --scale "$scale"
validate 'after the load'

# To the same values, each table in one statement.
sql -c 'update orders set o_comment = o_comment where o_orderkey % 2 = 0' \
  -c 'update lineitem set l_comment = l_comment where l_orderkey % 2 = 0'
sql -c 'explain analyze select count(l_comment) from lineitem' | grep -E 'Rows from delta: [1-9]'
validate 'with half of the rows written again'
validate_during 'during a merge' psql -X "$URL" -v ON_ERROR_STOP=1 -c vacuum -c checkpoint
[ "$(grep -c 'froze rows' "$SCRATCH/server.log")" -ge 2 ]
validate 'after the merge'

# The other half by ranges of keys, changed and changed back in one transaction that is open while the queries run, then merged.
writer() {
  sql <<'SQL'
begin;
update orders set o_shippriority = o_shippriority + 1 where o_orderkey % 64 between 1 and 15 and o_orderkey % 2 = 1;
update lineitem set l_tax = l_tax + 1 where l_orderkey % 64 between 1 and 15 and l_orderkey % 2 = 1;
update orders set o_shippriority = o_shippriority - 1 where o_orderkey % 64 between 1 and 15 and o_orderkey % 2 = 1;
update lineitem set l_tax = l_tax - 1 where l_orderkey % 64 between 1 and 15 and l_orderkey % 2 = 1;
commit;
vacuum;
SQL
}
validate_during 'during a transaction and a merge' writer
sql -c 'update lineitem set l_comment = l_comment where l_orderkey between 1000 and 20000'
validate 'with a range of keys written again'
stop_server
"$COLONNADE" check --data "$SCRATCH/data"

start_server "$SCRATCH/data"
validate 'after a restart'
stop_server

# With other parameters, all rows; and again after changes that both make. Then the refresh functions, beside streams of queries.
scripts/python scripts/bench/tpch_duckdb.py --bin "$(dirname "$TPCH")" --scale "$scale" --substitutions "${SUBSTITUTIONS:-2}" --changed --rounds 1 --warmups 0
start_server "$SCRATCH/data"
"$TPCH" benchmark --url "$URL" --scale "$scale"
stop_server
"$COLONNADE" check --data "$SCRATCH/data"
