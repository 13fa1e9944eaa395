"""A disk that fails all the time: 5 % of reads and writes are short, 1 % of writes and syncs fail with EIO, 1 % with ENOSPC, some are
interrupted, under 8 clients; the server is killed and started again, as it has to be after a failure of its log.
"""

import random
import struct
import subprocess
import time

from ledger import Ledger
from row import SCRATCH, SEED, TIER, Row
from server import Colonnade

SECONDS = 20 if TIER == "quick" else 1800
ATTEMPTS = 20  # To open a database while calls fail.

library, counts = SCRATCH / "faults.so", SCRATCH / "counts"
subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, "scripts/checks/reliability/faults.c", "-ldl"], check=True)
counts.write_bytes(bytes(32))
faulty = {
    "LD_PRELOAD": str(library), "FAULTS_BELOW": str(SCRATCH / "data"), "FAULTS_COUNT": str(counts),
    "FAULTS_SHORT": "500", "FAULTS_EIO": "100", "FAULTS_ENOSPC": "100", "FAULTS_EINTR": "100",
}  # fmt: skip


def start(server):
    """Opens the database with calls that fail; what does not open says why, and opens in the end."""
    refused = 0
    while True:
        server.variables = faulty if refused < ATTEMPTS else {}
        try:
            server.start()
            return refused
        except RuntimeError as error:
            if refused >= ATTEMPTS or "panicked" in str(error) or not any(cause in str(error) for cause in ("os error 5", "os error 28", "full", "no space")):
                raise
            refused += 1


row = Row()
server, chance, ledger = Colonnade(SCRATCH), random.Random(SEED * 1000 + row.done), Ledger(SEED + row.done)
try:
    server.start()
    ledger.setup(server.port)
    server.kill()
    start(server)
    while row.sums["milliseconds"] < SECONDS * 1000 and row.goes_on(10**9):
        began, before = time.monotonic(), dict(ledger.operations)
        ledger.run(server.port, chance.uniform(0.2, 1.5), server.kill)
        server.variables = {}
        server.start()
        wrong = ledger.verify(server.port)
        server.kill()
        refused = start(server)
        gained = {name: count - before.get(name, 0) for name, count in ledger.operations.items()}
        row.tried(wrong, refused=refused, milliseconds=round((time.monotonic() - began) * 1000), **gained)
except RuntimeError as error:
    row.tried(str(error))
finally:
    server.kill()
short, io, space, interrupted = struct.unpack("<4Q", counts.read_bytes())
told = f"{short:,} short, {io:,} EIO, {space:,} ENOSPC, {interrupted:,} EINTR"
row.result(f"{row.sums['milliseconds'] / 60000:.1f} minutes, {row.sums['rows']:,} rows; calls gone wrong: {told}; {row.sums['58030']:,} told 58030, {row.sums['53100']:,} 53100")
