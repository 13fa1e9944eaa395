# Damage through the commands: check beside a server at work, the scrub, a damaged table beside a whole one, repair.
. scripts/checks/server.bash

dir=$SCRATCH/data
printf '[scrub]\nmib_per_second = 100\nevery_seconds = 1\n' >"$SCRATCH/c.toml"
ask() { "$COLONNADE" sql --url "$URL" "$@"; }
# flip FILE OFFSET: another byte there.
flip() { printf '\x5a' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

start_server "$dir" --config "$SCRATCH/c.toml"
ask -c "CREATE TABLE kept (id int PRIMARY KEY, v text); INSERT INTO kept SELECT i, 'kept ' || i FROM generate_series(1, 2000) AS g(i)"
ask -c "CREATE TABLE hurt (id int PRIMARY KEY, n int, v text); INSERT INTO hurt SELECT i, i % 7, 'hurt ' || i FROM generate_series(1, 20000) AS g(i)"
ask -c "CREATE INDEX hurt_n ON hurt (n)"
ask -c "VACUUM"
ask -c "CHECKPOINT"
"$COLONNADE" check --url "$URL" | tee "$SCRATCH/said"
grep -q 'nothing is wrong' "$SCRATCH/said"

echo "a byte of a column file rots while the server works"
segment=$(ls -S "$dir"/data/*/*.parquet | head -1)
flip "$segment" 9000
code=0
"$COLONNADE" check --url "$URL" >"$SCRATCH/said" || code=$?
cat "$SCRATCH/said"
[ "$code" = 3 ]
grep -q "hurt.*${segment##*/}.*rows cannot be read" "$SCRATCH/said"
for _ in $(seq 100); do
  [ "$(ask --format csv -c 'SELECT damaged > 0 AND passes > 0 FROM pg_stat_scrub' | tail -1)" = t ] && break
  sleep 0.2
done
ask -c 'SELECT * FROM pg_stat_scrub' | tee "$SCRATCH/said"
grep -q "${segment##*/}" "$SCRATCH/said"
grep -q "damage was found.*${segment##*/}" "$SCRATCH/server.log"
ask -c 'INSERT INTO kept VALUES (9999, $$written beside damage$$)'
stop_server
start_server "$dir"
fails ask -c 'SELECT sum(length(v)) + sum(n) + sum(id) FROM hurt' 2>"$SCRATCH/said"
grep -q "${segment##*/}" "$SCRATCH/said"
[ "$(ask --format csv -c 'SELECT v FROM hurt WHERE id = 15000' | tail -1)" = 'hurt 15000' ]
stop_server

echo "its sidecar rots, too"
flip "${segment%.parquet}.idx" 100
start_server "$dir"
[ "$(ask --format csv -c 'SELECT count(*) FROM kept' | tail -1)" = 2001 ]
fails ask -c 'SELECT count(*) FROM hurt' 2>"$SCRATCH/said"
grep -q "${segment%.parquet}.idx" "$SCRATCH/said"
fails ask -c 'INSERT INTO kept VALUES (10000, NULL)'
stop_server

code=0
"$COLONNADE" check --data "$dir" >"$SCRATCH/said" || code=$?
[ "$code" = 3 ]
"$COLONNADE" check --data "$dir" --repair | tee "$SCRATCH/said"
grep -q 'hurt.*lost' "$SCRATCH/said"
"$COLONNADE" check --data "$dir"

start_server "$dir"
[ "$(ask --format csv -c 'SELECT count(*) FROM kept' | tail -1)" = 2001 ]
ask -c 'INSERT INTO hurt VALUES (1000001, 3, $$new$$); SELECT count(*) FROM hurt WHERE n = 3; SELECT count(*), min(id), max(id) FROM hurt'
stop_server
"$COLONNADE" check --data "$dir"
