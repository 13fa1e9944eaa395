#!/usr/bin/env python3
"""What PostgreSQL 15 answers to every expression of crates/analytic/tests/expressions/cases.sql.

Writes expected.tsv beside it: the expression, its type and its value, or the SQLSTATE it fails with. The types are those of
pg_typeof; NULL is \\N. Run it after adding cases, and look at the difference.
"""

import pathlib
import subprocess

import postgres15

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "crates/analytic/tests/expressions"


def psql(port, sql):
    command = ["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres",
               "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate", "-P", "null=\\N", "-F", "\t"]
    return subprocess.run(command, input=sql, text=True, capture_output=True)


def answer(port, case):
    result = psql(port, f"select pg_typeof(x), x from (select {case} as x from v) as q;")
    if result.returncode != 0:
        return "error", result.stderr.split("ERROR:")[1].strip()[:5]
    kind, value = result.stdout.rstrip("\n").split("\t", 1)
    return kind, value.replace("\n", "\\n")


def main():
    lines = [line for line in (FOLDER / "cases.sql").read_text().splitlines() if line and not line.startswith("--")]
    with postgres15.running() as port:
        made = psql(port, (FOLDER / "table.sql").read_text())
        assert made.returncode == 0, made.stderr
        rows = [(case, *answer(port, case)) for case in lines]
    (FOLDER / "expected.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    print(f"{len(rows)} expressions")


if __name__ == "__main__":
    main()
