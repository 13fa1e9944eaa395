"""Imports TPC-H files, Parquet or CSV, with Colonnade and with DuckDB, in turns, on the same cores.

    cargo build --release -p cli -p tpch
    scripts/python scripts/bench/import_duckdb.py --scale 1 --rounds 3 --format csv

Each round starts from nothing. Both make the eight tables with their primary keys (tpch/schema.sql), fill them from the same files and
end with everything durable: DuckDB with INSERT .. SELECT and CHECKPOINT, in one process; Colonnade with a server for the CREATE TABLEs
and one `colonnade import` a table into the data directory, processes and their starts included. `duckdb, no keys` is CREATE TABLE AS and CHECKPOINT, which checks and
indexes nothing. `over the wire` is `tpch load` into a running server: COPY in text, of rows that are generated meanwhile on the same
cores; the server's resident memory is read when the load is done and after it has been idle. Times are medians of the rounds. `CPU s`
is user and system time of all processes of a load (over the wire the server's is not in it): less moved by what else the machine does.
`MB of memory` is the most that an import had resident; DuckDB is in this process, so what it had is not told.
"""

import argparse
import contextlib
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIRE = "colonnade, over the wire"
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, **options)


def size(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def memory(pid, what="VmRSS"):
    return int(re.search(what + r":\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def peak(*command):
    """The most memory that the command had resident, in bytes."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command} failed: {status}")
    return usage.ru_maxrss * 1024


def cpu_seconds():
    """Of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def import_duckdb(files, folder, threads, keys):
    path = folder / "duck.db"
    connection = duckdb.connect(str(path), config={"threads": threads})
    started = time.perf_counter()
    if keys:
        connection.execute((ROOT / "tpch/schema.sql").read_text())
    for table in TABLES:
        source = f"select * from '{files / table}.{files.name}'"
        connection.execute(f"insert into {table} {source}" if keys else f"create table {table} as {source}")
    connection.execute("checkpoint")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds, size(path), 0


@contextlib.contextmanager
def served(data, colonnade):
    """A server of the directory, made if it is not there: its process and URL."""
    command = [colonnade, "serve", "--data", data, "--listen", "127.0.0.1:0", "--auth", "trust"]
    server = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in server.stdout:
            if match := re.match(r"listening on .*:(\d+)", line):
                break
        yield server, f"postgres://postgres@127.0.0.1:{match[1]}/postgres"
    finally:
        server.terminate()
        server.wait()


def import_embedded(files, folder, colonnade):
    data = folder / "data"
    started = time.perf_counter()
    with served(data, colonnade) as (_, url):
        run(colonnade, "sql", "--url", url, "-f", ROOT / "tpch/schema.sql")
    memory = max(peak(colonnade, "import", "--data", data, table, files / f"{table}.{files.name}") for table in TABLES)
    return time.perf_counter() - started, size(data), memory


def load_remote(folder, colonnade, tpch, scale, idle):
    with served(folder / "data", colonnade) as (server, url):
        started = time.perf_counter()
        run(tpch, "load", "--url", url, "--scale", scale, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        loaded = memory(server.pid)
        time.sleep(idle)
        return seconds, loaded, memory(server.pid), memory(server.pid, "VmHWM")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of DuckDB")
    parser.add_argument("--idle", type=float, default=30, help="seconds before the server's memory is read again")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target/release", help="folder of colonnade and tpch")
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet", help="of the files")
    parser.add_argument("--keep", type=pathlib.Path, help="where the files are kept for the next run")
    parser.add_argument("--no-wire", action="store_true", help="without the load over the wire")
    arguments = parser.parse_args()
    colonnade, tpch = arguments.binaries / "colonnade", arguments.binaries / "tpch"
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="import-"))
    try:
        files = (arguments.keep or scratch) / arguments.format
        if not files.exists():
            run(tpch, "generate", "--scale", arguments.scale, "--format", arguments.format, "--out", files)
        ways = {
            "duckdb": lambda folder: import_duckdb(files, folder, arguments.threads, keys=True),
            "duckdb, no keys": lambda folder: import_duckdb(files, folder, arguments.threads, keys=False),
            "colonnade": lambda folder: import_embedded(files, folder, colonnade),
        }
        if not arguments.no_wire:
            ways[WIRE] = lambda folder: load_remote(folder, colonnade, tpch, arguments.scale, arguments.idle)
        results = {way: [] for way in ways}
        for round_number in range(arguments.rounds):
            for way, load in ways.items():
                folder = scratch / "load"
                folder.mkdir()
                subprocess.run(["sync"], check=True)
                before = cpu_seconds()
                loaded = load(folder)
                results[way].append((*loaded[:1], cpu_seconds() - before, *loaded[1:]))
                shutil.rmtree(folder)
                print(f"round {round_number + 1}: {way}: {results[way][-1][0]:.2f} s", file=sys.stderr)
        report(results, arguments)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def report(results, arguments):
    seconds = {way: statistics.median(row[0] for row in rows) for way, rows in results.items()}
    threads = f"DuckDB {duckdb.__version__} on {arguments.threads} threads"
    print(f"TPC-H scale {arguments.scale}, {arguments.format}, {threads}, median of {arguments.rounds}")
    print(f"{'':26}{'seconds':>9}{'x duckdb':>10}{'x no keys':>11}{'CPU s':>8}{'MB on disk':>12}{'MB of memory':>14}")
    for way, rows in results.items():
        line = f"{way:26}{seconds[way]:9.2f}{seconds[way] / seconds['duckdb']:10.2f}{seconds[way] / seconds['duckdb, no keys']:11.2f}"
        if way != WIRE:
            memory = max(row[3] for row in rows)
            line += f"{statistics.median(row[1] for row in rows):8.2f}{rows[-1][2] / 1e6:12.0f}" + (f"{memory / 1e6:14.0f}" if memory else "")
        print(line)
    if WIRE in results:
        loaded, idle, most = (max(row[at] for row in results[WIRE]) / 1e6 for at in (2, 3, 4))
        print(f"server's resident memory, MB: {loaded:.0f} after the load, {idle:.0f} idle for {arguments.idle:.0f} s, {most:.0f} at most")


if __name__ == "__main__":
    main()
