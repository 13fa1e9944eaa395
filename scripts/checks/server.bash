# For checks: a server of their own.
#
#   start_server DIR [ARGUMENT...]   serves DIR on a free port, everyone trusted; sets SERVER (its process), PORT and URL
#   stop_server                      stops it as SIGTERM does, and fails if it does not end well
#   fails COMMAND...                 fails if the command does not (a plain "!" would let it pass)

SERVER=
trap '[ -z "$SERVER" ] || kill -KILL "$SERVER" 2>/dev/null || true' EXIT

start_server() {
  local dir=$1 said=$SCRATCH/server.said
  shift
  : >"$said"
  "$COLONNADE" serve --data "$dir" --listen 127.0.0.1:0 --auth trust "$@" >"$said" 2>>"$SCRATCH/server.log" &
  SERVER=$!
  for _ in $(seq 600); do
    PORT=$(sed -n 's/^listening on .*://p' "$said")
    if [ -n "$PORT" ]; then
      URL=postgres://postgres@127.0.0.1:$PORT/postgres
      return 0
    fi
    kill -0 "$SERVER" 2>/dev/null || break
    sleep 0.1
  done
  cat "$SCRATCH/server.log"
  echo "the server does not start"
  return 1
}

stop_server() {
  kill -TERM "$SERVER"
  local code=0
  wait "$SERVER" || code=$?
  SERVER=
  if [ "$code" != 0 ]; then
    cat "$SCRATCH/server.log"
    echo "the server ended with $code"
    return 1
  fi
}

fails() {
  if "$@"; then
    echo "this should have failed: $*"
    return 1
  fi
}
