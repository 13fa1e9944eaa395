# Of a transaction that was rolled back, of a client that vanished and of a statement that failed half-way nothing is visible, in both
# executors, over rows of the delta and rows of segments.
. scripts/checks/server.bash
start_server "$SCRATCH/data"
scripts/python scripts/checks/atomicity.py "$URL"
stop_server
"$COLONNADE" check --data "$SCRATCH/data"

# Nor after a restart.
start_server "$SCRATCH/data"
scripts/python scripts/checks/atomicity.py "$URL" --look
stop_server
