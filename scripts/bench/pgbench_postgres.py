"""pgbench, unmodified, beside PostgreSQL 15: transactions a second, latency and the server's CPU for each, in turns.

    cargo build --release -p cli
    scripts/python scripts/bench/pgbench_postgres.py --scale 50 --seconds 10 --rounds 3

Both servers run with what durability asks for (fsync, synchronous_commit on), on the same cores as pgbench. `pgbench -i` fills both.
Scripts are pgbench's own: -S, -N and the default one (TPC-B). Figures are medians of the rounds, ratios Colonnade's over
PostgreSQL's. Exit codes: 0 done, 1 something failed.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import servers

SCRIPTS = {"select": ["-S"], "simple-update": ["-N"], "tpcb": []}


def pgbench(port, *arguments):
    words = ["pgbench", "-h", "127.0.0.1", "-p", port, "-U", "postgres", *arguments, "postgres"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def measure(server, script, mode, clients, arguments):
    port, pid = server
    before = servers.cpu_seconds(pid)
    reconnect = ["-C"] if arguments.reconnect else []
    said = pgbench(port, "-n", "-M", mode, "-c", clients, "-j", 1, "-T", arguments.seconds, *reconnect, *SCRIPTS[script])
    time.sleep(0.3)  # PostgreSQL's backends are waited for by then
    used = servers.cpu_seconds(pid) - before
    count = int(re.search(r"actually processed: (\d+)", said)[1])
    tps = float(re.search(r"tps = ([\d.]+)", said)[1])
    latency = float(re.search(r"latency average = ([\d.]+)", said)[1])
    return tps, latency * 1000, used / count * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["simple", "extended", "prepared"])
    parser.add_argument("--scripts", type=lambda text: text.split(","), default=list(SCRIPTS), help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--reconnect", action="store_true", help="a connection for each transaction (-C)")
    parser.add_argument("--binaries", type=pathlib.Path, default=servers.ROOT / "target/release", help="folder of colonnade")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure to this file")
    arguments = parser.parse_args()
    rows = []
    with servers.colonnade(arguments.binaries) as ours, servers.postgres() as theirs:
        running = {"colonnade": ours, "postgresql": theirs}
        for port, _ in running.values():
            pgbench(port, "-i", "-q", "-s", arguments.scale)
        print(f"pgbench scale {arguments.scale}, medians of {arguments.rounds} rounds of {arguments.seconds} s")
        print(f"{'script':14}{'mode':10}{'clients':>7}  {'':12}{'per second':>11}{'mean us':>9}{'CPU us':>8}")
        for script in arguments.scripts:
            for mode in arguments.modes:
                for clients in arguments.clients:
                    found = {name: [] for name in running}
                    for name in servers.in_turns(running, arguments.rounds):
                        found[name].append(measure(running[name], script, mode, clients, arguments))
                    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in found.items()}
                    for name, (tps, latency, cpu) in medians.items():
                        print(f"{script:14}{mode:10}{clients:7}  {name:12}{tps:11.0f}{latency:9.0f}{cpu:8.1f}")
                    ratios = [a / b for a, b in zip(medians["colonnade"], medians["postgresql"])]
                    print(f"{'':33}{'ratio':12}{ratios[0]:11.2f}{ratios[1]:9.2f}{ratios[2]:8.2f}", flush=True)
                    rows.append({"script": script, "mode": mode, "clients": clients, "rounds": found, "ratios": ratios})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
