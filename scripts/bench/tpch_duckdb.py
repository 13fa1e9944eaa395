"""Times the 22 TPC-H queries against DuckDB's own tables on the same machine, in turns, and prints each query's ratio.

    cargo build --release -p cli -p tpch
    scripts/python scripts/bench/tpch_duckdb.py --bin target/release --scale 1

Both hold the rows that `tpch generate` and `tpch load` make, with the same schema and primary keys, in their own format on disk.
Colonnade is asked over its PostgreSQL wire, DuckDB in this process; both have the same number of threads, and a time is from sending
the query to the last row read. Each query is run in both, the one that begins changing from round to round: first rounds that
are not counted, then --rounds that are; the figure is their median. Of those only the numbers of rows are compared; `tpch validate`, which
is run first where it has answers, compares them whole. Exit codes: 0 done, 1 an answer differs or something failed.

--restart          both are closed and opened again before each round, and there are no others first
--changed          a twentieth of the orders is updated, with their lines, and a fiftieth inserted, in both, and the rounds are run again: at
                   once, before much is merged
--substitutions    all rows of so many runs with other parameters, without LIMIT, are compared first, and again after the rounds that follow
                   the changes
--memory           both are held to so much: total_mib of Colonnade, memory_limit of DuckDB

The most memory that the server had at any time is printed, the system's cache of files not counted.
"""

import argparse
import decimal
import json
import math
import os
import pathlib
import re
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


class Native:
    """A DuckDB file with the generated rows, open in this process."""

    def __init__(self, binaries, work, scale, threads, memory):
        self.file = work / "tpch.duckdb"
        self.config = {"threads": threads} | ({"memory_limit": f"{memory}MiB"} if memory else {})
        is_new = not self.file.exists()
        self.open()
        if is_new:
            with tempfile.TemporaryDirectory(dir=work) as parquet:
                command = [binaries / "tpch", "generate", "--scale", str(scale), "--out", parquet]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                self.load(pathlib.Path(parquet))

    def load(self, parquet):
        self.connection.execute((TPCH / "schema.sql").read_text())
        for table in TABLES:
            files = sorted(str(path) for path in parquet.glob(f"{table}.*parquet"))
            self.connection.execute(f"insert into {table} select * from read_parquet({files!r})")
        self.connection.execute("checkpoint")

    def open(self):
        self.connection = duckdb.connect(str(self.file), config=self.config)

    def stop(self):
        self.connection.close()


