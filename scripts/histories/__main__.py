"""Histories of concurrent transactions, and what is wrong with them.

    scripts/python scripts/histories run [--kind list --level 'repeatable read' --seed 7 --merges --ddl --kills 3 ...]
    scripts/python scripts/histories check FILE [--level serializable]
    scripts/python scripts/histories many [--histories 100 --transactions 5000 --seed 1]
    scripts/python scripts/histories calibrate

run        records one history of the server in $COLONNADE (a binary, or postgres15) and checks it
check      a file that a run has kept, at another level if wished
many       histories of both kinds at all levels with merges, DDL and kills; a table of them
calibrate  PostgreSQL 15 has none of the anomalies that its levels forbid, has those that they allow, and every fault is found

A history with anomalies is kept in $SCRATCH and its path printed. What happens when is not repeated by a seed, what is asked for is.
"""

import argparse
import os
import sys

import runs
from checker import check
from history import KINDS, LEVELS, History
from recorder import Wish


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--kind", choices=KINDS, default="list")
    run.add_argument("--level", choices=LEVELS, default=LEVELS[1])
    run.add_argument("--judge", choices=LEVELS, help="by another level than the transactions asked for")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--transactions", type=int, default=5000)
    run.add_argument("--sessions", type=int, default=10)
    run.add_argument("--merges", action="store_true")
    run.add_argument("--ddl", action="store_true")
    run.add_argument("--kills", type=int, default=0)
    one = commands.add_parser("check")
    one.add_argument("file")
    one.add_argument("--level", choices=LEVELS)
    many = commands.add_parser("many")
    many.add_argument("--histories", type=int, default=100)
    many.add_argument("--transactions", type=int, default=5000)
    many.add_argument("--seed", type=int, default=1)
    commands.add_parser("calibrate")
    wanted = parser.parse_args()
    binary, scratch = os.environ.get("COLONNADE", "postgres15"), os.environ.get("SCRATCH", "/tmp")
    match wanted.command:
        case "check":
            history = History.load(wanted.file)
            good = runs.judged(history, check(history), wanted.level or history.level)
        case "run":
            wish = Wish(wanted.kind, wanted.level, wanted.seed, wanted.transactions, wanted.sessions, wanted.merges, wanted.ddl, wanted.kills)
            good = runs.run(binary, scratch, wish, wanted.judge or wanted.level)
        case "many":
            good = runs.many(binary, scratch, wanted.histories, wanted.transactions, wanted.seed)
        case "calibrate":
            good = runs.calibrate(scratch)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
