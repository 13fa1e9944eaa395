"""Hostile queries at a limit of 1 GB: huge sorts, joins, groups, windows, texts, lists and nestings by 8 clients at a time. Each ends with a
right answer or a clean error; other sessions go on; the server's memory stays below the limit and a quarter.
"""

import collections
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

import psycopg

from row import BUG, COLONNADE, SCRATCH, SEED, Row, TIER

LIMIT_MIB = 1024
# What is left is for the program itself, results on their way and what nobody counts.
CONFIG = """
max_connections = 40
[memory]
delta_mib = 192
cache_mib = 128
queries_mib = 384
"""
CLIENTS = 8
TIMEOUT = 12 if TIER == "quick" else 60  # seconds of a statement
GRACE = 15  # beyond which it hangs
REPEAT_BYTES = 300_000_000


def wide(n):
    return ", ".join(f"{at} AS c{at}" for at in range(n))


def nested(n, left, right, inner="1"):
    return left * n + inner + right * n


def queries():
    """Statement and answer, None where any is right."""
    big = "generate_series(1, 3000000) AS g(i)"
    all_of = [
        # Series to the sky.
        ("SELECT count(*) FROM generate_series(1, 9876543210) AS g(i)", None),
        ("SELECT * FROM generate_series(1, 9876543210) AS g(i)", None),
        ("SELECT sum(i) FROM generate_series(1, 20000000) AS g(i)", "200000010000000"),
        ("SELECT i FROM generate_series(-9223372036854775807, 9223372036854775807) AS g(i) ORDER BY i DESC LIMIT 3", None),
        ("SELECT max(i) FROM generate_series(1, 5000000000, 7) AS g(i)", None),
        ("CREATE TABLE sky AS SELECT i FROM generate_series(1, 9876543210) AS g(i)", None),
        ("INSERT INTO sink SELECT i, repeat('x', 100) FROM generate_series(1, 50000000) AS g(i)", None),
        ("COPY (SELECT i FROM generate_series(1, 9876543210) AS g(i)) TO STDOUT", None),
        # Sorts.
        (f"SELECT i FROM {big} ORDER BY i % 1000, -i", None),
        (f"SELECT repeat('y', 300) || i AS t FROM {big} ORDER BY t DESC", None),
        (f"SELECT i, (i * 7919) % 1000003 AS k FROM {big} ORDER BY k, i OFFSET 2999990", None),
        ("SELECT s FROM (SELECT repeat(chr(65 + (i % 26)), 2000) AS s FROM generate_series(1, 400000) AS g(i)) q ORDER BY s", None),
        ("SELECT DISTINCT i FROM generate_series(1, 12000000) AS g(i)", None),
        ("SELECT count(DISTINCT i) FROM generate_series(1, 12000000) AS g(i)", "12000000"),
        ("SELECT count(DISTINCT repeat('z', 200) || i) FROM generate_series(1, 3000000) AS g(i)", "3000000"),
        # Joins.
        (f"SELECT count(*) FROM {big}, generate_series(1, 3000000) AS h(j)", None),
        ("SELECT * FROM generate_series(1, 100000) AS a(i), generate_series(1, 100000) AS b(j) ORDER BY i + j", None),
        (f"SELECT count(*) FROM {big} JOIN generate_series(1, 3000000) AS h(j) ON g.i = h.j", "3000000"),
        ("SELECT count(*) FROM generate_series(1, 40000) AS a(i) JOIN generate_series(1, 40000) AS b(j) ON a.i < b.j", "799980000"),
        ("SELECT count(*) FROM generate_series(1, 30000) AS a(i) FULL JOIN generate_series(1, 30000) AS b(j) ON a.i % 3 = b.j % 3", None),
        ("SELECT count(*) FROM t a, t b, t c, t d, t e", None),
        ("SELECT a.id FROM t a, t b WHERE a.v || b.v LIKE '%9%9%9%' ORDER BY b.v", None),
        ("SELECT count(*) FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id > a.id AND b.v < a.v)", None),
        ("SELECT (SELECT max(b.v) FROM t b WHERE b.id <> a.id) FROM t a", None),
        ("SELECT count(*) FROM t a WHERE a.v NOT IN (SELECT b.v || i FROM t b, generate_series(1, 1000) AS g(i))", None),
        ("SELECT " + ", ".join(f"t{at}.id" for at in range(40)) + " FROM " + ", ".join(f"t t{at}" for at in range(40)) + " LIMIT 1", None),
        # Groups.
        ("SELECT i, count(*) FROM generate_series(1, 10000000) AS g(i) GROUP BY i", None),
        ("SELECT repeat('k', 100) || i, sum(i) FROM generate_series(1, 4000000) AS g(i) GROUP BY 1", None),
        ("SELECT string_agg(i::text, ',') FROM generate_series(1, 30000000) AS g(i)", None),
        ("SELECT length(string_agg(repeat('s', 1000), '')) FROM generate_series(1, 1000000) AS g(i)", None),
        ("SELECT array_agg(i) FROM generate_series(1, 40000000) AS g(i)", None),
        ("SELECT array_agg(repeat('a', 1000)) FROM generate_series(1, 1000000) AS g(i)", None),
        ("SELECT i % 100000, array_agg(i) FROM generate_series(1, 20000000) AS g(i) GROUP BY 1", None),
        ("SELECT a, b, c, count(*) FROM (SELECT i % 999 a, i % 998 b, i % 997 c FROM generate_series(1, 3000000) AS g(i)) q GROUP BY CUBE (a, b, c)", None),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FROM generate_series(1, 20000000) AS g(i)", None),
        ("SELECT count(*) FROM (SELECT v, id FROM t UNION SELECT repeat('u', 500) || i, i FROM generate_series(1, 1500000) AS g(i)) q", None),
        ("SELECT count(*) FROM (SELECT i FROM generate_series(1, 9000000) AS g(i) EXCEPT SELECT i FROM generate_series(1, 9000000) AS g(i)) q", "0"),
        # Windows.
        (f"SELECT sum(i) OVER (ORDER BY i) FROM {big}", None),
        (f"SELECT rank() OVER (ORDER BY i % 10), lag(i, 1000000) OVER (ORDER BY i) FROM {big}", None),
        ("SELECT max(i) OVER (ORDER BY i ROWS BETWEEN 100000 PRECEDING AND 100000 FOLLOWING) FROM generate_series(1, 300000) AS g(i)", None),
        ("SELECT string_agg(v, ',') OVER (ORDER BY id) FROM t", None),
        ("SELECT array_agg(i) OVER (ORDER BY i) FROM generate_series(1, 20000) AS g(i)", None),
        (f"SELECT ntile(7) OVER (PARTITION BY i % 2 ORDER BY -i), first_value(repeat('w', 200)) OVER (ORDER BY i) FROM {big}", None),
        # Texts.
        (f"SELECT length(repeat('x', {REPEAT_BYTES}))", str(REPEAT_BYTES)),
        ("SELECT length(repeat('x', 2000000000))", None),
        ("SELECT repeat(repeat(repeat('x', 10000), 10000), 10000)", None),
        ("SELECT length(repeat('x', 100000000) || repeat('y', 100000000) || repeat('z', 100000000))", "300000000"),
        ("SELECT sum(length(repeat('x', 1000000) || i)) FROM generate_series(1, 2000) AS g(i)", None),
        ("SELECT repeat('x', 1000000) FROM generate_series(1, 3000) AS g(i)", None),
        ("SELECT replace(repeat('a', 1000000), 'a', repeat('b', 10000))", None),
        ("SELECT lpad('x', 1000000000, 'yz')", None),
        ("SELECT length(translate(repeat('abc', 50000000), 'abc', 'xyz'))", None),
        ("SELECT upper(repeat('\u00df', 100000000))", None),
        ("SELECT md5(repeat('m', 500000000))", None),
        ("SELECT length(regexp_replace(repeat('ab', 20000000), 'a', 'aaaa', 'g'))", None),
        ("SELECT array_to_string(array_agg(repeat('e', 10000)), ',') FROM generate_series(1, 50000) AS g(i)", None),
        ("SELECT length(concat(" + ", ".join(["repeat('c', 10000000)"] * 60) + "))", "600000000"),
        ("SELECT split_part(repeat('a,', 100000000), ',', 90000000)", None),
        ("SELECT reverse(repeat('ab', 200000000))", None),
        ("SELECT overlay(repeat('a', 200000000) placing repeat('b', 200000000) from 5)", None),
        ("SELECT count(*) FROM unnest(string_to_array(repeat('1,', 20000000), ',')) AS u(x)", None),
        ("SELECT to_hex(i) || repeat('h', 5000) FROM generate_series(1, 1000000) AS g(i) ORDER BY 1", None),
        # Patterns.
        ("SELECT repeat('a', 40) ~ '^(a+)+$b'", None),
        ("SELECT repeat('a', 30000) ~ '(a*)*(a*)*(a*)*b'", None),
        ("SELECT 'x' ~ '((((x{1,100}){1,100}){1,100}){1,100})'", None),
        ("SELECT 'x' ~ '" + "(" * 2000 + "x" + ")" * 2000 + "'", None),
        ("SELECT 'x' ~ 'x{0,255}{0,255}{0,255}'", None),
        ("SELECT repeat('a', 100000) LIKE '" + "%a" * 2000 + "b'", None),
        ("SELECT count(*) FROM t WHERE v SIMILAR TO '" + "(1|2)*" * 200 + "'", None),
        ("SELECT regexp_match(repeat('ab', 5000000), '" + "(.*)" * 20 + "')", None),
        # Width.
        ("SELECT " + wide(1600), None),
        ("SELECT " + wide(10000), None),
        ("CREATE TABLE wide (" + ", ".join(f"c{at} int" for at in range(10000)) + ")", None),
        ("SELECT count(*) FROM (SELECT " + wide(1500) + " FROM generate_series(1, 20000) AS g(i)) q", None),
        ("SELECT " + wide(1000) + " FROM generate_series(1, 100000) AS g(i) ORDER BY c7", None),
        ("SELECT * FROM (SELECT " + ", ".join(f"repeat('w', 10000) AS c{at}" for at in range(200)) + " FROM generate_series(1, 3000) AS g(i)) q ORDER BY c3", None),
        # Lists.
        ("SELECT count(*) FROM t WHERE id IN (" + ", ".join(map(str, range(100000))) + ")", None),
        ("SELECT count(*) FROM t WHERE v IN (" + ", ".join(f"'{at}'" for at in range(60000)) + ")", None),
        ("SELECT count(*) FROM (VALUES " + ", ".join(f"({at})" for at in range(60000)) + ") AS q(x)", "60000"),
        ("INSERT INTO sink VALUES " + ", ".join(f"({at}, 'v')" for at in range(60000)), None),
        ("SELECT count(*) FROM t WHERE " + " OR ".join(f"id = {at}" for at in range(20000)), None),
        ("SELECT count(*) FROM t WHERE id = ANY (ARRAY[" + ", ".join(map(str, range(100000))) + "])", None),
        ("SELECT CASE " + " ".join(f"WHEN id = {at} THEN {at}" for at in range(5000)) + " END FROM t", None),
        ("SELECT coalesce(" + ", ".join(["NULL"] * 20000) + ", 1)", None),
        (" UNION ALL ".join(f"SELECT {at}" for at in range(3000)), None),
        # Depth.
        ("SELECT " + nested(50000, "(", ")"), None),
        ("SELECT " + nested(3000, "abs(", ")"), None),
        ("SELECT " + nested(20000, "-", "", " 1"), None),
        ("SELECT " + nested(20000, "NOT ", "", "true"), None),
        ("SELECT " + nested(400, "(SELECT ", ")"), None),
        ("SELECT " + " + ".join(["1"] * 50000), None),
        ("SELECT " + " || ".join(["'a'"] * 20000), None),
        ("SELECT 1" + "::int" * 20000, None),
        ("SELECT * FROM " + nested(300, "(SELECT * FROM ", ") q", "t"), None),
        ("WITH " + ", ".join(f"c{at} AS (SELECT * FROM c{at - 1} UNION ALL SELECT * FROM c{at - 1})" if at else "c0 AS (SELECT 1 AS x)" for at in range(40)) + " SELECT count(*) FROM c39", None),
        ("WITH RECURSIVE r(n, s) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, s || s FROM r) SELECT max(n) FROM r", None),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r", None),
        ("SELECT ARRAY" + nested(300, "[", "]"), None),
        # Transactions.
        ("UPDATE t SET v = repeat('u', 20000)", None),
        ("DELETE FROM sink", None),
        ("SELECT pg_sleep(30)", None),
        ("SELECT count(*), sum(id) FROM t", None),
    ]
    return all_of


