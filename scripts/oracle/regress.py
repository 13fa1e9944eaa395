#!/usr/bin/env python3
"""PostgreSQL 15's own regression tests, statement by statement, beside PostgreSQL: where Colonnade answers something else.

    scripts/python scripts/oracle/regress.py [--keep FOLDER] COLONNADE NAME...      NAME: of src/test/regress/sql, e.g. insert_conflict

For each file a line: how many statements answer the same, are refused (0A000), or differ; then those that differ: ANSWER (other rows),
ACCEPTED (only PostgreSQL has an error), ERR (only Colonnade has), CODE (another SQLSTATE). Most are consequences of what was refused before
them, and row order is not looked at: this is read by people, and no part of a check. The source is the Debian package's (see
postgres15_source.py). Both servers are started for each file, with the tables of test_setup that need no types and functions of
their own; temporary tables are made as plain ones.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import postgres15
import postgres15_source

SECONDS = 120  # of a file
LINES = 30  # shown of an answer
# What test_setup makes that both have.
TABLES = r"(char|float8|int2|int4|int8|text|varchar)_tbl|onek2?|tenk[12]"
TEMPORARY = r"\bcreate\s+(?:local\s+|global\s+)?temp(?:orary)?\s+(table|view|sequence|recursive)"
# Of psql's output: what says no more than the SQLSTATE does.
NOISE = r"(LINE \d+:|HINT:|DETAIL:|CONTEXT:|LOCATION:|NOTICE:|WARNING:|INFO:|psql:|\s*\^\s*$|\s*$)"


def statements(text):
    """The statements and psql commands of a file; the lines after COPY .. FROM stdin belong to it."""
    found, start, at, depth = [], 0, 0, 0
    while at < len(text):
        rest = text[at:]
        if rest.startswith("\\") and rest[1:2] != ";":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end + 1
            found.append(text[start:at])
            start = at
        elif rest.startswith("--"):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif rest.startswith("/*"):
            at = after_comment(text, at)
        elif rest[0] == "'":
            at = after_string(text, at)
        elif rest[0] == '"':
            at = text.find('"', at + 1) + 1 or len(text)
        elif (quote := re.match(r"\$[A-Za-z_]*\$", rest)) and not re.match(r"\w", text[at - 1 : at]):
            end = text.find(quote[0], at + len(quote[0]))
            at = len(text) if end < 0 else end + len(quote[0])
        elif rest[0] == ";" and depth == 0:
            at += 1
            if re.match(r"(\s|--[^\n]*\n)*copy\b.*\bfrom\s+stdin", text[start:at], re.I | re.S):
                end = text.find("\n\\.\n", at)
                at = len(text) if end < 0 else end + 4
            found.append(text[start:at])
            start = at
        else:
            depth = max(0, depth + (rest[0] == "(") - (rest[0] == ")"))
            at += 1
    return found


def after_comment(text, at):
    depth = 0
    while at < len(text):
        if text.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif text.startswith("*/", at):
            depth, at = depth - 1, at + 2
        else:
            at += 1
        if depth == 0:
            return at
    return at


def after_string(text, at):
    escapes = text[at - 1 : at] in ("e", "E") and not re.match(r"\w", text[at - 2 : at - 1])
    at += 1
    while at < len(text) and text[at] != "'":
        at += 2 if escapes and text[at] == "\\" else 1
    return at + 1


def setup(folder):
    """The part of test_setup.sql that both servers take."""
    parts = []
    for statement in statements((folder / "sql" / "test_setup.sql").read_text()):
        if copied := re.search(r"COPY (onek|tenk1) FROM :'filename'", statement):
            parts.append(f"\\copy {copied[1]} from {folder}/data/{copied[1].rstrip('1')}.data\n")
        elif re.search(rf"(create table|insert into) ({TABLES})\b", statement, re.I):
            parts.append(statement)
    return "\n".join(parts)


def answers(port, script):
    """psql's output, by the number of the statement; of a script in which each is announced."""
    command = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "postgres", "-v", "VERBOSITY=verbose"]
    try:
        done = subprocess.run(
            command, input=script.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
            env={**os.environ, "PGTZ": "PST8PDT"},
        )
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"") + b"\nTIMEOUT\n"
    found, number = {}, -1
    for line in output.decode(errors="replace").split("\n"):
        if announced := re.fullmatch(r"@@@(\d+)", line):
            number = int(announced[1])
        else:
            found.setdefault(number, []).append(line)
    return found


def essence(lines):
    kept = []
    for line in lines:
        if error := re.match(r"(ERROR|FATAL):  (\w{5}):", line):
            kept.append(f"ERROR {error[2]}")
        elif not re.match(NOISE, line):
            kept.append(line.rstrip())
    return sorted(kept)


def kind(theirs, ours):
    """How two answers differ, or None."""
    if theirs == ours:
        return None
    if "ERROR 0A000" in ours:
        return "REFUSED"
    errors = tuple(any(line.startswith("ERROR") for line in lines) for lines in (theirs, ours))
    return {(True, True): "CODE", (False, True): "ERR", (True, False): "ACCEPTED", (False, False): "ANSWER"}[errors]


def colonnade(program, prepared, script):
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["serve", "--data", f"{folder}/data", "--listen", "127.0.0.1:0", "--auth", "trust"]
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            port = next(int(found[1]) for line in server.stdout if (found := re.match(r"listening on .*:(\d+)", line)))
            answers(port, prepared)
            return answers(port, script)
        finally:
            server.terminate()
            server.wait(60)
            if "panic" in (told := pathlib.Path(f"{folder}/log").read_text()):
                print(f"PANIC\n{told[-3000:]}")


def compare(program, folder, name, keep):
    text = re.sub(TEMPORARY, r"create \1", (folder / "sql" / f"{name}.sql").read_text(), flags=re.I)
    text = re.sub(r"\bon commit (drop|delete rows|preserve rows)", "", text, flags=re.I)
    parts = statements(text)
    script = "".join(f"\\echo @@@{number}\n{part.strip()}\n" for number, part in enumerate(parts))
    prepared = setup(folder)
    with postgres15.running() as port:
        answers(port, prepared)
        theirs = answers(port, script)
    ours = colonnade(program, prepared, script)
    counts, report = {}, []
    for number, part in enumerate(parts):
        pair = theirs.get(number, []), ours.get(number, [])
        how = kind(*map(essence, pair))
        counts[how] = counts.get(how, 0) + 1
        if how:
            shown = ["\n".join(lines[:LINES]) for lines in pair]
            report.append(f"=== {how} {number}\n{part.strip()[:600]}\n--- postgres\n{shown[0]}\n--- colonnade\n{shown[1]}\n")
    refused, same = counts.pop("REFUSED", 0), counts.pop(None, 0)
    print(f"{name}: {len(parts)} statements, same {same}, refused {refused}, other {sum(counts.values())}", flush=True)
    if keep:
        (keep / f"{name}.txt").write_text("".join(report))
    else:
        print("".join(part for part in report if not part.startswith("=== REFUSED")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("colonnade", help="the program")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--keep", type=pathlib.Path, help="write what differs to NAME.txt there, what is refused too")
    arguments = parser.parse_args()
    postgres15_source.folder("src/test/regress/data")
    folder = postgres15_source.folder("src/test/regress/sql").parent
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        compare(arguments.colonnade, folder, name, arguments.keep)


main()
