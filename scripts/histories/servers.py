"""Servers that can be killed and started again on the same port: Colonnade, and PostgreSQL 15 to calibrate by."""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
import postgres15

# Little is enough for rows to move all the time.
SETTINGS = """
[memory]
delta_mib = 8
[merge]
freeze_rows = 20
segment_rows = 200
compact_overlap = 2
checkpoint_mib = 1
checkpoint_seconds = 2
"""


class Colonnade:
    name = "Colonnade"

    def __init__(self, binary, scratch):
        self.binary, self.folder = binary, pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=scratch))
        (self.folder / "config.toml").write_text(SETTINGS)
        self.port = 0
        self.start()

    def start(self):
        command = [self.binary, "serve", "--data", self.folder / "data", "--listen", f"127.0.0.1:{self.port}", "--auth", "trust"]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "--config", str(self.folder / "config.toml")], stdout=subprocess.PIPE, stderr=log, text=True
            )
        for line in self.process.stdout:
            if match := re.match(r"listening on .*:(\d+)", line):
                self.port = int(match[1])
                return
        raise RuntimeError(f"colonnade does not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def kill_and_start(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.start()

    def stop(self):
        """Says what is wrong with the server's end, its directory or its log, if anything is."""
        self.process.terminate()
        code = self.process.wait(60)
        self.process.stdout.close()
        complaints = [f"the server ended with {code}"] if code != 0 else []
        checked = subprocess.run([self.binary, "check", "--data", self.folder / "data"], capture_output=True, text=True)
        if checked.returncode != 0:
            complaints.append(checked.stdout + checked.stderr)
        bad = [line for line in (self.folder / "log").read_text().splitlines() if re.search(r" (ERROR|panicked) ", line)]
        return "\n".join(complaints + bad[:5])

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres15:
    name = "PostgreSQL 15"

    def __init__(self):
        self.stack = contextlib.ExitStack()
        # Without fsync a commit is still safe from a kill of the server.
        self.port = self.stack.enter_context(postgres15.running("deadlock_timeout=20ms"))

    def kill_and_start(self):
        raise NotImplementedError("PostgreSQL is only there to calibrate by")

    def stop(self):
        return ""

    def remove(self):
        self.stack.close()


@contextlib.contextmanager
def serving(binary, scratch):
    """`binary` is a path, or "postgres15"."""
    server = Postgres15() if binary == "postgres15" else Colonnade(binary, scratch)
    try:
        yield server
    finally:
        server.remove()