# Clean ends: out of memory or disk, program limits, cancelled, refused by name, wrong values, and what transactions meet.
CLEAN = re.compile(r"53\w{3}|54\w{3}|57014|0A000|22\w{3}|42\w{3}|40001|40P01|55P03|23\w{3}|25\w{3}|2201B|21000|34000")


def rss_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Others:
    """Sessions that do small things all the time."""

    def __init__(self, url):
        self.url, self.stopped, self.done, self.slowest, self.wrong = url, False, 0, 0.0, []
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(2)]
        for thread in self.threads:
            thread.start()

    def work(self, n):
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                at = 0
                while not self.stopped:
                    at += 1
                    began = time.monotonic()
                    connection.execute("INSERT INTO small VALUES (%s, %s, %s)", (n, at, f"row {at}"))
                    found = connection.execute("SELECT v FROM small WHERE who = %s AND id = %s", (n, at)).fetchone()
                    if found != (f"row {at}",):
                        self.wrong.append(f"session {n} found {found} under {at}")
                        return
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.done += 1
                    time.sleep(0.02)
        except psycopg.Error as error:
            # The store of recent rows is shared: a write may be refused while it is full, and works later.
            if error.sqlstate == "53200" and not self.stopped:
                time.sleep(0.5)
                return self.work(n + 10)
            self.wrong.append(f"session {n}: {error.sqlstate} {error}")

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


