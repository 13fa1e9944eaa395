"""Servers to be killed: Colonnade, with rows that move all the time, and PostgreSQL 15, to see what the harness says of it.

A server is `start`ed, `kill`ed or `stop`ped, `check`ed while it is down, and started again on the same directory.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from row import COLONNADE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "oracle"))
import postgres15

SETTINGS = """
[memory]
delta_mib = 16
[merge]
freeze_rows = 200
segment_rows = 4000
compact_overlap = 2
checkpoint_mib = 1
checkpoint_seconds = 2
"""
START_SECONDS = 120


class Colonnade:
    """`wrapper` is put before the command, `variables` into its environment."""

    name = "Colonnade"

    def __init__(self, folder, data=None, wrapper=(), variables=None, settings=SETTINGS):
        self.folder, self.data = pathlib.Path(folder), pathlib.Path(data or f"{folder}/data")
        self.wrapper, self.variables, self.port, self.process = [str(part) for part in wrapper], variables or {}, 0, None
        self.config = self.folder / "config.toml"
        self.config.write_text(settings)
        self.log = self.folder / "server.log"

    def start(self):
        """Errors: it does not open, with the end of what it said."""
        arguments = ["serve", "--data", self.data, "--listen", "127.0.0.1:0", "--auth", "trust", "--config", self.config, "--log-level", "info,engine=debug"]
        command = [*self.wrapper, str(COLONNADE), *map(str, arguments)]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self.variables}, start_new_session=True
            )
        for line in self.process.stdout:
            if match := re.match(r"listening on .*:(\d+)", line):
                self.port = int(match[1])
                return
        self.process.wait()
        raise RuntimeError(f"the server does not start ({self.process.returncode}): {self.log.read_text(errors='replace')[-700:]}")

    def kill(self):
        """Every process that belongs to it, also one that is wrapped; returns when they are gone, and their locks."""
        if self.process:
            group, deadline = self.process.pid, time.monotonic() + 10
            try:
                while time.monotonic() < deadline:
                    os.killpg(group, signal.SIGKILL)
                    self.process.poll()
                    time.sleep(0.005)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self):
        """As SIGTERM does. Errors: it does not end well."""
        self.process.terminate()
        code = self.process.wait(60)
        self.process.stdout.close()
        self.process = None
        if code != 0:
            raise RuntimeError(f"the server ended with {code}")

    def check(self):
        """What `colonnade check` complains of, or None."""
        checked = subprocess.run([COLONNADE, "check", "--data", self.data], capture_output=True, text=True)
        return None if checked.returncode == 0 else (checked.stdout + checked.stderr)[-700:]


class Postgres15:
    name = "PostgreSQL 15"

    def __init__(self, folder):
        self.folder, self.port, self.process = pathlib.Path(folder) / "postgres15", postgres15._free_port(), None
        self.folder.mkdir()
        self.log = pathlib.Path(folder) / "postgres15.log"
        if os.geteuid() == 0:
            for parent in [*self.folder.parents][:-1]:
                parent.chmod(parent.stat().st_mode | 0o011)
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        postgres15._run(str(postgres15.BIN / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self):
        options = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}", "fsync=on"]
        command = [str(postgres15.BIN / "postgres"), "-D", str(self.data), *[part for option in options for part in ("-c", option)]]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            ready = subprocess.run([str(postgres15.BIN / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)])
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not start: {self.log.read_text(errors='replace')[-700:]}")

    def kill(self):
        """The server and every process of it: they make groups of their own."""
        if self.process:
            told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
            for pid in [self.process.pid, *map(int, told.stdout.split())]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
            self.process = None
            time.sleep(0.2)

    def check(self):
        return None
