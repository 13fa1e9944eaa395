#!/usr/bin/env python3
"""Runs crates/sql/tests/slt/**/*.slt against PostgreSQL 15 and says where PostgreSQL answers something else.

    scripts/python scripts/oracle/slt.py [FILE or FOLDER...]

It starts a server of its own (see postgres15.py); each file gets a new database. Conventions are those of crates/sql/tests/slt.rs: errors
read `SQLSTATE: message` with DETAIL and CONTEXT on further lines, lines after COPY .. FROM STDIN are its data, COPY TO STDOUT gives lines.
Exits with 1 if anything differs.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import postgres15
import psycopg
from psycopg import pq

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "sql" / "tests" / "slt"
ENGINE = "postgres"


class Record:
    def __init__(self, line):
        self.line, self.kind, self.connection, self.skip = line, None, "default", False
        self.arguments, self.sql, self.expected = "", [], None


def parse(path):
    """The records of a file."""
    records, record, state = [], None, "head"
    for number, line in enumerate(path.read_text().splitlines() + [""], 1):
        if state == "head":
            if not line.strip() or line.startswith("#"):
                continue
            record = record or Record(number)
            word, _, rest = line.partition(" ")
            if word == "connection":
                record.connection = rest.strip()
            elif word == "skipif":
                record.skip |= rest.strip() == ENGINE
            elif word == "onlyif":
                record.skip |= rest.strip() != ENGINE
            elif word in ("statement", "query"):
                record.kind, record.arguments, record.line, state = word, rest.strip(), number, "sql"
            elif word == "halt":
                break
            else:
                raise SystemExit(f"{path}:{number}: unknown directive {line!r}")
        elif not line.strip():
            records.append(record)
            record, state = None, "head"
        elif state == "sql" and line == "----":
            record.expected, state = [], "expected"
        elif state == "sql":
            record.sql.append(line)
        else:
            record.expected.append(line)
    return records


def shown(value):
    if value is None:
        return "NULL"
    return value.decode() or "(empty)"


def run(connection, lines):
    """Rows (or None), affected rows, error text (or None) of a simple query."""
    text, data = "\n".join(lines), ""
    if re.match(r"(?is)copy\b", text) and re.search(r"(?i)from stdin", lines[0]):
        text, data = lines[0], "".join(line + "\n" for line in lines[1:])
    pg = connection.pgconn
    pg.send_query(text.encode())
    rows, count, error, copied = None, 0, None, False
    while (result := pg.get_result()) is not None:
        status = result.status
        if status == pq.ExecStatus.TUPLES_OK:
            rows = [[shown(result.get_value(row, column)) for column in range(result.nfields)] for row in range(result.ntuples)]
            count = len(rows)
        elif status == pq.ExecStatus.COMMAND_OK:
            tag = (result.command_status or b"").decode().split(" ")[-1]
            rows, count = (rows if copied else None), int(tag) if tag.isdigit() else 0
        elif status == pq.ExecStatus.COPY_IN:
            pg.put_copy_data(data.encode())
            pg.put_copy_end()
        elif status == pq.ExecStatus.COPY_OUT:
            rows, copied = [], True
            while True:
                length, piece = pg.get_copy_data(0)
                if length == -1:
                    break
                rows.extend([line] for line in bytes(piece).decode().splitlines())
        elif status == pq.ExecStatus.FATAL_ERROR:
            field = lambda which: (result.error_field(which) or b"").decode()
            error = f"{field(pq.DiagnosticField.SQLSTATE)}: {field(pq.DiagnosticField.MESSAGE_PRIMARY)}"
            for name, which in (("DETAIL", pq.DiagnosticField.MESSAGE_DETAIL), ("CONTEXT", pq.DiagnosticField.CONTEXT)):
                if field(which):
                    error += f"\n{name}: {field(which)}"
    return rows, count, error


def normal(lines):
    return [" ".join(line.split()) for line in lines]


def differs(record, rows, count, error):
    """What is wrong, or None."""
    words = record.arguments.split(" ", 1)
    if words[0] == "error":
        if error is None:
            return "PostgreSQL has no error"
        pattern = words[1] if len(words) > 1 else ""
        state = re.fullmatch(r"\((\w{5})\)", pattern)
        if state and not error.startswith(state[1]):
            return f"PostgreSQL says: {error}"
        if not state and not re.search(pattern, error):
            return f"PostgreSQL says: {error}"
        return None
    if error is not None:
        return f"PostgreSQL says: {error}"
    if record.kind == "statement":
        if words[0] == "count" and int(words[1]) != count:
            return f"PostgreSQL counts {count}"
        return None
    if rows is None:
        return "PostgreSQL returns no rows"
    got = [" ".join(row) for row in rows]
    expected = record.expected or []
    if "rowsort" in words[1:]:
        got, expected = sorted(got), sorted(expected)
    if normal(got) != normal(expected):
        return "PostgreSQL returns:\n    " + "\n    ".join(got)
    return None


def check(path, port, database):
    url = f"host=127.0.0.1 port={port} user=postgres"
    with psycopg.connect(f"{url} dbname=postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database}")
    connections, faults = {}, 0
    for record in parse(path):
        if record.skip:
            continue
        if record.connection not in connections:
            connections[record.connection] = psycopg.connect(f"{url} dbname={database}", autocommit=True)
        sql = [line.replace("DATABASE postgres", f"DATABASE {database}") for line in record.sql]
        wrong = differs(record, *run(connections[record.connection], sql))
        if wrong:
            faults += 1
            print(f"{path}:{record.line}: {' '.join(record.sql)}\n  {wrong}")
    for connection in connections.values():
        connection.close()
    return faults


def main(arguments):
    places = [pathlib.Path(a) for a in arguments] or [ROOT]
    files = sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.slt")))
    with postgres15.running() as port:
        faults = sum(check(file, port, f"slt{number}") for number, file in enumerate(files))
    print(f"{len(files)} files, {faults} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
