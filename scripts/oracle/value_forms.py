#!/usr/bin/env python3
"""Asks a running PostgreSQL 15 what values mean, and writes its answers as fixtures for crates/types/tests/oracle.rs.

    scripts/oracle/value_forms.py                 regenerates crates/types/tests/fixtures/*.tsv
    scripts/oracle/value_forms.py --random SEED   the same with thousands of random inputs besides; do not commit that

It starts a server of its own in a temporary directory (as user postgres if run as root), and removes both when done.
Needs initdb, pg_ctl and psql of version 15: apt-get install postgresql-15. Inputs are in value_forms_cases.py.

text.tsv    session zone, type, input, output, binary form in hex       or  zone, type, input, "!SQLSTATE", message, detail, hint
coerce.tsv  session zone, source type, input, target type, output       or  .., "!SQLSTATE", message, detail, hint
A backslash, tab, newline, or carriage return in a field is written as \\\\, \\t, \\n, \\r.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

import value_forms_cases

BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "crates/types/tests/fixtures"

SETUP = """
SET client_min_messages = warning;
SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
CREATE FUNCTION pg_temp.probe(zone text, type text, expression text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    shown text; sent text; send text; state text; message text; detail text; hint text;
BEGIN
    PERFORM set_config('TimeZone', zone, false);
    EXECUTE 'DROP TABLE IF EXISTS pg_temp.probed';
    EXECUTE format('CREATE TEMP TABLE probed (v %s)', type);
    SELECT t.typsend INTO send FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = 'pg_temp.probed'::regclass AND a.attname = 'v';
    EXECUTE format('INSERT INTO pg_temp.probed VALUES (%s)', expression);
    EXECUTE format('SELECT format(''%%s'', v), encode(%s(v), ''hex'') FROM pg_temp.probed WHERE v IS NOT NULL', send)
        INTO shown, sent;
    RETURN json_build_array(shown, sent);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    RETURN json_build_array('!' || state, message, detail, hint);
END $$;
"""


def run(command, **more):
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    return subprocess.run(command, check=True, cwd="/", **more)


def quoted(text):
    return "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r") + "'"


def ask(directory, port, questions):
    """The server's answer to each (zone, target type, expression)."""
    lines = [f"SELECT pg_temp.probe({quoted(z)}, {quoted(t)}, {quoted(e)});" for z, t, e in questions]
    answer = run(
        [f"{BIN}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", directory, "-p", str(port), "-d", "postgres"],
        input=SETUP + "\n".join(lines) + "\n",
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PGCLIENTENCODING": "UTF8"},
    ).stdout
    # An answer is one JSON array; psql prints a newline inside a string as \n, so each is one line.
    return [json.loads(line) for line in answer.splitlines()]


def field(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def write(name, head, rows):
    FIXTURES.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(field(cell or "") for cell in row).rstrip("\t") for row in rows]
    text = f"# {head}, as PostgreSQL 15 answers. Made by scripts/oracle/value_forms.py.\n" + "\n".join(lines) + "\n"
    (FIXTURES / name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(rows)} cases")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--random", type=int, metavar="SEED")
    options = options.parse_args()
    text = value_forms_cases.text(options.random)
    coercions = value_forms_cases.coercions()
    directory = tempfile.mkdtemp(prefix="types-oracle-")
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = f"{directory}/data"
    try:
        run([f"{BIN}/initdb", "-D", data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8"],
            stdout=subprocess.DEVNULL)
        server = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c fsync=off"
        run([f"{BIN}/pg_ctl", "-D", data, "-w", "-o", server, "-l", f"{directory}/log", "start"], stdout=subprocess.DEVNULL)
        try:
            os.environ["PGUSER"] = "postgres"
            answers = ask(directory, port, [(zone, t, quoted(value)) for zone, t, value in text])
            write("text.tsv", "zone, type, input, then output and binary form, or !SQLSTATE, message, detail, hint",
                  [(zone, t, value, *answer) for (zone, t, value), answer in zip(text, answers, strict=True)])
            questions = [(zone, to, f"{quoted(value)}::{source}") for zone, source, value, to in coercions]
            answers = ask(directory, port, questions)
            shown = [answer if answer[0] and answer[0].startswith("!") else answer[:1] for answer in answers]
            write("coerce.tsv", "zone, source type, input, target type, then output, or !SQLSTATE, message, detail, hint",
                  [(*case, *answer) for case, answer in zip(coercions, shown, strict=True)])
        finally:
            run([f"{BIN}/pg_ctl", "-D", data, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
