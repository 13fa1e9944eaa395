"""Power loss on the real kernel: ext4 on a loop device is shut down by its ioctl under 8 clients, with and without its journal flushed, and
mounted again. Of a file that was not synced something has to be gone, else the try shows nothing. Takes root and loop devices.
"""

import fcntl
import os
import random
import struct
import subprocess

from ledger import Ledger
from row import BUG, SCRATCH, SEED, TIER, Row
from server import Colonnade

SHUTDOWN, LOGFLUSH, NOLOGFLUSH = 0x8004587D, 1, 2
CANARY = b"not synced " * 10_000
# Syncs that are left out: the kernel never hears of them.
UNSYNCED = "strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:retval=0".split()


class Disk:
    def __init__(self, folder):
        self.image, self.mounted = folder / "disk.img", folder / "disk"
        self.mounted.mkdir(exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True, capture_output=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mounted], check=True, capture_output=True)

    def umount(self):
        subprocess.run(["umount", self.mounted], check=True, capture_output=True)

    def lose_power(self, flag):
        with open(self.mounted / "canary", "wb") as canary:
            canary.write(CANARY)
        directory = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(directory)

    def has_lost(self):
        """Whether something of what was not synced is gone; takes the rest away."""
        canary = self.mounted / "canary"
        gone = not canary.exists() or canary.read_bytes() != CANARY
        canary.unlink(missing_ok=True)
        return gone


def attempt(disk, server, ledger, flag, seconds):
    def power_fails():
        disk.lose_power(flag)
        server.kill()

    ledger.run(server.port, seconds, power_fails)
    disk.umount()
    disk.mount()
    gone = disk.has_lost()
    server.start()
    return gone, ledger.verify(server.port)


row = Row()
try:
    disk = Disk(SCRATCH)
except (OSError, subprocess.CalledProcessError) as error:
    row.result(f"skipped: no file system can be mounted here ({getattr(error, 'stderr', b'') or error})".replace("\n", " "))
    raise SystemExit
server = Colonnade(SCRATCH, data=disk.mounted / "data", wrapper=UNSYNCED if BUG == "no-sync-reaches-the-disk" else ())
try:
    chance, ledger = random.Random(SEED * 1000 + row.done), Ledger(SEED + row.done)
    server.start()
    ledger.setup(server.port)
    for at in row.tries(quick=12, full=1000):
        flag = NOLOGFLUSH if at % 2 == 0 else LOGFLUSH
        before = dict(ledger.operations)
        try:
            gone, wrong = attempt(disk, server, ledger, flag, chance.uniform(0.02, 0.5 if TIER == "quick" else 1))
        except RuntimeError as error:
            row.tried(str(error))
            break
        gained = {name: count - before.get(name, 0) for name, count in ledger.operations.items()}
        row.tried(wrong, **{"NOLOGFLUSH" if flag == NOLOGFLUSH else "LOGFLUSH": 1, "proved": gone, **gained})
finally:
    server.kill()
    subprocess.run(["umount", "-l", disk.mounted], capture_output=True)
if row.sums["proved"] == 0:
    row.failures += 1
    print("unsynced data never vanished")
row.result(f"{row.counted('NOLOGFLUSH', 'LOGFLUSH', 'rows', 'in flight vanished')}; an unsynced file was gone in {row.sums['proved']:,}")
