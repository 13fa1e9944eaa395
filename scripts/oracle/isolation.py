#!/usr/bin/env python3
"""Runs crates/sql/tests/isolation/*.txt, scripts of several sessions, against PostgreSQL 15 and says where it answers something else.

    scripts/python scripts/oracle/isolation.py [--record] [FILE...]

--record writes PostgreSQL's answers into the files. It starts a server of its own (see postgres15.py). A file has cases:

    == a case                    until the next one; its tables are its own
    setup: SQL                   before any session begins
    one: SQL                     session `one` runs SQL; what it answers follows, four blanks before each line
    two: SQL                     another session; if the answer is `<waiting>` it waits for a lock, the script goes on,
    one: SQL                     and its answer comes after the step that lets it go on, under
    two: ...

Answers are rows with | between values, else the command tag, or `ERROR 40001: message`. Exits with 1 if anything differs.
"""

import pathlib
import select
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import postgres15
import psycopg
from psycopg import pq

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "sql" / "tests" / "isolation"


class Session:
    def __init__(self, port, database):
        self.connection = psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=database, autocommit=True)
        self.pid, self.thread, self.answer = self.connection.info.backend_pid, None, []

    def start(self, text):
        self.answer = []
        self.thread = threading.Thread(target=self.run, args=(text,))
        self.thread.start()

    def run(self, text):
        pg = self.connection.pgconn
        pg.send_query(text.encode())
        while (result := self.result()) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                shown = lambda v: "NULL" if v is None else v.decode()
                rows = [[shown(result.get_value(r, c)) for c in range(result.nfields)] for r in range(result.ntuples)]
                self.answer = ["|".join(row) for row in rows] or ["(no rows)"]
            elif result.status == pq.ExecStatus.COMMAND_OK:
                self.answer = [result.command_status.decode()]
            else:
                field = lambda which: (result.error_field(which) or b"").decode()
                self.answer = [f"ERROR {field(pq.DiagnosticField.SQLSTATE)}: {field(pq.DiagnosticField.MESSAGE_PRIMARY)}"]

    def result(self):
        """libpq's own waiting would keep all threads of this process waiting."""
        pg = self.connection.pgconn
        while pg.is_busy():
            select.select([pg.socket], [], [])
            pg.consume_input()
        return pg.get_result()

    def is_running(self):
        return self.thread is not None and self.thread.is_alive()


def is_waiting(control, session):
    row = control.execute("SELECT wait_event_type = 'Lock' OR wait_event = 'SafeSnapshot' FROM pg_stat_activity WHERE pid = %s", (session.pid,)).fetchone()
    return bool(row and row[0])


def settle(control, sessions):
    """Waits until every session is idle or waits, and stays so."""
    quiet = 0
    while quiet < 5:
        busy = any(s.is_running() and not is_waiting(control, s) for s in sessions.values())
        quiet = 0 if busy else quiet + 1
        time.sleep(0.01)


def run_case(port, steps, number):
    """The lines of a case, with answers."""
    database = f"case_{number}"
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as control:
        control.execute(f"CREATE DATABASE {database}")
        sessions, waiting, lines = {}, [], []
        for name, text, comment in steps:
            lines += comment
            lines.append(f"{name}: {text}")
            if name == "setup":
                with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=database, autocommit=True) as setup:
                    setup.execute(text)
                continue
            if name not in sessions:
                sessions[name] = Session(port, database)
            if sessions[name].is_running():
                raise SystemExit(f"session {name} still waits and is to run {text!r}")
            sessions[name].start(text)
            settle(control, sessions)
            if sessions[name].is_running():
                lines.append("    <waiting>")
                waiting.append(name)
            else:
                lines += ["    " + line for line in sessions[name].answer]
            for other in list(waiting):
                if not sessions[other].is_running():
                    waiting.remove(other)
                    lines.append(f"{other}: ...")
                    lines += ["    " + line for line in sessions[other].answer]
        if waiting:
            raise SystemExit(f"{waiting} still wait at the end of a case")
        for session in sessions.values():
            session.connection.close()
        control.execute(f"DROP DATABASE {database} WITH (FORCE)")
    return lines


def cases(path):
    """Head lines, then for each case its head and steps (session, text, comment lines before)."""
    head, found, comment = [], [], []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            found.append((comment + [line], []))
            comment = []
        elif line.startswith("    ") or line.endswith(": ..."):
            continue
        elif not line.strip() or line.startswith("#"):
            comment.append(line)
        else:
            name, _, text = line.partition(": ")
            found[-1][1].append((name, text, comment))
            comment = []
        if not found:
            head, comment = head + comment, []
    return head, found, comment


def main():
    record = "--record" in sys.argv
    files = [pathlib.Path(a) for a in sys.argv[1:] if a != "--record"] or sorted(ROOT.glob("*.txt"))
    wrong, number = 0, 0
    with postgres15.running("deadlock_timeout=10ms", "max_connections=50") as port:
        for path in files:
            head, found, rest = cases(path)
            lines = list(head)
            for title, steps in found:
                number += 1
                lines += title + run_case(port, steps, number)
            text = "\n".join(lines + rest).rstrip() + "\n"
            if record:
                path.write_text(text)
            elif text != path.read_text():
                wrong += 1
                for at, (ours, theirs) in enumerate(zip(path.read_text().splitlines(), text.splitlines()), 1):
                    if ours != theirs:
                        print(f"{path}:{at}: {ours.strip()!r} in the file, PostgreSQL says {theirs.strip()!r}")
                        break
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
