# Clients write in transactions over several tables while the 22 queries run and merges happen: no sum is ever seen broken, and in the
# end every table is PostgreSQL 15's after the same operations. With KILLS, the server is killed and started again meanwhile.
#
# Full form: scripts/full mixed, scripts/full kills. By these variables:
#   SCALE (0.01) of TPC-H, ROWS (20000) to change, CLIENTS (8), SEED (1), KILLS (0), KILL_WITHIN (2000) ms, CHECK_EVERY (3) kills,
#   DELTA_MIB (4), FREEZE_ROWS (100), SEGMENT_ROWS (20000), OVERLAP (2), CHECKPOINT_MIB (2): the smaller, the more often rows move
. scripts/checks/server.bash
scale=${SCALE:-0.01}

cat >"$SCRATCH/config.toml" <<END
[memory]
delta_mib = ${DELTA_MIB:-4}
[merge]
freeze_rows = ${FREEZE_ROWS:-100}
segment_rows = ${SEGMENT_ROWS:-20000}
compact_overlap = ${OVERLAP:-2}
checkpoint_mib = ${CHECKPOINT_MIB:-2}
checkpoint_seconds = 2
END
start_server "$SCRATCH/data"
"$TPCH" load --url "$URL" --scale "$scale"
stop_server

serve="$COLONNADE serve --data $SCRATCH/data --listen 127.0.0.1:0 --auth trust --config $SCRATCH/config.toml --log-level info,engine=debug"
"$TPCH" mixed --serve "$serve" --log "$SCRATCH/log" --rows "${ROWS:-20000}" --clients "${CLIENTS:-8}" --seed "${SEED:-1}" \
  --kills "${KILLS:-0}" --kill-within "${KILL_WITHIN:-2000}" --check "$COLONNADE check --data $SCRATCH/data" --check-every "${CHECK_EVERY:-3}"
for work in 'froze rows' 'compacted segments' 'made a checkpoint'; do
  grep -q "$work" "$SCRATCH/log/server.log" || { echo "the server never $work"; exit 1; }
done
fails grep -E ' (ERROR|WARN) ' "$SCRATCH/log/server.log"

"$COLONNADE" check --data "$SCRATCH/data"
start_server "$SCRATCH/data"
scripts/python scripts/oracle/postgres15.py bash -eu scripts/checks/replay.bash "$SCRATCH/log" "$scale" "$URL"
stop_server
