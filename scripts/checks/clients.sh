# Drivers of Python say the same of us as of PostgreSQL 15, value by value and error by error; psql connects under TLS.
. scripts/checks/server.bash

start_server "$SCRATCH/data"
psql -X "$URL" -v ON_ERROR_STOP=1 -c 'select 1' -c '\conninfo'
scripts/python scripts/checks/clients.py "$PORT"
stop_server

# TLS: a certificate that is checked, passwords bound to it; who asks for plain text gets it.
fixtures=$PWD/crates/server/tests/fixtures
cat >"$SCRATCH/config.toml" <<END
[tls]
certificate = "$fixtures/server.crt"
key = "$fixtures/server.key"
END
COLONNADE_PASSWORD=secret "$COLONNADE" serve --data "$SCRATCH/data" --listen 127.0.0.1:0 --config "$SCRATCH/config.toml" \
  >"$SCRATCH/said" 2>"$SCRATCH/log" &
SERVER=$!
for _ in $(seq 300); do grep -q listening "$SCRATCH/said" && break; sleep 0.1; done
PORT=$(sed -n 's/^listening on .*://p' "$SCRATCH/said")
export PGPASSWORD=secret
there="host=localhost hostaddr=127.0.0.1 port=$PORT user=postgres dbname=postgres"
psql -X "$there sslmode=verify-full sslrootcert=$fixtures/server.crt channel_binding=require" -c '\conninfo' | grep -q 'SSL connection'
psql -X "$there sslmode=disable" -c 'select 1'
fails psql -X "$there sslmode=verify-full sslrootcert=$fixtures/server.crt channel_binding=require password=wrong" -c 'select 1'
stop_server
