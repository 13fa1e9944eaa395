"""YCSB A to F beside PostgreSQL 15: operations a second, the main operation's percentiles and the server's CPU for each, in turns.

    cargo build --release -p cli -p bench
    scripts/python scripts/bench/ycsb_postgres.py --records 1000000 --seconds 5 --rounds 3

Both servers run with what durability asks for (fsync, synchronous_commit on), on the same cores as the driver; the same program loads
and drives both. Before the first figure both are read at random until warm. Records are of ten fields of 100 characters. Figures are
medians of the rounds, ratios Colonnade's over PostgreSQL's. Where both together do not fit into memory, measure them one after the
other with --only. Exit codes: 0 done, 1 something failed.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import time

import servers

FIGURES = ["per second", "p50 us", "p99 us", "CPU us"]
MAIN = {"a": "update", "b": "read", "c": "read", "d": "read", "e": "scan", "f": "read_modify_write"}


def ycsb(binaries, command, port, *arguments):
    return servers.report(binaries / "ycsb", command, servers.url(port), *arguments)["figures"]


def prepare(binaries, server, records, warm):
    port, _ = server
    loaded = ycsb(binaries, "load", port, "--records", records)
    for statement in ("vacuum usertable", "checkpoint"):
        subprocess.run(["psql", servers.url(port), "-X", "-q", "-c", statement], check=True)
    ycsb(binaries, "run", port, "--workload", "c", "--distribution", "uniform", "--threads", 8, "--duration", warm)
    return loaded["records_per_second"]


def measure(binaries, server, workload, distribution, arguments):
    port, pid = server
    options = ["--workload", workload, "--threads", arguments.threads, "--duration", arguments.seconds, "--warmup", 0]
    options += ["--distribution", distribution] if distribution != "own" else []
    before = servers.cpu_seconds(pid)
    figures = ycsb(binaries, "run", port, *options)
    time.sleep(0.3)  # PostgreSQL's backends are waited for by then
    used = servers.cpu_seconds(pid) - before
    count = sum(operation["count"] for operation in figures["operations"])
    main = next(operation for operation in figures["operations"] if operation["operation"] == MAIN[workload])
    return [figures["operations_per_second"], main["p50_us"], main["p99_us"], used / count * 1e6]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=30, help="seconds of reads before the first figure")
    parser.add_argument("--workloads", type=str.lower, default="abcdef", help="of a, b, c, d, e, f")
    parser.add_argument("--distributions", type=lambda text: text.split(","), default=["own", "uniform"], help="own: zipfian, of D latest")
    parser.add_argument("--binaries", type=pathlib.Path, default=servers.ROOT / "target/release", help="folder of colonnade and ycsb")
    parser.add_argument("--config", type=pathlib.Path, help="Colonnade's configuration file")
    parser.add_argument("--only", choices=["colonnade", "postgresql"], help="measure one of them")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure to this file")
    arguments = parser.parse_args()
    rows = []
    with contextlib.ExitStack() as stack:
        options = ["--config", arguments.config] if arguments.config else []
        started = {"colonnade": lambda: servers.colonnade(arguments.binaries, *options), "postgresql": servers.postgres}
        names = [arguments.only] if arguments.only else list(started)
        running = {name: stack.enter_context(started[name]()) for name in names}
        for name, server in running.items():
            print(f"{name} loads {prepare(arguments.binaries, server, arguments.records, arguments.warm):.0f} records/s", flush=True)
        print(f"YCSB, {arguments.records} records, {arguments.threads} clients, medians of {arguments.rounds} rounds of {arguments.seconds} s")
        print(f"{'':4}{'records by':12}{'':12}{FIGURES[0]:>11}" + "".join(f"{figure:>9}" for figure in FIGURES[1:]))
        for distribution in arguments.distributions:
            for workload in arguments.workloads:
                found = {name: [] for name in running}
                for name in servers.in_turns(running, arguments.rounds):
                    found[name].append(measure(arguments.binaries, running[name], workload, distribution, arguments))
                medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in found.items()}
                for name, (rate, *others) in medians.items():
                    print(f"{workload.upper():4}{distribution:12}{name:12}{rate:11.0f}" + "".join(f"{other:9.1f}" for other in others), flush=True)
                if len(medians) == 2:
                    ratios = [a / b for a, b in zip(medians["colonnade"], medians["postgresql"])]
                    print(f"{'':16}{'ratio':12}{ratios[0]:11.2f}" + "".join(f"{ratio:9.2f}" for ratio in ratios[1:]), flush=True)
                rows.append({"workload": workload, "distribution": distribution, "rounds": found})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
