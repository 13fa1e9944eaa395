# Fuzz targets, a slice of each: bent bytes of every kind of file, of the wire and of imports. In full: scripts/full fuzz.
cd "$SCRATCH"
"$BUILD/fuzz" --runs "${RUNS:-2000}" --seed "${SEED:-1}"
