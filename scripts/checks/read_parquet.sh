# DuckDB and pyarrow read a table's files, and its deletion vector is applied by hand from docs/format.md.
"$BUILD/examples/sample_table" "$SCRATCH/table"
scripts/python scripts/checks/read_parquet.py "$SCRATCH/table"
