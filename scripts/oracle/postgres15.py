"""A PostgreSQL 15 for as long as it is needed: its own directory and port, everyone trusted, nothing durable.

    with postgres15.running() as port: ...

    scripts/python scripts/oracle/postgres15.py COMMAND...      runs a command with the server's URL in POSTGRES15

Runs as user postgres if run as root. Needs initdb and pg_ctl of version 15: apt-get install postgresql-15.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

BIN = pathlib.Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))


def _run(*command):
    if os.geteuid() == 0:
        command = ("runuser", "-u", "postgres", "--", *command)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(*settings):
    """Yields the port. `settings` are further `-c name=value` ones."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="postgres15-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    try:
        _run(str(BIN / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}", "fsync=off", "timezone=UTC", *settings]
        flags = " ".join(f"-c {option}" for option in options)
        _run(str(BIN / "pg_ctl"), "-D", str(data), "-l", str(folder / "log"), "-w", "-o", flags, "start")
        try:
            yield port
        finally:
            _run(str(BIN / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    # A gigabyte of rows is loaded and read once: room for the log and for sorting instead of the defaults' thrift.
    with running("shared_buffers=512MB", "work_mem=256MB", "max_wal_size=4GB", "maintenance_work_mem=256MB") as started:
        url = f"postgres://postgres@127.0.0.1:{started}/postgres"
        code = subprocess.run(sys.argv[1:], env={**os.environ, "POSTGRES15": url}).returncode
    sys.exit(code)
