"""Bit rot: a flipped bit of every byte of every kind of file, zeroed, swapped and stale blocks, lost files: found and named or harmless;
then repaired, with no more missing than the report says. Full: 10,000 flips of a database of a hundred times as many rows, too.
"""

import subprocess
import sys

from row import BUILD, SEED, Row, TIER

QUICK = {"files": [], "repairs": ["--step", 1499], "flips": ["--step", 149], "blocks": ["--step", 11]}
FULL = {"files": [], "flips": [], "blocks": [], "repairs": ["--step", 29], "large": ["--scale", 100, "--step", 311]}

row = Row()
parts = QUICK if TIER == "quick" else FULL
for name, options in list(parts.items())[row.sums["parts"] :]:
    kind = "flips" if name == "large" else name
    command = [str(part) for part in [BUILD / "bit_rot", kind, "--seed", SEED, *options]]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(process.stdout)
    if process.returncode != 0:
        sys.exit(f"bit_rot {kind} ended with {process.returncode}")
    tries, failures = map(int, process.stdout.split("\n")[-2].split())
    row.tried(tries=tries, failures=failures, parts=1, **{name: tries})
row.result(row.counted(*parts))
