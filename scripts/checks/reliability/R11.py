"""Recovery from a large log: a restart redoes all of it within the memory budget, killed again and again on the way; every table is as it was
when the server stopped, by count and an order-independent hash. PostgreSQL's redo of as many bytes beside it.
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "oracle"))

from row import BUG, COLONNADE, SCRATCH, SEED, Row, TIER

LOG_MIB = int(os.environ.get("LOG_MIB", 24 if TIER == "quick" else 10240))
KILLS = int(os.environ.get("KILLS", 3 if TIER == "quick" else 20))
PEER = os.environ.get("PEER", "no" if TIER == "quick" else "yes")
# The budget: what the configuration gives each store of memory, and the program.
DELTA_MIB, CACHE_MIB, QUERIES_MIB, OWN_MIB = (16, 16, 64, 64) if TIER == "quick" else (512, 128, 256, 128)
BUDGET_MIB = DELTA_MIB + CACHE_MIB + QUERIES_MIB + OWN_MIB
# No checkpoint by itself: all of the log is redone.
CONFIG = f"""
[memory]
delta_mib = {DELTA_MIB}
cache_mib = {CACHE_MIB}
queries_mib = {QUERIES_MIB}
[merge]
checkpoint_mib = 1000000
checkpoint_seconds = 1000000
[scrub]
mib_per_second = 0
"""
ROWS = 2000 if TIER == "quick" else 20000  # of a statement
TABLES = {
    "wide": "CREATE TABLE wide (id bigint PRIMARY KEY, a int, b text, c numeric(15, 2), d timestamp)",
    "counted": "CREATE TABLE counted (id bigint PRIMARY KEY, n bigint)",
    "plain": "CREATE TABLE plain (v text, n bigint)",
}


def hash_of(text):
    """A number from the md5 of a text, to be added up."""
    return f"sum(ascii(substr(md5({text}), 1, 1)) * 65536::bigint + ascii(substr(md5({text}), 9, 1)) * 256 + ascii(substr(md5({text}), 17, 1)))"


HASHES = {
    "wide": f"SELECT count(*), sum(id), sum(id * (a % 1009)), sum(c), {hash_of('b')}, {hash_of('d::text')} FROM wide",
    "counted": "SELECT count(*), sum(id), sum(n), sum(id * (n % 1009)) FROM counted",
    "plain": f"SELECT count(*), sum(n), {hash_of('v')}, {hash_of('v || n')} FROM plain",
}


class Server:
    def __init__(self, work):
        self.work, self.process, self.peak, self.said = work, None, 0.0, []

    def start(self):
        arguments = ["serve", "--data", self.work / "data", "--listen", "127.0.0.1:0", "--auth", "trust", "--config", self.work / "c.toml"]
        self.log = open(self.work / "server.log", "a")
        self.process = subprocess.Popen([str(COLONNADE), *map(str, arguments)], stdout=subprocess.PIPE, stderr=self.log, text=True)
        threading.Thread(target=self.sample, args=(self.process,), daemon=True).start()

    def sample(self, process):
        while process.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                self.peak = max(self.peak, int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024)
            except (OSError, TypeError):
                return
            time.sleep(0.05)

    def listening(self):
        """The port, once it serves; None if it ends before."""
        for line in self.process.stdout:
            if found := re.match(r"listening on .*:(\d+)", line):
                return int(found[1])
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def fill(connection, bytes_wanted, log_bytes):
    """Changes rows of every kind until the log has so many bytes."""
    rng = random.Random(SEED)
    for text in TABLES.values():
        connection.execute(text)
    at = 0
    while log_bytes() < bytes_wanted:
        first, last = at * ROWS + 1, (at + 1) * ROWS
        connection.execute(
            "INSERT INTO wide SELECT i, (i::bigint * 7919) % 100003, repeat('row ', 10 + i::int % 30) || i, i * 1.25, "
            f"timestamp '2026-01-01' + i * interval '1 second' FROM generate_series({first}, {last}) AS g(i)"
        )
        connection.execute(f"INSERT INTO plain SELECT 'v' || i, i FROM generate_series({first}, {last}, 3) AS g(i)")
        if at == 0:
            connection.execute(f"INSERT INTO counted SELECT i, 0 FROM generate_series(1, {ROWS}) AS g(i)")
        connection.execute(f"UPDATE counted SET n = n + id % {rng.randint(2, 9)}")
        low = rng.randint(1, last)
        connection.execute(f"UPDATE wide SET a = a + 1, b = b || 'x' WHERE id BETWEEN {low} AND {low + ROWS // 4}")
        low = rng.randint(1, last)
        connection.execute(f"DELETE FROM wide WHERE id BETWEEN {low} AND {low + ROWS // 20}")
        at += 1
    return at


def hashes(connection):
    return {table: connection.execute(text).fetchone() for table, text in HASHES.items()}


def connect(port, user="postgres"):
    return psycopg.connect(f"host=127.0.0.1 port={port} user={user} dbname=postgres", autocommit=True)


def log_mib(directory):
    """How far the log is, as it notes 50 ms after the last commit (docs/format.md)."""
    time.sleep(0.1)
    noted = (directory / "END").read_bytes()
    return int.from_bytes(noted[8:16], "little") / (1 << 20) if len(noted) >= 20 else 0.0


def postgres_redo(work):
    """Seconds and MiB of PostgreSQL's redo of about as much, after a kill."""
    import postgres15

    with postgres15.running() as port:
        with connect(port) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '64GB'")
            connection.execute("ALTER SYSTEM SET checkpoint_timeout = '1d'")
            connection.execute("ALTER SYSTEM SET full_page_writes = on")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CHECKPOINT")
            start = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
            size = lambda: connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)", (start,)).fetchone()[0]
            fill(connection, LOG_MIB << 20, size)
            mib = float(size()) / (1 << 20)
            data = connection.execute("SHOW data_directory").fetchone()[0]
        seconds = crash_postgres(pathlib.Path(data), port)
        return mib, seconds


