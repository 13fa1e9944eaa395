#!/usr/bin/env python3
"""Half-done work against a server, each followed by a look at both tables through both executors. See atomicity.sh.

  scripts/python scripts/checks/atomicity.py URL           makes the tables, does everything
  scripts/python scripts/checks/atomicity.py URL --look    only looks
"""

import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import psycopg
from psycopg import errors

ROWS = 2_000
SEGMENT_ROWS = range(0, ROWS, 2)  # these stay in segments, the others are written again
WATCHED = [0, 1, 2, 3, 998, 999, 1000, ROWS - 1, ROWS, ROWS + 1, 5_000]


def set_up(url):
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("t", "u"):
            connection.execute(f"create table {table} (id bigint primary key, v bigint not null, note varchar(20))")
            rows = ", ".join(f"({i}, 100, 'row {i}')" for i in range(ROWS))
            connection.execute(f"insert into {table} values {rows}")
        connection.execute("create table w (v bigint not null)")  # no key: rows have a hidden one
        connection.execute("insert into w values (1), (2), (3)")
        connection.execute("vacuum")
        connection.execute("update t set v = 100 where id % 2 = 1")
        connection.execute("update u set v = 100 where id % 2 = 1")


def executor(connection, sql):
    return connection.execute("explain " + sql).fetchone()[0]


