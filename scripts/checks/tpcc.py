"""Runs tpcc against PostgreSQL 15, or another server, and then damages the tables to see `tpcc check` say so. See tpcc.sh.

    scripts/python scripts/checks/tpcc.py TPCC [URL]

The tables are made anew. SECONDS_EACH (2) is how long each run measures. Exit codes: 0 as it must be, 1 not.
"""

import json
import os
import subprocess
import sys

import postgres15
import psycopg

SECONDS = os.environ.get("SECONDS_EACH", "2")
RUNS = [
    ["--isolation", "read-committed"],
    ["--isolation", "repeatable-read"],
    ["--isolation", "serializable"],
    ["--protocol", "simple"],
    ["--one-by-one"],
]
# What is done to the tables, what undoes it, and the conditions it breaks (0: the rows of a load).
DAMAGE = [
    ("insert into item values (100001, 1, 'x', 1, 'x')", "delete from item where i_id = 100001", {0}),
    ("update district set d_ytd = d_ytd + 1 where d_id = 3", "update district set d_ytd = d_ytd - 1 where d_id = 3", {1, 9}),
    (
        "update district set d_next_o_id = d_next_o_id + 1 where d_id = 4",
        "update district set d_next_o_id = d_next_o_id - 1 where d_id = 4",
        {2},
    ),
    # A hole: an order in the middle is delivered, but neither a carrier nor a customer knows.
    (
        "delete from new_order where no_d_id = 5 and no_o_id = (select max(no_o_id) - 10 from new_order where no_d_id = 5)",
        "insert into new_order select max(no_o_id) - 10, 5, 1 from new_order where no_d_id = 5",
        {3, 5, 11},
    ),
    (
        "update orders set o_ol_cnt = o_ol_cnt + 1 where o_d_id = 6 and o_id = 7",
        "update orders set o_ol_cnt = o_ol_cnt - 1 where o_d_id = 6 and o_id = 7",
        {4, 6},
    ),
    (
        "update orders set o_carrier_id = null where o_d_id = 7 and o_id = 9",
        "update orders set o_carrier_id = 1 where o_d_id = 7 and o_id = 9",
        {5, 7},
    ),
    # The sums stay, two orders do not.
    (
        "update orders set o_ol_cnt = o_ol_cnt + 20 - 40 * (o_id % 2) where o_d_id = 8 and o_id in (10, 11)",
        "update orders set o_ol_cnt = o_ol_cnt - 20 + 40 * (o_id % 2) where o_d_id = 8 and o_id in (10, 11)",
        {6},
    ),
    # Lines that cost nothing, so that no balance tells.
    (
        "update order_line set ol_delivery_d = null where ol_d_id = 9 and ol_o_id = 12 and ol_number = 2",
        "update order_line set ol_delivery_d = timestamp '2026-01-02 03:04:05' where ol_d_id = 9 and ol_o_id = 12 and ol_number = 2",
        {7},
    ),
    ("update warehouse set w_ytd = w_ytd + 1", "update warehouse set w_ytd = w_ytd - 1", {1, 8}),
    (
        "update history set h_d_id = 2 where h_d_id = 1 and h_c_d_id = 1 and h_c_id = 99",
        "update history set h_d_id = 1 where h_d_id = 2 and h_c_d_id = 1 and h_c_id = 99",
        {9},
    ),
    (
        "update customer set c_balance = c_balance + 1, c_ytd_payment = c_ytd_payment - 1 where c_d_id = 1 and c_id = 5",
        "update customer set c_balance = c_balance - 1, c_ytd_payment = c_ytd_payment + 1 where c_d_id = 1 and c_id = 5",
        {10},
    ),
    (
        "update customer set c_delivery_cnt = c_delivery_cnt + 1 where c_d_id = 2 and c_id = 6",
        "update customer set c_delivery_cnt = c_delivery_cnt - 1 where c_d_id = 2 and c_id = 6",
        {11},
    ),
    (
        "update customer set c_ytd_payment = c_ytd_payment + 1 where c_d_id = 3 and c_id = 7",
        "update customer set c_ytd_payment = c_ytd_payment - 1 where c_d_id = 3 and c_id = 7",
        {12},
    ),
]


def tpcc(program, command, url, *arguments):
    done = subprocess.run([program, command, "--url", url, "--json", *arguments], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)["figures"] if done.stdout else None, done.stderr


def broken(program, url):
    """The numbers of the conditions that do not hold."""
    code, verdicts, said = tpcc(program, "check", url, "--warehouses", "1")
    if not verdicts or len(verdicts) != 13:
        sys.exit(f"check: {said}")
    numbers = {int(verdict["condition"].split(":")[0]) for verdict in verdicts if verdict["offending"]}
    if code != (1 if numbers else 0):
        sys.exit(f"check ends with {code}, broken are {numbers}")
    return numbers


def expect(what, found, wanted):
    print(f"{what}: broken {sorted(found) or 'nothing'}")
    if found != wanted:
        sys.exit(f"{what}: conditions {sorted(found)} are broken; {sorted(wanted)} must be")


def judge(program, url):
    code, loaded, said = tpcc(program, "load", url, "--warehouses", "1", "--drop")
    if code:
        sys.exit(f"load: {said}")
    print(f"loaded {loaded['rows']} rows")
    expect("after the load", broken(program, url), set())

    for arguments in RUNS:
        what = " ".join(arguments)
        command = [program, "run", "--url", url, "--json", "--terminals", "8", "--duration", SECONDS, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            expect(f"during {what}", broken(program, url), set())
            said, errors = running.communicate()
        if running.returncode:
            sys.exit(f"run {what}: {errors}")
        figures = json.loads(said)["figures"]
        if any(not kind["committed"] for kind in figures["transactions"]):
            sys.exit(f"run {what}: a kind of transaction never committed: {figures['transactions']}")
        expect(f"after {what}, {figures['nopm']:.0f} NOPM, {figures['retries']} retries", broken(program, url), set())

    with psycopg.connect(url, autocommit=True) as connection:
        for damage, repair, wanted in DAMAGE:
            for sql in (damage, repair):
                if connection.execute(sql).rowcount < 1:
                    sys.exit(f"nothing to change: {sql}")
                expect(sql, broken(program, url), wanted if sql == damage else set())


def main():
    program, *urls = sys.argv[1:]
    if urls:
        return judge(program, urls[0])
    with postgres15.running() as port:
        judge(program, f"postgres://postgres@127.0.0.1:{port}/postgres")


if __name__ == "__main__":
    main()
