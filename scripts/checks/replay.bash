# For checks: every table of a server equals PostgreSQL 15's after the same operations, row by row.
#
#   scripts/python scripts/oracle/postgres15.py bash -eu scripts/checks/replay.bash LOG SCALE URL
#
# LOG is the folder of `tpch mixed`, SCALE what `tpch load` loaded before it, URL the server that ran it.
log=$1 scale=$2 url=$3
"$TPCH" load --url "$POSTGRES15" --scale "$scale"
for file in "$log"/setup.sql "$log"/client-*.sql; do
  psql -X -q "$POSTGRES15" -v ON_ERROR_STOP=1 -f "$file" >"$SCRATCH/replay.out" 2>&1 || { tail -5 "$SCRATCH/replay.out"; exit 1; }
done

equal=0
while read -r table key; do
  for side in ours theirs; do
    from=$url
    [ "$side" = ours ] || from=$POSTGRES15
    psql -X -q "$from" -v ON_ERROR_STOP=1 -c "copy (select * from $table order by $key) to stdout" >"$SCRATCH/$side.rows"
  done
  if ! cmp "$SCRATCH/ours.rows" "$SCRATCH/theirs.rows"; then
    echo "$table differs from PostgreSQL's after the same operations:"
    diff "$SCRATCH/ours.rows" "$SCRATCH/theirs.rows" | head -20
    exit 1
  fi
  [ -s "$SCRATCH/ours.rows" ]
  echo "$table: $(wc -l <"$SCRATCH/ours.rows") rows equal"
  equal=$((equal + 1))
done <<END
region r_regionkey
nation n_nationkey
supplier s_suppkey
part p_partkey
partsupp ps_partkey, ps_suppkey
customer c_custkey
orders o_orderkey
lineitem l_orderkey, l_linenumber
account a_id
marker m_client, m_seq
journal j_client, j_seq, j_amount
END
rm "$SCRATCH/ours.rows" "$SCRATCH/theirs.rows"
[ "$equal" = 11 ]