def look(connection, what):
    """Both tables as they must be for ever, by key and by query."""
    for table in ("t", "u"):
        by_key = f"select v, note from {table} where id = "
        assert executor(connection, by_key + "1") == "Executor: point"
        for key in WATCHED:
            want = (100, f"row {key}") if key < ROWS else None
            found = connection.execute(by_key + str(key)).fetchone()
            assert found == want, f"{what}: {table} {key} by key is {found}, not {want}"
            found = connection.execute(f"select v, note from {table} where id = %s", [key], prepare=True).fetchone()
            assert found == want, f"{what}: {table} {key} by key, prepared, is {found}, not {want}"
        sums = f"select count(*), sum(v), min(v), max(v), sum(id), count(note) from {table}"
        assert executor(connection, sums) == "Executor: analytic"
        want = (ROWS, 100 * ROWS, 100, 100, ROWS * (ROWS - 1) // 2, ROWS)
        found = connection.execute(sums).fetchone()
        assert found == want, f"{what}: {table} is {found}, not {want}"
    # A table without a key has only the one executor.
    found = connection.execute("select count(*), sum(v) from w").fetchone()
    assert found == (3, 6), f"{what}: w is {found}"


WRITES = [
    "insert into t values (2000, 1, 'new'), (2001, 1, 'new')",
    "insert into u select id + 2000, v, note from t where id < 2",
    "insert into w values (10)",
    "update t set v = v + 1 where id = 0",  # in a segment
    "update t set v = v + 1 where id = 1",  # in the delta
    "update u set v = 0 where id % 3 = 0",
    "delete from t where id = 2",
    "delete from t where id = 3",
    "delete from u where id between 990 and 1010",
    "update t set id = 5000 where id = 998",
    "delete from w where v = 2",
]


def write(connection):
    for sql in WRITES:
        connection.execute(sql)
    # Visible to itself, in both executors.
    assert connection.execute("select v from t where id = 0").fetchone() == (101,)
    assert connection.execute("select v from t where id = 2").fetchone() is None
    assert connection.execute("select note from t where id = 5000").fetchone() == ("row 998",)
    assert connection.execute("select count(*) from t where id + 0 in (0, 2, 3, 2000, 5000)").fetchone() == (3,)


def free(url, what):
    """Waits until nobody holds a row: writes every row of both tables as it is."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with psycopg.connect(url) as connection:
                connection.execute("set lock_timeout = '500ms'")
                connection.execute("update t set v = v")
                connection.execute("update u set v = v")
                connection.execute("insert into t values (2000, 1, 'x')")
                connection.rollback()
            return
        except errors.LockNotAvailable:
            assert time.monotonic() < deadline, f"{what}: rows are held by a client that is gone"


def rolled_back(url, other):
    for isolation in ("read committed", "repeatable read"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("begin isolation level " + isolation)
            write(connection)
            look(other, "during a transaction")
            connection.execute("rollback")
            look(connection, "after rollback, for itself")
            look(other, "after rollback")
            connection.execute("begin isolation level " + isolation)
            connection.execute("savepoint s")
            write(connection)
            connection.execute("rollback to s")
            look(connection, "after rollback to savepoint, within the transaction")
            connection.execute("commit")
            look(other, "after rollback to savepoint")


def child(url, how):
    """Another process with a transaction under way; it says so and waits."""
    connection = psycopg.connect(url)
    if how == "copy":
        with connection.cursor().copy("copy t from stdin") as copy:
            for i in range(ROWS, ROWS + 20_000):
                copy.write_row((i, 1, "new"))
            print("ready", flush=True)
            time.sleep(60)
    if how == "pipeline":
        with connection.pipeline() as pipeline:
            for sql in WRITES:
                connection.execute(sql)
            connection.pgconn.send_flush_request()
            connection.pgconn.flush()
            print("ready", flush=True)
            time.sleep(60)
    write(connection)
    if how == "half a message":
        os.write(connection.pgconn.socket, b"Q\x00\x00\x10\x00update t set v = 0")
    print("ready", flush=True)
    if how == "closed":
        sys.stdin.readline()
        os.close(connection.pgconn.socket)
    time.sleep(60)


def vanished(url, other):
    for how in ("killed", "closed", "half a message", "copy", "pipeline"):
        process = subprocess.Popen(
            [sys.executable, __file__, url, "--child", how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n", how
        look(other, f"before a client vanishes ({how})")
        if how == "closed":
            process.stdin.write("now\n")
            process.stdin.flush()
            free(url, how)
        process.send_signal(signal.SIGKILL)
        process.wait()
        free(url, how)
        look(other, f"after a client vanished ({how})")


FAILING = [
    # Rows before the one that fails, through each way a statement can run.
    ("insert into t values (2000, 1, 'a'), (2001, 1, 'b'), (999, 1, 'again')", errors.UniqueViolation),
    ("insert into t values (2000, 1, 'a'), (2000, 1, 'b')", errors.UniqueViolation),
    ("insert into t values (2000, 1, 'a'), (2001, null, 'b')", errors.NotNullViolation),
    ("insert into t values (2000, 1, 'a'), (2001, 1, 'a text that is longer than twenty')", errors.StringDataRightTruncation),
    ("insert into t select id + 1001, 1, note from u order by id desc", errors.UniqueViolation),
    ("insert into t select id + 2000, 100 / (id - 1500), note from u", errors.DivisionByZero),
    ("insert into w select 100 / (id - 1500) from u", errors.DivisionByZero),
    ("update t set v = 100 / (id - 1500)", errors.DivisionByZero),
    ("update t set v = 9223372036854775807 - 1500 + id", errors.NumericValueOutOfRange),
    ("update t set note = note || ' and more and more'", errors.StringDataRightTruncation),
    ("update t set v = v + 9223372036854775807 where id = 1", errors.NumericValueOutOfRange),
    ("update t set id = id + 1 where id between 0 and 998", errors.UniqueViolation),
    ("update t set v = null where id = 2", errors.NotNullViolation),
    ("delete from t where 10 / (id - 1500) < 1000", errors.DivisionByZero),
]


def half_failed(url, other):
    with psycopg.connect(url, autocommit=True) as connection:
        for sql, error in FAILING:
            fails(connection, sql, error)
            look(connection, f"after {sql!r}, for itself")
            # Within a transaction, to a savepoint, and the rest is kept.
            connection.execute("begin")
            connection.execute("update u set note = 'changed' where id = 77")
            connection.execute("savepoint s")
            fails(connection, sql, error)
            try:
                connection.execute("select 1")
                raise AssertionError("an aborted transaction answered")
            except errors.InFailedSqlTransaction:
                pass
            connection.execute("rollback to s")
            look(connection, f"after {sql!r} and rollback to savepoint")
            connection.execute("commit")
            assert connection.execute("select note from u where id = 77").fetchone() == ("changed",)
            connection.execute("update u set note = 'row 77' where id = 77")
            # Within a transaction that then says COMMIT.
            connection.execute("begin")
            connection.execute("update u set note = 'lost' where id = 77")
            fails(connection, sql, error)
            assert connection.execute("commit").statusmessage == "ROLLBACK"
            assert connection.execute("select note from u where id = 77").fetchone() == ("row 77",)
            look(other, f"after {sql!r}")
        # Several statements in one message are one transaction.
        fails(connection, "update t set v = 1 where id = 0; delete from u; insert into t values (1, 1, 'again')", errors.UniqueViolation)
        look(other, "after a message whose last statement failed")
        # So is a pipeline up to its Sync.
        try:
            with connection.pipeline():
                connection.execute("update t set v = 1 where id = 0")
                connection.execute("delete from u where id = 999")
                connection.execute("insert into t values (1, 1, 'again')")
        except errors.UniqueViolation:
            pass
        look(other, "after a pipeline whose last statement failed")
        for bad, error in (("1999\t1\tagain\n", errors.UniqueViolation), ("x\t1\tbad\n", errors.InvalidTextRepresentation)):
            try:
                with connection.cursor().copy("copy t from stdin") as copy:
                    for i in range(ROWS, ROWS + 50_000):
                        copy.write(f"{i}\t1\tnew\n")
                    copy.write(bad)
                raise AssertionError("COPY of a bad row did not fail")
            except error:
                pass
            look(other, "after a COPY whose last row failed")


def contended(url, seconds=3):
    """Who has waited for a row sees the whole of the commit that it waited for, also if that wrote the row twice."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table hot (id int primary key, v bigint not null, n int not null)")
        connection.execute("insert into hot values (1, 1000, 0), (2, 1000, 0)")
    end = time.monotonic() + seconds

    def client(number):
        looks = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while time.monotonic() < end:
                with connection.transaction():
                    connection.execute("update hot set n = n + 1 where id = 1")
                    connection.execute("update hot set v = v - %s where id = 1", [number])
                    connection.execute("update hot set v = v + %s where id = 2", [number])
                with connection.transaction(force_rollback=True):
                    connection.execute("update hot set n = n + 1 where id = 1")
                    found = connection.execute("select id, v from hot order by id").fetchall()
                    assert sum(v for _, v in found) == 2000, f"half of a commit is seen: {found}"
                looks += 1
        return looks

    with concurrent.futures.ThreadPoolExecutor() as pool:
        looks = sum(pool.map(client, range(1, 9)))
    with psycopg.connect(url) as connection:
        found = connection.execute("select sum(v), max(n) from hot").fetchone()
        assert found == (2000, looks), f"{found} after {looks} commits"
        connection.execute("drop table hot")
    return looks


def fails(connection, sql, error):
    try:
        connection.execute(sql)
    except error:
        return
    raise AssertionError(f"{sql!r} did not fail")


def main():
    url = sys.argv[1]
    if sys.argv[2:3] == ["--child"]:
        return child(url, sys.argv[3])
    if sys.argv[2:] != ["--look"]:
        set_up(url)
    with psycopg.connect(url, autocommit=True) as other:
        look(other, "at first")
        if sys.argv[2:] == ["--look"]:
            return
        rolled_back(url, other)
        print("rolled back: nothing visible")
        vanished(url, other)
        print("vanished: nothing visible")
        half_failed(url, other)
        print(f"{contended(url)} commits to the same rows: each seen whole")
        print(f"failed half-way: nothing visible, {len(FAILING)} statements, messages, pipelines, COPY")


if __name__ == "__main__":
    main()
