"""TPC-C beside the 22 TPC-H queries, on one server and one data directory: what each does alone, and together.

    cargo build --release -p cli -p tpcc -p tpch
    scripts/python scripts/bench/beside.py --warehouses 10 --scale 1 --seconds 120

First the terminals alone for --seconds, then one stream of the queries alone for a quarter of that, then both at the same time; in databases
of their own, since both suites have a table `orders`. Printed are New-Orders a minute and their 99th percentile, in all and by interval,
and each query's median alone and beside. `tpcc check` is run at the end. Exit codes: 0 done, 1 something failed.
"""

import argparse
import pathlib
import statistics
import threading
import time

import psycopg
import servers

QUERIES = {number: (servers.ROOT / f"tpch/queries/q{number:02}.sql").read_text() for number in range(1, 23)}


def transactions(tpcc, url, arguments):
    options = ["--terminals", arguments.terminals, "--duration", arguments.seconds, "--interval", 10]
    return servers.report(tpcc, "run", url, *options)["figures"]


def stream(url, until, times):
    """Runs the queries one after another until the moment; at least each once."""
    with psycopg.connect(url, autocommit=True) as wire:
        while time.monotonic() < until or not all(times.values()):
            for number, text in QUERIES.items():
                start = time.perf_counter()
                wire.execute(text).fetchall()
                times[number].append((time.perf_counter() - start) * 1e3)


def streamed(url, seconds):
    times = {number: [] for number in QUERIES}
    thread = threading.Thread(target=stream, args=(url, time.monotonic() + seconds, times))
    thread.start()
    return thread, times


def new_order(figures):
    return next(kind for kind in figures["transactions"] if kind["transaction"] == "new_order")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouses", type=int, default=10)
    parser.add_argument("--terminals", type=int, default=8)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--binaries", type=pathlib.Path, default=servers.ROOT / "target/release", help="folder of colonnade, tpcc and tpch")
    arguments = parser.parse_args()
    tpcc = arguments.binaries / "tpcc"
    with servers.colonnade(arguments.binaries) as (port, _):
        base = servers.url(port).rsplit("/", 1)[0]
        with psycopg.connect(f"{base}/postgres", autocommit=True) as wire:
            wire.execute("create database tpcc")
            wire.execute("create database tpch")
        servers.report(tpcc, "load", f"{base}/tpcc", "--warehouses", arguments.warehouses)
        servers.report(arguments.binaries / "tpch", "load", f"{base}/tpch", "--scale", arguments.scale)
        streamed(f"{base}/tpch", 0)[0].join()  # warm
        alone = transactions(tpcc, f"{base}/tpcc", arguments)
        thread, queries_alone = streamed(f"{base}/tpch", arguments.seconds / 4)
        thread.join()
        thread, queries_beside = streamed(f"{base}/tpch", arguments.seconds)
        beside = transactions(tpcc, f"{base}/tpcc", arguments)
        thread.join()
        servers.report(tpcc, "check", f"{base}/tpcc", "--warehouses", arguments.warehouses)

    print(f"TPC-C, {arguments.warehouses} warehouses, {arguments.terminals} terminals, beside TPC-H at scale {arguments.scale:g}")
    print(f"{'':8}{'NOPM':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for name, figures in (("alone", alone), ("beside", beside)):
        kind = new_order(figures)
        print(f"{name:8}{figures['nopm']:10.0f}{kind['p50_ms']:10.1f}{kind['p99_ms']:10.1f}")
    print(f"{'ratio':8}{beside['nopm'] / alone['nopm']:10.2f}{'':10}{new_order(beside)['p99_ms'] / new_order(alone)['p99_ms']:10.2f}")
    print(f"\n{'query':>7}{'alone ms':>10}{'beside ms':>10}{'ratio':>7}")
    medians = {number: (statistics.median(queries_alone[number]), statistics.median(queries_beside[number])) for number in QUERIES}
    for number, (a, b) in [*medians.items(), ("total", tuple(map(sum, zip(*medians.values()))))]:
        print(f"{number:>7}{a:10.1f}{b:10.1f}{b / a:7.2f}")
    print(f"\n{'second':>7}{'NOPM alone':>12}{'p99 ms':>8}{'beside':>12}{'p99 ms':>8}")
    for a, b in zip(alone["curve"], beside["curve"]):
        print(f"{a['second']:7.0f}{a['nopm']:12.0f}{a['new_order_p99_ms']:8.1f}{b['nopm']:12.0f}{b['new_order_p99_ms']:8.1f}")


if __name__ == "__main__":
    main()