def run_one(url, statement, answer):
    """What went wrong, if anything, and how it ended."""
    began = time.monotonic()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = '{TIMEOUT}s'")
            cursor = connection.cursor()
            if statement.startswith("COPY"):
                with cursor.copy(statement) as copy:
                    for _ in copy:
                        pass
                first = None
            elif statement.startswith(("SELECT", "WITH")):
                first = None
                for row in cursor.stream(statement):
                    first = first or row
            else:
                cursor.execute(statement)
                first = None
        if answer is not None and (first is None or str(first[0]) != answer):
            return f"answers {first}, not {answer}", "wrong"
        ended = "answer"
    except psycopg.Error as error:
        if not error.sqlstate or not CLEAN.fullmatch(error.sqlstate):
            return f"{error.sqlstate}: {str(error)[:300]}", "unclean"
        ended = error.sqlstate
    if time.monotonic() - began > TIMEOUT + GRACE:
        return f"took {time.monotonic() - began:.0f} s, ended with {ended}", "slow"
    return None, ended


def main():
    row = Row()
    work = SCRATCH / "hostile"
    work.mkdir(parents=True, exist_ok=True)
    (work / "c.toml").write_text(CONFIG)
    log = open(work / "server.log", "w")
    command = [COLONNADE, "serve", "--data", work / "data", "--listen", "127.0.0.1:0", "--auth", "trust", "--config", work / "c.toml"]
    server = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True)
    port = next(re.match(r"listening on .*:(\d+)", line) for line in server.stdout if line.startswith("listening on"))[1]
    url = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        connection.execute("INSERT INTO t SELECT i, 'value ' || i FROM generate_series(1, 20000) AS g(i)")
        connection.execute("CREATE TABLE sink (id bigint, v text)")
        connection.execute("CREATE TABLE small (who int, id int, v text, PRIMARY KEY (who, id))")
    others = Others(url)
    peak, ends, over = [0.0], collections.Counter(), threading.Event()
    current = {}

    def watch():
        while not over.is_set():
            try:
                now = rss_mib(server.pid)
            except (OSError, TypeError):
                return
            if now > peak[0] * 1.1 and now > LIMIT_MIB:
                print(f"{now:.0f} MiB while running:", *(text[:80] for text in current.values()), sep="\n  ", flush=True)
            peak[0] = max(peak[0], now)
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    chosen = queries()
    only = os.environ.get("QUERIES")  # a part of them, by numbers
    if only:
        chosen = [chosen[int(n)] for n in only.split(",")]
    elif TIER == "quick":
        chosen = random.Random(SEED).sample(chosen, 16)
    lock = threading.Lock()

    def client(number):
        order = list(enumerate(chosen))
        random.Random(SEED * 100 + number).shuffle(order)
        share = order if TIER != "quick" and not only else order[: max(1, len(order) // 4)]
        for at, (statement, answer) in share:
            if server.poll() is not None:
                return
            current[number] = statement
            wrong, ended = run_one(url, statement, answer)
            with lock:
                ends[ended] += 1
                row.tried(f"query {at} of client {number}: {statement[:120]}: {wrong}" if wrong else None)
        current.pop(number, None)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    others.stop()
    over.set()
    watcher.join()
    for wrong in others.wrong:
        row.tried(f"another session: {wrong}", tries=1)
    if server.poll() is not None:
        row.tried(f"the server ended with {server.returncode}")
    if peak[0] > LIMIT_MIB * 1.25:
        row.tried(f"the server had {peak[0]:.0f} MiB")
    server.terminate()
    server.wait(60)
    text = (work / "server.log").read_text()
    if "panicked" in text:
        row.tried("a panic: " + text[text.index("panicked") :][:300])
    told = ", ".join(f"{count} {end}" for end, count in ends.most_common(8))
    row.result(f"peak {peak[0]:.0f} MiB of {LIMIT_MIB}; {told}; {others.done} small transactions beside, slowest {others.slowest:.1f} s")


main()
