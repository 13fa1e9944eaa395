"""Two servers on one directory: the second is refused, by name; after a kill the directory opens again.
"""

import os
import re
import shutil
import subprocess

from row import BUG, COLONNADE, SCRATCH, Row

# A lock that is forgotten: what takes it is told that it has it.
FORGETS = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:retval=0"] if BUG == "lock-forgotten" else []


def serve(data):
    command = [*FORGETS, COLONNADE, "serve", "--data", data, "--listen", "127.0.0.1:0", "--auth", "trust"]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def listens(server):
    return any(re.match(r"listening on ", line) for line in server.stdout)


def end(server):
    if FORGETS:
        subprocess.run(["pkill", "-KILL", "-P", str(server.pid)])
    server.kill()
    server.communicate()


def attempt(data):
    first = serve(data)
    try:
        if not listens(first):
            return f"does not open: {first.stderr.read()[-500:]}"
        for command in [["serve", "--listen", "127.0.0.1:0", "--auth", "trust"], ["check"], ["sql", "-c", "select 1"]][: 1 if FORGETS else 3]:
            arguments = [*FORGETS, str(COLONNADE), command[0], "--data", str(data), *command[1:]]
            second = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                said = second.communicate(timeout=20 if not FORGETS else 5)[1]
            except subprocess.TimeoutExpired:
                end(second)
                return f"a second {command[0]} serves the same directory"
            if second.returncode == 0 or "in use by another process" not in said:
                return f"a second {command[0]} ended with {second.returncode}: {said[-300:]}"
        return None
    finally:
        end(first)


row = Row()
data = SCRATCH / "data"
for _ in row.tries(quick=6, full=100):
    row.tried(attempt(data))
shutil.rmtree(data, ignore_errors=True)
row.result(f"{3 * row.done} of {3 * row.done} refused (serve, check, sql), {row.done} of {row.done} reopened after the kill" if not row.failures else "let in")
