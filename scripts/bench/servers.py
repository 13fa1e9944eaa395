"""Colonnade and PostgreSQL 15 side by side for a measurement: both durable, each with its process, and what CPU that has used."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/oracle"))
import postgres15

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root):
    """Of a process, its children that live, and those that it has waited for."""
    stats = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                stats[int(folder.name)] = (int(fields[1]), *(int(field) for field in fields[11:15]))
    own = sum(stats[root][1:5])
    return (own + sum(sum(stat[1:3]) for stat in stats.values() if stat[0] == root)) / TICKS


@contextlib.contextmanager
def colonnade(binaries, *options):
    """Yields port and process. Options are further ones of `colonnade serve`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="colonnade-"))
    command = [binaries / "colonnade", "serve", "--data", folder / "data", "--listen", "127.0.0.1:0", "--auth", "trust", *options]
    server = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in server.stdout:
            if match := re.match(r"listening on .*:(\d+)", line):
                break
        else:
            sys.exit("colonnade does not start")
        yield int(match[1]), server.pid
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres():
    """Yields port and process."""
    with postgres15.running("fsync=on", "synchronous_commit=on", "shared_buffers=1GB", "max_wal_size=8GB") as port:
        listening = subprocess.run(["ss", "-ltnpH", f"sport = :{port}"], check=True, capture_output=True, text=True).stdout
        yield port, int(re.search(r"pid=(\d+)", listening)[1])


def url(port):
    return f"postgres://postgres@127.0.0.1:{port}/postgres"


def report(program, command, url, *arguments):
    """What one of our programs that measure says with --json."""
    words = [program, command, "--url", url, "--json", *arguments]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program.name} {command}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def in_turns(servers, rounds):
    """The servers of each round, the one that begins changing."""
    for number in range(rounds):
        yield from (list(servers) if number % 2 == 0 else list(servers)[::-1])
