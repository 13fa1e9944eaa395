"""Times the 22 TPC-H queries against DuckDB's own tables on the same machine, in turns, and prints each query's ratio.

    cargo build --release -p cli -p tpch
    scripts/python scripts/bench/tpch_duckdb.py --bin target/release --scale 1

Both hold the rows that `tpch generate` and `tpch load` make, with the same schema and primary keys, in their own format on disk.
Colonnade is asked over its PostgreSQL wire, DuckDB in this process; both have the same number of threads, and a time is from sending
the query to the last row read. Each query is run in both, the one that begins changing from round to round: first rounds that
are not counted, then --rounds that are; the figure is their median. Only the number of rows is compared here: `tpch validate`,
which is run first where it has answers, compares them whole. Exit codes: 0 done, 1 an answer differs or something failed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import psycopg

TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]
TPCH = pathlib.Path(__file__).resolve().parents[2] / "tpch"


def queries(numbers):
    return {number: (TPCH / "queries" / f"q{number:02}.sql").read_text() for number in numbers}


def duckdb_of(binaries, work, scale, threads):
    """A DuckDB file with the generated rows."""
    parquet = work / "parquet"
    subprocess.run([binaries / "tpch", "generate", "--scale", str(scale), "--out", parquet], check=True, stdout=subprocess.DEVNULL)
    connection = duckdb.connect(str(work / "tpch.duckdb"), config={"threads": threads})
    connection.execute((TPCH / "schema.sql").read_text())
    for table in TABLES:
        files = sorted(str(path) for path in parquet.glob(f"{table}.*parquet"))
        connection.execute(f"insert into {table} select * from read_parquet({files!r})")
    connection.execute("checkpoint")
    return connection


class Server:
    """`colonnade serve` on a free port; everyone is trusted, so only this machine may reach it."""

    def __init__(self, binaries, data):
        said = open(data.parent / "server.log", "w")
        command = [binaries / "colonnade", "serve", "--data", data, "--listen", "127.0.0.1:0", "--auth", "trust"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = f"postgres://postgres@127.0.0.1:{line.strip().rsplit(':', 1)[1]}/postgres"
                return
        raise SystemExit(f"the server does not start, see {data.parent / 'server.log'}")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def timed(run):
    start = time.perf_counter()
    rows = len(run())
    return (time.perf_counter() - start) * 1e3, rows


def compare(url, native, texts, warmups, rounds):
    """Per query the times of both in milliseconds and the rows."""
    with psycopg.connect(url, autocommit=True) as wire:
        runs = {
            "colonnade": lambda text: timed(lambda: wire.execute(text).fetchall()),
            "duckdb": lambda text: timed(lambda: native.execute(text).fetchall()),
        }
        figures = {number: {name: [] for name in runs} for number in texts}
        for round in range(warmups + rounds):
            for number, text in texts.items():
                found = {}
                for name in sorted(runs, reverse=(round + number) % 2 == 0):
                    milliseconds, found[name] = runs[name](text)
                    if round >= warmups:
                        figures[number][name].append(milliseconds)
                if found["colonnade"] != found["duckdb"]:
                    raise SystemExit(f"Q{number}: {found['colonnade']} rows, DuckDB has {found['duckdb']}")
    return figures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs colonnade and tpch")
    arguments.add_argument("--scale", type=float, default=1.0)
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="cores to run on, and threads of each [default: all]")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--warmups", type=int, default=2)
    arguments.add_argument("--queries", type=lambda text: [int(n) for n in text.split(",")], default=list(range(1, 23)))
    arguments.add_argument("--url", help="a server with these tables, instead of one started and loaded here")
    arguments.add_argument("--json", type=pathlib.Path, help="write every time to this file")
    arguments = arguments.parse_args()
    # Inherited by the server, which has as many query threads as it may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    scale = int(arguments.scale) if arguments.scale == int(arguments.scale) else arguments.scale

    with tempfile.TemporaryDirectory(prefix="tpch-duckdb-") as work:
        work = pathlib.Path(work)
        server = None if arguments.url else Server(arguments.bin, work / "colonnade")
        try:
            # The server runs queries at this niceness: on a machine that is not idle both are to get the same share.
            os.nice(10)
            native = duckdb_of(arguments.bin, work, scale, arguments.threads)
            url = arguments.url or server.url
            tpch = [arguments.bin / "tpch"]
            if server:
                subprocess.run([*tpch, "load", "--url", url, "--scale", str(scale)], check=True, stdout=subprocess.DEVNULL)
            if scale in (0.01, 1):
                subprocess.run([*tpch, "validate", "--url", url, "--scale", str(scale)], check=True, stdout=subprocess.DEVNULL)
            figures = compare(url, native, queries(arguments.queries), arguments.warmups, arguments.rounds)
        finally:
            if server:
                server.stop()

    print(f"TPC-H scale {scale}, {arguments.threads} threads, median of {arguments.rounds} after {arguments.warmups}; DuckDB {duckdb.__version__}")
    print(f"{'query':>7} {'colonnade ms':>13} {'duckdb ms':>10} {'ratio':>6}")
    totals = {"colonnade": 0.0, "duckdb": 0.0}
    for number, times in figures.items():
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, value in medians.items():
            totals[name] += value
        print(f"{'Q' + str(number):>7} {medians['colonnade']:13.1f} {medians['duckdb']:10.1f} {medians['colonnade'] / medians['duckdb']:6.2f}")
    print(f"{'total':>7} {totals['colonnade']:13.1f} {totals['duckdb']:10.1f} {totals['colonnade'] / totals['duckdb']:6.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, psycopg.Error, duckdb.Error) as error:
        sys.exit(f"tpch_duckdb: {error}")
