"""Writes DuckDB's answers to the 22 TPC-H queries, for `tpch validate`.

    cargo run --release -p tpch -- generate --scale 10 --out data
    scripts/python scripts/oracle/tpch_answers.py data answers
    cargo run --release -p tpch -- validate --url URL --scale 10 --answers answers

Both sides read the same generated rows. The form of the files is described in tpch/src/answers.rs: a header of name:type, \\N for
NULL, and where a LIMIT cuts through rows with one sort key, all rows with that key.
"""

import argparse
import csv
import pathlib
import re

import duckdb

TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]
QUERIES = pathlib.Path(__file__).resolve().parents[2] / "tpch" / "queries"


def without_limit(text):
    """The statement without its LIMIT, the limit, and the names it is ordered by."""
    match = re.search(r"\norder by\n((?:(?!\norder by\n).)*?)(?:\nlimit (\d+))?;\s*$", text, re.S)
    if not match:
        return text, None, []
    keys = [item.split()[0] for item in match[1].split(",")]
    if match[2] is None:
        return text, None, keys
    return text[: match.end(1)] + ";", int(match[2]), keys


def through_ties(rows, limit, keys):
    """The first `limit` rows and those after them with the last one's key."""
    if limit is None or len(rows) <= limit:
        return rows
    key = [rows[limit - 1][k] for k in keys]
    end = limit
    while end < len(rows) and [rows[end][k] for k in keys] == key:
        end += 1
    return rows[:end]


def shown(value):
    return "\\N" if value is None else repr(value) if isinstance(value, float) else str(value)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=pathlib.Path, help="folder of TABLE.parquet or TABLE.N.parquet files")
    arguments.add_argument("out", type=pathlib.Path, help="folder for q01.csv .. q22.csv")
    arguments = arguments.parse_args()

    connection = duckdb.connect()
    for table in TABLES:
        files = sorted(str(path) for path in arguments.data.glob(f"{table}.*parquet"))
        if not files:
            arguments_error = f"no {table}.parquet in {arguments.data}; make it with: tpch generate --out {arguments.data}"
            raise SystemExit(arguments_error)
        connection.execute(f"create view {table} as select * from read_parquet({files!r})")

    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in range(1, 23):
        statement, limit, keys = without_limit((QUERIES / f"q{number:02}.sql").read_text())
        result = connection.sql(statement)
        names = result.columns
        rows = through_ties(result.fetchall(), limit, [names.index(key) for key in keys])
        with open(arguments.out / f"q{number:02}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(f"{name}:{str(kind).lower()}" for name, kind in zip(names, result.types))
            writer.writerows([shown(value) for value in row] for row in rows)


if __name__ == "__main__":
    main()
