# The server as its operator sees it: passwords, refusals, one owner a directory, clean and forced stops, logs without secrets.
. scripts/checks/server.bash

# A generated password is said once, and works; its file is its owner's alone and has no password in it.
"$COLONNADE" serve --data "$SCRATCH/data" --listen 127.0.0.1:0 >"$SCRATCH/said" 2>"$SCRATCH/log" &
SERVER=$!
for _ in $(seq 300); do grep -q listening "$SCRATCH/said" && break; sleep 0.1; done
PORT=$(sed -n 's/^listening on .*://p' "$SCRATCH/said")
PASSWORD=$(sed -n 's/^The password of user postgres is //p' "$SCRATCH/log")
[ -n "$PASSWORD" ]
PGPASSWORD=$PASSWORD psql -X -h 127.0.0.1 -p "$PORT" -U postgres -c 'select 1'
fails env PGPASSWORD=wrong psql -X -h 127.0.0.1 -p "$PORT" -U postgres -c 'select 1'
[ "$(stat -c %a "$SCRATCH/data/auth.json")" = 600 ]
fails grep -q "$PASSWORD" -r "$SCRATCH/data"

# Rows are not logged.
PGPASSWORD=$PASSWORD psql -X -h 127.0.0.1 -p "$PORT" -U postgres -v ON_ERROR_STOP=1 \
  -c 'create table logged (a int primary key, b text)' -c "insert into logged values (1, 'row-data-9f2')" \
  -c "select * from logged where b = 'row-data-9f2'"
fails grep -q 'row-data-9f2' "$SCRATCH/log"

# A second owner is refused, by name of the directory.
fails "$COLONNADE" sql --data "$SCRATCH/data" -c 'select 1' 2>"$SCRATCH/refused"
grep -q "$SCRATCH/data" "$SCRATCH/refused"
stop_server

# The password is not said again; a new one can be set.
COLONNADE_PASSWORD='s3cret "q"' "$COLONNADE" serve --data "$SCRATCH/data" --listen 127.0.0.1:0 --log-format json --log-level debug \
  >"$SCRATCH/said" 2>"$SCRATCH/log" &
SERVER=$!
for _ in $(seq 300); do grep -q listening "$SCRATCH/said" && break; sleep 0.1; done
PORT=$(sed -n 's/^listening on .*://p' "$SCRATCH/said")
PGPASSWORD='s3cret "q"' psql -X -h 127.0.0.1 -p "$PORT" -U postgres -v ON_ERROR_STOP=1 \
  -c 'create table t (a int primary key, b text)' -c "insert into t values (1, 'row-data-9f3')"
# A client in a transaction is waited for; a second signal ends it.
(echo 'begin; insert into t values (2);' && sleep 30) | PGPASSWORD='s3cret "q"' psql -X -h 127.0.0.1 -p "$PORT" -U postgres \
  >"$SCRATCH/sleeper" 2>&1 &
sleeper=$!
for _ in $(seq 100); do grep -q 'INSERT 0 1' "$SCRATCH/sleeper" && break; sleep 0.1; done
kill -TERM "$SERVER"
sleep 1
kill -0 "$SERVER"
stop_server
kill "$sleeper" 2>/dev/null || true
fails grep -q 's3cret' "$SCRATCH/log"
fails grep -q 'row-data-9f3' "$SCRATCH/log"
scripts/python -c "
import json, sys
for line in open('$SCRATCH/log'): json.loads(line)
"

# What was acknowledged is there, what was not is not.
[ "$("$COLONNADE" sql --data "$SCRATCH/data" --format csv -c 'select a from t' | tail -n +2)" = 1 ]

# Trust is for loopback only; nothing is listened on then.
fails "$COLONNADE" serve --data "$SCRATCH/data" --listen 0.0.0.0:0 --auth trust 2>"$SCRATCH/refused"
grep -q loopback "$SCRATCH/refused"
