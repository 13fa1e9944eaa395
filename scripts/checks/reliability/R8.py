"""The disk is full after every number of pages: writes are refused as 53100 and leave nothing behind, reads go on, and with room again
everything goes on without a restart. And a real server under 8 clients on a tmpfs of 64 MB, filled up and given room again.
"""

import os
import random
import subprocess
import time

from ledger import Ledger, connect
from row import BUG, SCRATCH, SEED, TIER, Row
from server import SETTINGS, Colonnade

SMALL = SETTINGS + "[disk]\nlog_file_mib = 1\nreserve_mib = 1\n"
RUNS = 3 if TIER == "quick" else 100
RESUME_SECONDS = 15
FULL_SECONDS = 10  # Until the clients have filled it.


class Tmpfs:
    def __init__(self, folder):
        self.mounted = folder / "small"
        self.mounted.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.mounted], check=True, capture_output=True)

    def free(self):
        told = os.statvfs(self.mounted)
        return told.f_bavail * told.f_frsize

    def fill(self, leave):
        try:
            with open(self.mounted / "filler", "wb", buffering=0) as filler:
                filler.write(bytes(max(self.free() - leave, 0)))
        except OSError:
            pass  # The server was faster.

    def empty(self):
        (self.mounted / "filler").unlink(missing_ok=True)


def fill_and_resume(tmpfs, server, ledger, chance):
    """What is wrong, of a disk that gets full under clients and then has room."""
    wrong = []

    before = ledger.operations["53100"]

    def goes_on():
        # It is full by now; reads do not mind.
        with connect(server.port) as connection:
            if connection.execute("select sum(balance) from bank").fetchone()[0] is None:
                wrong.append("a read on a full disk finds nothing")
        ledger.operations["full"] += ledger.operations["53100"] > before
        tmpfs.empty()
        with connect(server.port) as connection:
            began = time.monotonic()
            while time.monotonic() - began < RESUME_SECONDS:
                try:
                    connection.execute("insert into numbered (token) values (-1)")
                    break
                except Exception as error:  # noqa: BLE001
                    last = error
                    time.sleep(0.05)
            else:
                wrong.append(f"no write {RESUME_SECONDS} s after there was room: {last}")
        time.sleep(0.5)
        server.kill()

    tmpfs.fill(leave=chance.choice([0, 4096, chance.randrange(1 << 20)]))
    ledger.run(server.port, FULL_SECONDS, goes_on, refused="53100")
    tmpfs.empty()
    server.start()
    return "; ".join(filter(None, [*wrong, ledger.verify(server.port)])) or None


def real_server(row):
    try:
        tmpfs = Tmpfs(SCRATCH)
    except (OSError, subprocess.CalledProcessError):
        return "no tmpfs can be mounted here"
    server = Colonnade(SCRATCH, data=tmpfs.mounted / "data", settings=SMALL)
    chance, ledger = random.Random(SEED), Ledger(SEED)
    try:
        server.start()
        ledger.setup(server.port)
        for _ in range(RUNS):
            row.tried(fill_and_resume(tmpfs, server, ledger, chance))
    except RuntimeError as error:
        row.tried(str(error))
    finally:
        server.kill()
        subprocess.run(["umount", "-l", tmpfs.mounted], capture_output=True)
    return f"tmpfs: full {ledger.operations['full']} of {RUNS} times, {ledger.operations['53100']:,} told 53100, {ledger.operations['rows']:,} rows"


row = Row()
row.simulate("full-disk", quick=60, stride=3)
simulated = row.done
told = real_server(row) if not BUG and not row.is_partial else ""
row.result(f"{simulated:,} of {row.sums['possible']:,} pages: {row.counted('refused', 'went on without a restart', 'commits refused by a full log')}; {told}")