def crash_postgres(data, port):
    pid = int((data / "postmaster.pid").read_text().split()[0])
    children = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout.split()
    # The postmaster restarts what it has after one of its sessions was killed: redo runs in a server that stays.
    with connect(port) as connection:
        backend = connection.info.backend_pid
        began = time.monotonic()
        os.kill(backend, 9)
    del children
    while True:
        try:
            with connect(port):
                return time.monotonic() - began
        except psycopg.Error:
            time.sleep(0.05)


def main():
    row = Row()
    work = SCRATCH / "recovery"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "c.toml").write_text(CONFIG)
    server = Server(work)
    server.start()
    port = server.listening()
    with connect(port) as connection:
        wal = work / "data" / "wal"
        fill(connection, LOG_MIB << 20, lambda: log_mib(wal) * (1 << 20))
        expected = hashes(connection)
    mib = log_mib(wal)
    server.kill()

    rng = random.Random(SEED)
    took = None
    guess = max(0.2, mib / 100)
    for attempt in range(KILLS):
        server.start()
        timer = threading.Timer(rng.uniform(0.02, 0.95) * guess, server.process.kill)
        timer.start()
        began = time.monotonic()
        if server.listening() is not None:
            guess = min(guess, time.monotonic() - began)
        timer.cancel()
        server.kill()
        row.tried()
    server.peak = 0.0
    began = time.monotonic()
    server.start()
    port = server.listening()
    took = time.monotonic() - began
    if port is None:
        row.tried(f"does not open: {(work / 'server.log').read_text()[-500:]}")
        row.result("does not open")
        return
    peak = server.peak
    with connect(port) as connection:
        found = hashes(connection)
    wrong = [f"{table}: {found[table]}, not {expected[table]}" for table in TABLES if found[table] != expected[table]]
    row.tried("; ".join(wrong) or None)
    if peak > BUDGET_MIB * 1.5:
        row.tried(f"{peak:.0f} MiB of memory, the budget is {BUDGET_MIB}")
    text = (work / "server.log").read_text()
    if LOG_MIB >= 1024 and "redoing the log" not in text:
        row.tried("no progress in the log")
    server.process.terminate()
    server.process.wait(120)
    checked = subprocess.run([str(COLONNADE), "check", "--data", str(work / "data")], stdout=subprocess.PIPE, text=True)
    row.tried(f"check: {checked.stdout[-500:]}" if checked.returncode else None)
    rows = sum(counts[0] for counts in expected.values())
    told = f"{mib:,.0f} MiB of log redone in {took:.1f} s ({mib / took:.0f} MiB/s), peak {peak:.0f} MiB of {BUDGET_MIB}, {rows:,} rows, {KILLS} kills"
    shutil.rmtree(work)
    if PEER == "yes":
        peer_mib, seconds = postgres_redo(work)
        told += f"; PostgreSQL {peer_mib:,.0f} MiB in {seconds:.1f} s ({peer_mib / seconds:.0f} MiB/s)"
    row.result(told)


main()
