#!/usr/bin/env python3
"""Statements run on Colonnade and on PostgreSQL 15, and what the two answer differently.

    scripts/python scripts/oracle/both.py COLONNADE FILE...       the statements of files, one a line (`--` begins a comment)
    scripts/python scripts/oracle/both.py COLONNADE --queries N [--seed S]      N generated queries (queries.py)
    scripts/python scripts/oracle/both.py COLONNADE --pairs N [--seed S]        N generated queries over values of two types (pairs.py)

COLONNADE is the binary. Both start empty, with the same tables (`TABLES` of queries.py) unless a file makes its own. Rows are compared as
text: in order if the query says ORDER BY, numerics as numbers (the scale of a result is PostgreSQL's by value, ours by type). Of errors the
SQLSTATE is compared, and with `--messages` the text. Exits with 1 if anything differs.
"""

import argparse
import contextlib
import decimal
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import pairs
import postgres15
import psycopg
import queries
from psycopg import pq

decimal.getcontext().prec = 80
NUMERIC = 1700


@contextlib.contextmanager
def colonnade(binary):
    """The port of a server of an empty directory."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="colonnade-"))
    log = (folder / "log").open("w")
    command = [binary, "serve", "--data", str(folder / "data"), "--listen", "127.0.0.1:0", "--auth", "trust"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = server.stdout.readline()
        yield int(line.strip().rsplit(":", 1)[1])
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def cell(value, oid):
    if value is None:
        return "NULL"
    text = value.decode()
    if oid == NUMERIC and text not in ("NaN", "Infinity", "-Infinity"):
        number = decimal.Decimal(text)
        # A quotient's last digits depend on its scale.
        return str(number.quantize(decimal.Decimal(10) ** -12).normalize() + 0)
    if re.fullmatch(r"-?\d+\.\d+(e[-+]?\d+)?", text):
        return f"{float(text):.12g}"
    return text


class Answer:
    def __init__(self, rows=None, error=None, detail=None):
        self.rows, self.error, self.detail = rows, error, detail

    def __str__(self):
        if self.error:
            return f"{self.error}: {self.detail}"
        shown = [" | ".join(row) for row in self.rows or []]
        return "\n      ".join([f"{len(shown)} rows", *shown[:12]])


def ask(connection, sql):
    pg = connection.pgconn
    result = pg.exec_(sql.encode())
    if result.status == pq.ExecStatus.FATAL_ERROR:
        field = lambda which: (result.error_field(which) or b"").decode()
        hint = field(pq.DiagnosticField.MESSAGE_HINT)
        return Answer(error=field(pq.DiagnosticField.SQLSTATE),
                      detail=field(pq.DiagnosticField.MESSAGE_PRIMARY) + (f" [{hint}]" if hint else "")
                      + f" @{field(pq.DiagnosticField.STATEMENT_POSITION)}")
    types = [result.ftype(column) for column in range(result.nfields)]
    rows = [tuple(cell(result.get_value(row, column), oid) for column, oid in enumerate(types)) for row in range(result.ntuples)]
    return Answer(rows=rows)


def differs(sql, ours, theirs, messages):
    if ours.error or theirs.error:
        return ours.error != theirs.error or messages and ours.detail != theirs.detail
    ordered = re.search(r"(?i)\border by\b(?!.*\))", sql)
    return ours.rows != theirs.rows if ordered else sorted(ours.rows) != sorted(theirs.rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--queries", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", action="store_true")
    parser.add_argument("--all", action="store_true", help="show what is the same, too")
    parser.add_argument("--refused", action="store_true", help="show what we refuse as not supported, too")
    arguments = parser.parse_args()
    statements = [line for file in arguments.files for line in pathlib.Path(file).read_text().splitlines()
                  if line.strip() and not line.startswith("--")]
    statements += queries.generate(arguments.queries, arguments.seed) + pairs.generate(arguments.pairs, arguments.seed)
    found = refused = 0
    with postgres15.running() as oracle, colonnade(os.path.abspath(arguments.binary)) as port:
        url = "host=127.0.0.1 port={} user=postgres dbname=postgres"
        with psycopg.connect(url.format(port), autocommit=True) as ours, psycopg.connect(url.format(oracle), autocommit=True) as theirs:
            for sql in [*queries.TABLES, *statements]:
                a, b = ask(ours, sql), ask(theirs, sql)
                if a.error == "0A000" and not b.error and not arguments.refused:
                    refused += 1
                elif differs(sql, a, b, arguments.messages):
                    found += 1
                    print(f"{sql}\n   colonnade: {a}\n   postgres:  {b}\n", flush=True)
                elif arguments.all:
                    print(f"{sql}\n   both:      {a}\n", flush=True)
    print(f"{len(statements)} statements, {found} differences, {refused} refused as not supported")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
