"""What rows of scripts/reliability share: the tier, the seed, tries counted and kept over a run that is stopped, the result.

    row = Row()
    for at in row.tries(quick=20, full=500):      goes on where an earlier run was stopped
        row.tried("what went wrong" or None, seen=1)     other numbers are added up in row.sums
    row.result(f"{row.sums['seen']} seen")
"""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

TIER = os.environ.get("TIER", "quick")
SEED = int(os.environ.get("SEED", "1"))
SCRATCH = pathlib.Path(os.environ.get("SCRATCH", "/tmp"))
BUILD = pathlib.Path(os.environ.get("BUILD", "target/debug"))
COLONNADE = pathlib.Path(os.environ.get("COLONNADE", BUILD / "colonnade"))
BUG = os.environ.get("COLONNADE_BUG")
FAILURES_MAX = 20  # After so many a row need not go on.
DEADLINE = time.monotonic() + 60 * float(os.environ.get("MINUTES", "inf"))

signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # Servers are killed and disks unmounted on the way out.


class Row:
    def __init__(self, state=None):
        self.state = pathlib.Path(state or os.environ.get("STATE", SCRATCH / "state"))
        self.done, self.failures, self.sums, self.is_partial = 0, 0, collections.Counter(), False
        if self.state.exists():
            known = json.loads(self.state.read_text())
            self.done, self.failures, self.sums = known["done"], known["failures"], collections.Counter(known["sums"])

    def goes_on(self, total):
        if self.done >= total or self.failures >= (1 if BUG else FAILURES_MAX):
            return False
        self.is_partial = time.monotonic() > DEADLINE
        return not self.is_partial

    def tries(self, quick, full):
        while self.goes_on(quick if TIER == "quick" else full):
            yield self.done

    def tried(self, failed=None, tries=1, failures=None, **sums):
        """Counts a try, or several with so many failures among them."""
        self.done += tries
        self.failures += (failed is not None) if failures is None else failures
        self.sums.update(sums)
        if failed:
            print(f"try {self.done}: {failed}", flush=True)
        temporary = self.state.with_suffix(".new")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"done": self.done, "failures": self.failures, "sums": self.sums}))
        temporary.rename(self.state)

    def result(self, figure):
        if not self.is_partial:
            self.state.unlink(missing_ok=True)
        print(f"RESULT {self.done} {self.failures} {'so far: ' * self.is_partial}{figure}", flush=True)

    def simulate(self, kind, quick, full=None, stride=1, slice_of=200):
        """Runs tries of `simulate KIND` in slices: all that there are, or at most so many; the quick tier each `stride`th of them."""
        total = quick if TIER == "quick" else full or sys.maxsize
        while self.goes_on(total):
            count = min(slice_of, total - self.done)
            command = [BUILD / "simulate", kind, "--tier", TIER, "--seed", SEED, "--from", self.done, "--count", count]
            command += ["--stride", stride if TIER == "quick" else 1]
            process = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
            sys.stdout.write(process.stdout)
            last = process.stdout.rstrip().splitlines()[-1:]
            if process.returncode != 0 or not last or not last[0].startswith("{"):
                sys.exit(f"simulate {kind} ended with {process.returncode}")
            told = json.loads(last[0])
            tries, failures, possible = told.pop("tries"), told.pop("failures"), told.pop("possible")
            self.tried(tries=tries, failures=failures, **told)
            self.sums["possible"] = possible
            if tries < count:  # There are no more.
                break

    def counted(self, *names):
        """Sums by name, in words."""
        return ", ".join(f"{self.sums[name]:,} {name}" for name in names)