class Server:
    """`colonnade serve` on a free port; everyone is trusted, so only this machine may reach it."""

    def __init__(self, binaries, data, memory):
        config = data.parent / "colonnade.toml"
        config.write_text(f"[memory]\ntotal_mib = {memory}\n" if memory else "")
        self.said = data.parent / "server.log"
        self.command = [binaries / "colonnade", "serve", "--data", data, "--listen", "127.0.0.1:0", "--auth", "trust", "--config", config]
        self.rss_max = 0
        self.open()

    def open(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=open(self.said, "w"), text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = f"postgres://postgres@127.0.0.1:{line.strip().rsplit(':', 1)[1]}/postgres"
                return
        raise SystemExit(f"the server does not start, see {self.said}")

    def stop(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.rss_max = max(self.rss_max, *(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
        self.process.terminate()
        self.process.wait()


# One order in twenty, and its lines, is updated; one in fifty copied to a key that the generator leaves free.
CHANGES = [
    "update orders set o_totalprice = o_totalprice + 1 where o_orderkey / 32 % 20 = 7",
    "update lineitem set l_quantity = 51 - l_quantity where l_orderkey / 32 % 20 = 7",
    """insert into orders select o_orderkey + 8, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk,
       o_shippriority, o_comment from orders where o_orderkey / 32 % 50 = 3""",
    """insert into lineitem select l_orderkey + 8, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax,
       l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment
       from lineitem where l_orderkey / 32 % 50 = 3""",
]


def change(server, native):
    with psycopg.connect(server.url, autocommit=True) as wire:
        for statement in CHANGES:
            rows = native.connection.execute(statement.replace(" / ", " // ")).fetchone()[0]
            if wire.execute(statement).rowcount != rows:
                raise SystemExit(f"not {rows} rows, as of DuckDB: {statement}")


def normal(rows):
    """Rows in one order, numbers as ten digits, for DuckDB's averages are floating-point, and without blanks that fill up char(n)."""
    number = lambda value: f"{float(value):.10g}" if isinstance(value, (float, decimal.Decimal)) else str(value).rstrip()
    return sorted([number(value) for value in row] for row in rows)


def check(binaries, server, native, scale, seeds):
    """Compares all rows of the queries with other parameters."""
    for seed in range(seeds):
        command = [binaries / "tpch", "queries", "--scale", str(scale), "--seed", str(seed)]
        texts = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("-- ")[1:]
        with psycopg.connect(server.url, autocommit=True) as wire:
            for text in texts:
                name, statement = text.split("\n", 1)
                # Which of equals LIMIT leaves out is nobody's to say.
                statement = re.sub(r"\nlimit \d+", "", statement)
                ours, theirs = normal(wire.execute(statement).fetchall()), normal(native.connection.execute(statement).fetchall())
                if ours != theirs:
                    odd = [(a, b) for a, b in zip(ours, theirs) if a != b][:3]
                    raise SystemExit(f"{name}, seed {seed}: {len(ours)} rows, DuckDB has {len(theirs)}: {odd}\n{statement}")
    print(f"{seeds} runs of 22 queries with other parameters: equal")


def timed(run):
    start = time.perf_counter()
    rows = len(run())
    return (time.perf_counter() - start) * 1e3, rows


def compare(server, native, texts, warmups, rounds, restart):
    """Per query the times of both in milliseconds."""
    figures = {number: {"colonnade": [], "duckdb": []} for number in texts}
    for round in range(warmups + rounds):
        if restart:
            for one in (server, native):
                one.stop()
                one.open()
        with psycopg.connect(server.url, autocommit=True) as wire:
            runs = {
                "colonnade": lambda text: timed(lambda: wire.execute(text).fetchall()),
                "duckdb": lambda text: timed(lambda: native.connection.execute(text).fetchall()),
            }
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
    arguments.add_argument("--restart", action="store_true", help="open both again before each round")
    arguments.add_argument("--substitutions", type=int, default=0, metavar="RUNS", help="compare so many runs with other parameters")
    arguments.add_argument("--changed", action="store_true", help="then change rows and run the rounds again")
    arguments.add_argument("--memory", type=int, metavar="MIB", help="hold both to so much memory")
    arguments.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keep the tables of both there, or use those that are there")
    arguments.add_argument("--json", type=pathlib.Path, help="write every time to this file")
    arguments = arguments.parse_args()
    # Inherited by the server, which has as many query threads as it may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    scale = int(arguments.scale) if arguments.scale == int(arguments.scale) else arguments.scale

    if arguments.restart:
        arguments.warmups = 0
    with tempfile.TemporaryDirectory(prefix="tpch-duckdb-") as work:
        work = arguments.keep or pathlib.Path(work)
        work.mkdir(exist_ok=True)
        data = work / "colonnade"
        is_new = not data.exists()
        server = Server(arguments.bin, data, arguments.memory)
        try:
            # The server runs queries at this niceness: on a machine that is not idle both are to get the same share.
            if not arguments.restart:
                os.nice(10)
            native = Native(arguments.bin, work, scale, arguments.threads, arguments.memory)
            tpch = [arguments.bin / "tpch"]
            if is_new:
                subprocess.run([*tpch, "load", "--url", server.url, "--scale", str(scale)], check=True, stdout=subprocess.DEVNULL)
                if scale in (0.01, 1):
                    subprocess.run([*tpch, "validate", "--url", server.url, "--scale", str(scale)], check=True, stdout=subprocess.DEVNULL)
            check(arguments.bin, server, native, scale, arguments.substitutions)
            figures = compare(server, native, queries(arguments.queries), arguments.warmups, arguments.rounds, arguments.restart)
            changed = None
            if arguments.changed:
                change(server, native)
                changed = compare(server, native, queries(arguments.queries), 1, arguments.rounds, False)
                check(arguments.bin, server, native, scale, arguments.substitutions)
        finally:
            server.stop()

    report(arguments, scale, figures)
    if changed:
        report(arguments, scale, changed)
        medians = lambda figures: sum(statistics.median(times["colonnade"]) for times in figures.values())
        print(f"changed over clean: {medians(changed) / medians(figures):.2f}")
    print(f"the server's memory at most {server.rss_max} MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps([figures, changed], indent=1) + "\n")


def report(arguments, scale, figures):
    print(f"TPC-H scale {scale}, {arguments.threads} threads, median of {arguments.rounds} after {arguments.warmups}; DuckDB {duckdb.__version__}")
    print(f"{'query':>7} {'colonnade ms':>13} {'duckdb ms':>10} {'ratio':>6}")
    totals = {"colonnade": 0.0, "duckdb": 0.0}
    logs = []
    for number, times in figures.items():
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, value in medians.items():
            totals[name] += value
        logs.append(math.log(medians["colonnade"] / medians["duckdb"]))
        print(f"{'Q' + str(number):>7} {medians['colonnade']:13.1f} {medians['duckdb']:10.1f} {medians['colonnade'] / medians['duckdb']:6.2f}")
    print(f"{'total':>7} {totals['colonnade']:13.1f} {totals['duckdb']:10.1f} {totals['colonnade'] / totals['duckdb']:6.2f}")
    print(f"geometric mean {math.exp(statistics.mean(logs)):.2f}")


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, psycopg.Error, duckdb.Error) as error:
        sys.exit(f"tpch_duckdb: {error}")
