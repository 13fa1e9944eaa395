"""A kill and a power loss before and after every call that changes the disk, of a script of commits, group commits, merge, checkpoint, DDL,
COPY and index builds; and from outside, the real server killed by strace as one of its threads makes its Nth such call.

Recovery is stopped in the middle as well, and what is found after it is written to and opened again.
"""

import shutil

import psycopg

from ledger import Ledger
from row import BUG, SCRATCH, SEED, TIER, Row
from server import Colonnade

CALLS = "pwrite64,fdatasync,fsync,ftruncate,link,rename,unlink,mkdir,openat"
KILLS = [3, 20, 90, 200, 400] if TIER == "quick" else [*range(1, 200), *range(200, 1000, 4)]
SECONDS = 4  # Then it is killed in any case.


def killed_at(number):
    """What is wrong after the server was killed at that call; None if nothing is."""
    folder = SCRATCH / f"killed-{number}"
    folder.mkdir()
    inject = f"inject={CALLS}:signal=KILL:when={number}"
    server = Colonnade(folder, wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject])
    ledger, ready = Ledger(SEED + number, clients=2), False
    try:
        server.start()
        ledger.setup(server.port)
        ready = True
        ledger.run(server.port, SECONDS, server.kill)
    except (RuntimeError, psycopg.Error):
        pass  # It was killed before it was ready.
    server.kill()
    server.wrapper = []
    try:
        server.start()
        return ledger.verify(server.port) if ready else None
    except RuntimeError as error:
        return str(error)
    finally:
        server.kill()
        shutil.rmtree(folder)


row = Row()
row.simulate("durable-calls", quick=400, stride=7)
simulated, outside = row.done, 0
for number in KILLS if shutil.which("strace") and not BUG and not row.is_partial else []:
    row.tried(killed_at(number))
    outside += 1
row.result(
    f"{row.sums['possible'] // 4:,} calls x 4 ways to stop ({simulated:,} of them), {row.counted('stopped again in recovery', 'kept though not answered')}; the server killed by strace {outside} times"
)
