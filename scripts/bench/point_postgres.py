"""Durable single-row INSERTs and lookups by key beside PostgreSQL 15: statements a second, latency and the server's CPU for each.

    cargo build --release -p cli
    scripts/python scripts/bench/point_postgres.py --seconds 10 --rounds 3

Both servers run with what durability asks for (fsync, synchronous_commit on), on the same cores as pgbench, in turns. Every statement
is prepared and its own transaction. CPU is that of all of a server's processes, from /proc, for a statement. Medians of the rounds.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import servers

SCHEMA = """
create table account (id bigint primary key, branch integer not null, balance bigint not null, filler char(84) not null);
create table journal (id bigint primary key, account bigint not null, delta integer not null, note varchar(40) not null);
"""
LOOKUP = "\\set id random(1, {rows})\nselect balance from account where id = :id;\n"
INSERT = """\\set id random(1, 9000000000000000000)
\\set account random(1, {rows})
\\set delta random(-5000, 5000)
insert into journal (id, account, delta, note) values (:id, :account, :delta, 'paid at the counter');
"""

def prepare(port, rows):
    url = servers.url(port)
    subprocess.run(["psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", SCHEMA], check=True)
    copy = ["psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "copy account from stdin"]
    with subprocess.Popen(copy, stdin=subprocess.PIPE, text=True) as process:
        for first in range(1, rows + 1, 10_000):
            process.stdin.write("".join(f"{n}\t{n % 100}\t0\tx\n" for n in range(first, min(first + 10_000, rows + 1))))
    if process.returncode:
        sys.exit("the rows could not be loaded")
    for statement in ("vacuum account", "checkpoint"):
        subprocess.run(["psql", url, "-X", "-q", "-c", statement], check=True)


def measure(server, script, clients, seconds):
    port, pid = server
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        before = servers.cpu_seconds(pid)
        command = ["pgbench", "-n", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-M", "prepared", "-c", clients, "-j", 1, "-T", seconds]
        command += ["-f", file.name, "postgres"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    time.sleep(0.3)  # PostgreSQL's backends are waited for by then
    used = servers.cpu_seconds(pid) - before
    count = int(re.search(r"actually processed: (\d+)", done.stdout)[1])
    tps = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
    latency = float(re.search(r"latency average = ([\d.]+)", done.stdout)[1])
    return tps, latency * 1000, used / count * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binaries", type=pathlib.Path, default=servers.ROOT / "target/release", help="folder of colonnade")
    arguments = parser.parse_args()
    cases = [("insert", INSERT, 1), ("insert", INSERT, 8), ("lookup", LOOKUP, 1), ("lookup", LOOKUP, 8)]
    with servers.colonnade(arguments.binaries) as ours, servers.postgres() as theirs:
        running = {"colonnade": ours, "postgresql": theirs}
        for port, _ in running.values():
            prepare(port, arguments.rows)
        print(f"{'':8}{'clients':>8}  {'':12}{'per second':>11}{'mean us':>9}{'CPU us':>8}   median of {arguments.rounds}, {arguments.seconds} s each")
        for name, script, clients in cases:
            script = script.format(rows=arguments.rows)
            found = {server: [] for server in running}
            for _ in range(arguments.rounds):
                for server, where in running.items():
                    found[server].append(measure(where, script, clients, arguments.seconds))
            medians = {server: [statistics.median(column) for column in zip(*rows)] for server, rows in found.items()}
            for server, (tps, latency, cpu) in medians.items():
                print(f"{name:8}{clients:8}  {server:12}{tps:11.0f}{latency:9.0f}{cpu:8.1f}")
            ratios = [a / b for a, b in zip(medians["colonnade"], medians["postgresql"])]
            print(f"{'':18}{'ratio':12}{ratios[0]:11.2f}{ratios[1]:9.2f}{ratios[2]:8.2f}")


if __name__ == "__main__":
    main()
