"""TPC-C beside PostgreSQL 15: NOPM, New-Order's percentiles and the server's CPU for a transaction, at each isolation level, in turns.

    cargo build --release -p cli -p tpcc
    scripts/python scripts/bench/tpcc_postgres.py --warehouses 10 --terminals 16 --seconds 60 --rounds 3

Both servers run with what durability asks for (fsync, synchronous_commit on), on the same cores as the driver; the same program loads
and drives both. Figures are medians of the rounds, ratios Colonnade's over PostgreSQL's. After each level `tpcc check` judges both.
Exit codes: 0 done, 1 something failed or a condition is broken.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import time

import servers

FIGURES = ["NOPM", "New-Order p50 ms", "New-Order p99 ms", "Payment p99 ms", "retries", "server CPU us"]


def tpcc(binaries, command, port, *arguments):
    return servers.report(binaries / "tpcc", command, servers.url(port), *arguments)


def measure(binaries, server, arguments, level):
    port, pid = server
    before = servers.cpu_seconds(pid)
    options = ["--terminals", arguments.terminals, "--duration", arguments.seconds, "--isolation", level, "--protocol", arguments.protocol]
    report = tpcc(binaries, "run", port, *options, *(["--one-by-one"] if arguments.one_by_one else []))
    time.sleep(0.3)  # PostgreSQL's backends are waited for by then
    used = servers.cpu_seconds(pid) - before
    figures = report["figures"]
    kinds = {kind["transaction"]: kind for kind in figures["transactions"]}
    done = sum(kind["committed"] + kind["rolled_back"] for kind in kinds.values())
    new_order = kinds["new_order"]
    row = [figures["nopm"], new_order["p50_ms"], new_order["p99_ms"], kinds["payment"]["p99_ms"], figures["retries"], used / done * 1e6]
    return row, report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouses", type=int, default=10)
    parser.add_argument("--terminals", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--levels", type=lambda text: text.split(","), default=["read-committed", "serializable"])
    parser.add_argument("--protocol", choices=["prepared", "simple"], default="prepared")
    parser.add_argument("--one-by-one", action="store_true", help="send each statement when the one before has answered")
    parser.add_argument("--load", type=str.split, default=[], help="further options of tpcc load, such as '--no-foreign-keys'")
    parser.add_argument("--binaries", type=pathlib.Path, default=servers.ROOT / "target/release", help="folder of colonnade and tpcc")
    parser.add_argument("--only", choices=["colonnade", "postgresql"], help="measure one of them")
    parser.add_argument("--json", type=pathlib.Path, help="write every report to this file")
    arguments = parser.parse_args()
    reports = []
    with contextlib.ExitStack() as stack:
        started = {"colonnade": lambda: servers.colonnade(arguments.binaries), "postgresql": servers.postgres}
        names = [arguments.only] if arguments.only else list(started)
        running = {name: stack.enter_context(started[name]()) for name in names}
        for port, _ in running.values():
            tpcc(arguments.binaries, "load", port, "--warehouses", arguments.warehouses, *arguments.load)
        print(f"TPC-C, {arguments.warehouses} warehouses, {arguments.terminals} terminals, medians of {arguments.rounds} rounds of {arguments.seconds} s")
        for level in arguments.levels:
            found = {name: [] for name in names}
            for name in servers.in_turns(names, arguments.rounds):
                row, report = measure(arguments.binaries, running[name], arguments, level)
                found[name].append(row)
                reports.append({"server": name, **report})
            for port, _ in running.values():
                tpcc(arguments.binaries, "check", port, "--warehouses", arguments.warehouses)
            medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in found.items()}
            print(f"\n{level:16}" + "".join(f"{figure:>18}" for figure in FIGURES))
            for name, row in medians.items():
                print(f"{name:16}" + "".join(f"{value:18.1f}" for value in row))
            if len(medians) == 2:
                ours, theirs = medians.values()
                print(f"{'ratio':16}" + "".join(f"{a / b:18.2f}" if b else f"{'-':>18}" for a, b in zip(ours, theirs)))
    if arguments.json:
        arguments.json.write_text(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
