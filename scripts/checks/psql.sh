# psql's commands about tables, schemas, users and types print of us what they print of PostgreSQL 15; psql.py says what may differ.
. scripts/checks/server.bash

start_server "$SCRATCH/data"
scripts/python scripts/checks/psql.py "$PORT"
stop_server
