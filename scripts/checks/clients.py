#!/usr/bin/env python3
"""Runs the same programs of four Python drivers against the server and against PostgreSQL 15, and compares every line they print.

    scripts/python scripts/checks/clients.py PORT [DRIVER...]

PORT is that of a server on 127.0.0.1 that trusts user postgres and has an empty database. PostgreSQL 15 is started here (see
scripts/oracle/postgres15.py). Exits with 1 if anything differs.
"""

import asyncio
import datetime
import decimal
import difflib
import io
import pathlib
import sys
import threading
import traceback
import uuid
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))

import asyncpg
import pg8000.native
import postgres15
import psycopg
import psycopg2
from psycopg import pq
from psycopg.types import TypeInfo

UTC = datetime.timezone.utc
ZONE = datetime.timezone(datetime.timedelta(hours=-5))
# Type, values as Python has them. Every type the server has, with what is awkward about it.
VALUES = [
    ("boolean", [True, False]),
    ("smallint", [0, -32768, 32767]),
    ("integer", [0, -2147483648, 2147483647]),
    ("bigint", [0, -(2**63), 2**63 - 1]),
    ("real", [0.0, 1.5, -3.25e10, float("inf")]),
    ("double precision", [0.0, 0.1, -1e300, 5e-324, float("-inf")]),
    ("numeric(12,3)", [decimal.Decimal("0.000"), decimal.Decimal("-123456789.125")]),
    ("numeric(38,10)", [decimal.Decimal("9999999999999999999999.0123456789"), decimal.Decimal("1E-10")]),
    ("text", ["", "plain", "säule ✓ 𝄞", "quote ' backslash \\ tab \t line \n", "x" * 100_000]),
    ("varchar(10)", ["", "ten chars."]),
    ("char(5)", ["", "ab"]),
    ("bytea", [b"", b"\x00\xff'\\", bytes(range(256)) * 50]),
    ("date", [datetime.date(1, 1, 1), datetime.date(1999, 12, 31), datetime.date(9999, 12, 31)]),
    ("time", [datetime.time(0), datetime.time(23, 59, 59, 999999)]),
    ("timestamp", [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)]),
    ("timestamptz", [datetime.datetime(2000, 1, 1, tzinfo=UTC), datetime.datetime(2024, 7, 1, 8, 0, 0, 1, tzinfo=ZONE)]),
    ("interval", [datetime.timedelta(0), datetime.timedelta(days=-3, hours=5, microseconds=7)]),
    ("uuid", [uuid.UUID(int=0), uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
]
COLUMNS = ", ".join(f"c{i} {kind}" for i, (kind, _) in enumerate(VALUES))


def rows():
    """Rows with every value of VALUES, and one of NULLs."""
    for n in range(max(len(values) for _, values in VALUES)):
        yield [n, *(values[n % len(values)] for _, values in VALUES)]
    yield [99, *(None for _ in VALUES)]


def short(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) < 2000 else f"{text[:100]}...{len(text)}...{zlib.crc32(text.encode()):08x}"


class Lines:
    """What a program prints, in place of sys.stdout: two programs run in one process."""

    def __init__(self):
        self.lines = []

    def say(self, *values):
        self.lines.append(" ".join(map(short, values)))

    def error(self, what, error):
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state is None and error.args and isinstance(error.args[0], dict):
            state, message = error.args[0]["C"], error.args[0]["M"]
        else:
            message = str(error).splitlines()[0]
        self.say(what, type(error).__name__, state, message)

    def fails(self, what, call, *arguments):
        try:
            result = call(*arguments)
        except Exception as error:
            self.error(what, error)
        else:
            self.say(what, "did not fail", result)


def run_psycopg(port, out):
    def connect(**options):
        return psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres", **options)

    with connect(autocommit=True) as conn:
        out.say("status", conn.info.transaction_status.name, conn.info.encoding, conn.info.parameter_status("DateStyle"))
        out.say("version 15", conn.info.server_version // 10000)
        for name in ("text", "regclass", "name", "nothing"):
            out.say("type", name, TypeInfo.fetch(conn, name))
        for binary in (False, True):
            cur = conn.cursor(binary=binary)
            cur.execute("select oid, relname, relkind, oid::regclass, array[relname], array[oid], reltuples >= -1, reloptions "
                        "from pg_class where relname = 'pg_class'")
            out.say("catalog", binary, cur.fetchall(), [(c.name, c.type_code, c.internal_size) for c in cur.description])
        out.say("catalog", conn.execute("select relname from pg_class where oid = %s and relname = any(%s)",
                                        [1259, ["pg_class", "x"]]).fetchall())
        conn.execute(f"create table p3 (id integer primary key, {COLUMNS})")
        for binary in (False, True):
            with conn.cursor(binary=binary) as cur:
                for kind, values in VALUES:
                    for value in [*values, None]:
                        placeholder = "%b" if binary else "%t"
                        try:
                            cur.execute(f"select {placeholder}::{kind} as v", [value])
                            column = cur.description[0]
                            out.say(kind, binary, cur.fetchone()[0], column.type_code, column.precision, column.scale)
                        except psycopg.Error as error:
                            out.error(f"{kind} {binary}", error)
        marks = ", ".join(["%s"] * (len(VALUES) + 1))
        with conn.cursor() as cur:
            cur.executemany(f"insert into p3 values ({marks})", list(rows()))
            out.say("executemany", cur.rowcount)
            for binary in (False, True):
                cur = conn.cursor(binary=binary)
                for row in cur.execute("select * from p3 order by id"):
                    out.say("row", row)
                out.say("columns", [(c.name, c.type_code, c.internal_size, c.precision, c.scale) for c in cur.description])
        # Lists.
        for binary in (False, True):
            cur = conn.cursor(binary=binary)
            for at, (kind, values) in enumerate(VALUES):
                for test in ("= any", "<> all"):
                    for array in (values[:1], [*values, None], []):
                        out.say(kind, test, cur.execute(f"select id from p3 where c{at} {test}(%s::{kind}[]) order by id", [array]).fetchall())
            out.say("list", cur.execute("update p3 set c2 = c2 where id = any(%s) and c0 = any(%s) returning id", [[0, 1, 7], [True]]).fetchall())
            out.say("list", cur.execute("insert into p3 (id) select id + 500 from p3 where id = any(%s) returning id", [[binary + 0]]).fetchall())
            out.say("list", cur.execute("delete from p3 where id = any(%s)", [[500, 501]]).rowcount)
            out.say("list", cur.execute("select id = any(%s) from p3 where id = 0", [[1, None]]).fetchall())
            out.fails("list", cur.execute, "select id from p3 where c2 = any(%s::integer[])", ["{1,x}"])
        # Statements prepared by the driver, and what DEALLOCATE does to them.
        conn.prepare_threshold, conn.prepared_max = 0, 2
        for n in range(6):
            out.say("prepared", conn.execute(f"select %s::integer + {n} as a", [n]).fetchone())
        conn.execute("deallocate all")
        out.say("after deallocate", conn.execute("select %s::integer as a", [1]).fetchone())
        conn.prepare_threshold = 5
        # Transactions.
        conn.autocommit = False
        conn.execute("insert into p3 (id) values (1000)")
        out.say("status", conn.info.transaction_status.name)
        out.fails("duplicate", conn.execute, "insert into p3 (id) values (1000)")
        out.say("status", conn.info.transaction_status.name)
        out.fails("aborted", conn.execute, "select 1")
        conn.rollback()
        with conn.transaction():
            conn.execute("insert into p3 (id) values (1001)")
            try:
                with conn.transaction():
                    conn.execute("insert into p3 (id) values (1002)")
                    raise psycopg.Rollback()
            except psycopg.Rollback:
                pass
        conn.commit()
        out.say("savepoint", conn.execute("select id from p3 where id >= 1000 order by id").fetchall())
        conn.commit()
        conn.autocommit = True
        # Pipelines.
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("select %s::text as a", [f"p{n}"]) for n in range(50)]
            pipeline.sync()
            out.say("pipeline", [cur.fetchone()[0] for cur in cursors])
        out.fails("pipeline error", failing_pipeline, conn)
        out.say("pipeline undone", conn.execute("select count(*) from p3 where id in (2000, 2001)").fetchone())
        # Row by row, and in pages.
        with conn.cursor() as cur:
            out.say("stream", sum(row[0] for row in cur.stream("select id from p3 where id < 100")))
        with conn.transaction():
            for binary in (False, True):
                with conn.cursor(f"named {binary}", binary=binary) as cur:
                    cur.execute("select id, c6, c8 from p3 where id < %s order by id", [99])
                    out.say("named", [(c.name, c.type_code) for c in cur.description], cur.fetchone(), cur.rownumber)
                    cur.scroll(1)
                    out.say("named", cur.fetchmany(2), cur.fetchall(), cur.fetchone())
            pages = conn.cursor("pages", scrollable=False)
            pages.itersize = 7
            out.say("pages", sum(row[0] for row in pages.execute("select x from generate_series(1, 10000) as g (x)")))
            out.fails("back", pages.scroll, -2)
        out.fails("named", conn.cursor("outside").execute, "select 1")
        with conn.transaction():
            for statement in ("declare a no scroll cursor for select x from generate_series(1, 5) as g (x)", "fetch 2 from a", "move a",
                              "fetch all a", "move 0 in a", "fetch forward 3 a", "move all in a",
                              "declare b binary cursor for select 7 as seven, text 'x'", "close a", "close all"):
                cur = conn.execute(statement)
                out.say("cursor", statement, cur.statusmessage, cur.fetchall() if cur.description else None)
        for statement in ("fetch a", "move a", "close a", "declare a cursor for select 1; declare a cursor for select 1",
                          "declare a no scroll cursor for select x from generate_series(1, 5) as g (x); fetch 2 a; fetch backward 1 a",
                          "declare a no scroll cursor for select x from generate_series(1, 5) as g (x); fetch 2 a; fetch 0 a",
                          "declare a no scroll cursor for select x from generate_series(1, 5) as g (x); fetch 2 a; move first in a"):
            out.fails("cursor", conn.execute, f"begin; {statement}")
            conn.execute("rollback")
        # Waiting.
        out.say("sleep", conn.execute("select pg_sleep(0.05)").fetchall(), conn.execute("select pg_sleep(null)").fetchall())
        for statement in ("select pg_sleep(30)", "select count(*) from generate_series(1, 1000000000000)"):
            out.fails("timeout", conn.execute, f"set statement_timeout = 200; {statement}")
        conn.execute("reset statement_timeout")
        # COPY.
        with conn.cursor() as cur:
            with cur.copy("copy p3 (id, c8, c6) from stdin") as copy:
                for n in range(3000, 3050):
                    copy.write_row((n, f"copied\t{n}\\", None if n % 2 else decimal.Decimal(n) / 8))
            out.say("copy in", cur.rowcount, cur.statusmessage)
            with cur.copy("copy (select id, c8, c6 from p3 where id >= 3000 order by id) to stdout") as copy:
                copy.set_types(["int4", "text", "numeric"])
                out.say("copy out", list(copy.rows())[:3])
            with cur.copy("copy (select id, c8, c6 from p3 where id >= 3000 order by id) to stdout (format binary)") as copy:
                copy.set_types(["int4", "text", "numeric"])
                out.say("copy out binary", list(copy.rows())[-2:])
            with cur.copy("copy p3 (id, c8) from stdin (format binary)") as copy:
                copy.set_types(["int4", "text"])
                copy.write_row((3100, "binary"))
            out.fails("copy error", bad_copy, conn)
            with cur.copy("copy p3 (id, c8) from stdin (format csv, header)") as copy:
                copy.write('id,c8\n3200,"a ""quoted""\nvalue"\n')
            out.say("copy csv", cur.execute("select c8 from p3 where id >= 3100 order by id").fetchall())
        # Cancel.
        timer = threading.Timer(0.5, conn.cancel_safe)
        timer.start()
        out.fails("cancel", conn.execute, "select count(*) from generate_series(1, 1000000) as a (x), generate_series(1, 1000000) as b (y)")
        timer.join()
        out.say("after cancel", conn.execute("select 1 as a").fetchone())
        # Notices, tags, several statements.
        conn.add_notice_handler(lambda diagnostic: out.say("notice", diagnostic.severity, diagnostic.sqlstate, diagnostic.message_primary))
        conn.execute("drop table if exists no_such_table")
        for statement in ("create table tags (a integer)", "insert into tags values (1), (2)", "update tags set a = 3",
                          "delete from tags where a = 4", "select * from tags", "truncate tags", "drop table tags", "set timezone = 'UTC'"):
            out.say("tag", conn.execute(statement).statusmessage)
        cur = conn.execute("select 1 as a; select 2 as b, 3 as c")
        out.say("first", cur.fetchall(), cur.nextset(), cur.fetchall(), cur.nextset())
        # Errors with all their fields.
        for statement in ("select * from missing", "selec", "select 1/0", "insert into p3 (id) values (1)",
                          "select missing from p3", "insert into p3 (id, c9) values (5000, 'longer than ten')", "insert into p3 (id) values (null)",
                          "create table p3 (a integer)"):
            try:
                conn.execute(statement)
            except psycopg.Error as error:
                d = error.diag
                out.say("diag", statement, d.sqlstate, d.severity_nonlocalized, d.message_primary, d.message_detail, d.statement_position,
                        d.schema_name, d.table_name, d.column_name, d.constraint_name)
        conn.execute("set timezone = 'America/New_York'")
        out.say("zone", conn.info.timezone.key, conn.execute("select timestamptz '2024-07-01 12:00:00+00' as t").fetchone()[0].isoformat())
        conn.execute("drop table p3")
    out.fails("no database", psycopg.connect, f"host=127.0.0.1 port={port} user=postgres dbname=missing")
    with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres options='-c timezone=Europe/Berlin'") as conn:
        out.say("options", conn.execute("show timezone").fetchone())
        out.say("libpq status", pq.ConnStatus(conn.pgconn.status).name, conn.pgconn.parameter_status(b"TimeZone"))


def failing_pipeline(conn):
    with conn.pipeline():
        conn.execute("insert into p3 (id) values (2000)")
        conn.execute("insert into p3 (id) values (1)")
        conn.execute("insert into p3 (id) values (2001)")


def bad_copy(conn):
    with conn.cursor().copy("copy p3 (id, c8) from stdin") as copy:
        copy.write("4000\tgood\nbad\tbad\n")


def run_psycopg2(port, out):
    conn = psycopg2.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres")
    conn.autocommit = True
    cur = conn.cursor()
    out.say("encoding", conn.encoding, conn.server_version // 10000)
    cur.execute(f"create table p2 (id integer primary key, {COLUMNS})")
    marks = ", ".join(["%s"] * (len(VALUES) + 1))
    for row in rows():
        cur.execute(f"insert into p2 values ({marks})", [str(v) if isinstance(v, uuid.UUID) else v for v in row])
    cur.execute("select * from p2 order by id")
    for row in cur.fetchall():
        out.say("row", [bytes(v) if isinstance(v, memoryview) else v for v in row])
    out.say("columns", [(c.name, c.type_code, c.internal_size, c.precision, c.scale) for c in cur.description])
    target = io.StringIO()
    cur.copy_expert("copy (select id, c2, c8 from p2 where id < 2 order by id) to stdout with csv header", target)
    out.say("copy out", target.getvalue())
    cur.copy_expert("copy p2 (id, c8) from stdin", io.StringIO("100\ta\n101\t\\N\n"))
    out.say("copy in", cur.rowcount)
    cur.execute("update p2 set c2 = c2 + 1 where id >= 100 or id = 0")
    out.say("update", cur.rowcount, cur.statusmessage)
    cur.execute("insert into p2 (id) values (200) returning id, c8")
    out.say("returning", cur.fetchall())
    cur.execute("select id from p2 where id = any(%s) and c8 = any(%s) order by id", [[0, 1, 200], ["", "plain"]])
    out.say("list", cur.fetchall())
    conn.autocommit = False
    named = conn.cursor("named")
    named.itersize = 3
    named.execute("select id, c8 from p2 where id < 99 order by id")
    out.say("named", named.fetchone(), named.fetchmany(2))
    named.scroll(1)
    out.say("named", list(named), named.description[0].name)
    named.close()
    out.fails("hold", conn.cursor("n", scrollable=False).scroll, -1)
    conn.rollback()
    for statement in ("select 1/0", "select 1"):
        try:
            cur.execute(statement)
        except psycopg2.Error as error:
            out.error(statement, error)
    conn.rollback()
    cur.execute("drop table p2")
    conn.commit()
    conn.close()


def run_asyncpg(port, out):
    asyncio.run(asyncpg_program(port, out))


async def asyncpg_program(port, out):
    conn = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database="postgres")
    try:
        await asyncpg_steps(conn, out)
    finally:
        await conn.close()


async def asyncpg_steps(conn, out):
    out.say("version", conn.get_server_version().major, conn.get_settings().client_encoding)
    out.say("catalog", await conn.fetch("select oid, relname, relkind, oid::regclass, array[relname], reloptions from pg_class "
                                        "where relname = 'pg_class'"))
    out.say("catalog", await conn.fetch("select typname from pg_type where oid = any($1) order by 1", [16, 23]))
    out.say("catalog", await conn.fetch("select typname from pg_type where oid = $1 or typname = $2 order by 1", 16, "text"))
    out.say("catalog", await conn.fetchval("select $1::regclass::text", "pg_class"))
    out.say("catalog", await conn.fetchval("select client_addr from pg_stat_activity where pid = pg_backend_pid()"))
    await conn.execute(f"create table ap (id integer primary key, {COLUMNS})")
    for kind, values in VALUES:
        for value in [*values, None]:
            out.say(kind, await conn.fetchval(f"select $1::{kind} as v", value))
    marks = ", ".join(f"${n + 1}" for n in range(len(VALUES) + 1))
    await conn.executemany(f"insert into ap values ({marks})", list(rows()))
    statement = await conn.prepare("select * from ap where id = $1")
    out.say("attributes", [(a.name, a.type.name, a.type.oid) for a in statement.get_attributes()])
    out.say("parameters", [(p.name, p.oid) for p in statement.get_parameters()])
    for n in (0, 99, 12345):
        row = await statement.fetchrow(n)
        out.say("row", None if row is None else tuple(row))
    out.say("status", statement.get_statusmsg())
    for at, (kind, values) in enumerate(VALUES):
        for test in ("= any", "<> all"):
            out.say(kind, test, [r[0] for r in await conn.fetch(f"select id from ap where c{at} {test}($1) order by id", values[:1])])
    out.say("list", await conn.fetch("delete from ap where id = any($1) and c2 = any($2::integer[]) returning id", [0, 77], [5]))
    out.say("list", await conn.fetch("with d as (update ap set c2 = c2 where id = any($1) returning id) select id from d where id = any($2)", [1, 2], [2]))
    merge = "merge into ap using (select id from ap where id = any($1)) s on ap.id = s.id when matched and s.id = any($2) then update set c2 = c2"
    out.say("list", await conn.execute(merge, [1, 2], [2]))
    upsert = "insert into ap (id) values (1) on conflict (id) do update set c2 = ap.c2 where ap.id = any($1) returning id = any($2)"
    out.say("list", await conn.fetch(upsert, [1], [7]))
    out.say("list", len(await conn.fetch("explain select id from ap where id = any($1)", [1])) > 0)
    async with conn.transaction():
        await conn.executemany("insert into ap (id, c8) values ($1, $2)", [(n, f"many {n}") for n in range(1000, 1500)])
        cursor = await conn.cursor("select id from ap where id >= 1000 order by id")
        out.say("cursor", [r[0] for r in await cursor.fetch(3)], [r[0] for r in await cursor.fetch(2)])
        out.say("pages", sum([r[0] async for r in conn.cursor("select id from ap where id >= 1000", prefetch=7)]))
    try:
        async with conn.transaction():
            await conn.execute("insert into ap (id) values (2000)")
            await conn.execute("insert into ap (id) values (2000)")
    except asyncpg.PostgresError as error:
        out.say("duplicate", type(error).__name__, error.sqlstate, error.detail, error.constraint_name)
    async with conn.transaction(isolation="repeatable_read"):
        out.say("isolation", await conn.fetchval("show transaction_isolation"))
    try:
        await conn.executemany("insert into ap (id) values ($1)", [(2001,), (2002,), (2001,)])
    except asyncpg.PostgresError as error:
        out.say("executemany", error.sqlstate)
    out.say("undone", await conn.fetchval("select count(*) from ap where id >= 2000"))
    columns = ["id", "c8", "c6", "c15", "c17"]
    when = datetime.datetime(2024, 1, 1, tzinfo=UTC)
    records = [(3000 + n, f"copied {n}", decimal.Decimal(n) / 8, when, uuid.UUID(int=n)) for n in range(500)]
    out.say("copy in", await conn.copy_records_to_table("ap", records=records, columns=columns))
    target = io.BytesIO()
    out.say("copy out", await conn.copy_from_query("select id, c8, c6 from ap where id between 3000 and 3002 order by id", output=target), target.getvalue())
    try:
        await conn.execute("select count(*) from generate_series(1, 1000000) as a (x), generate_series(1, 1000000) as b (y)", timeout=0.5)
    except asyncio.TimeoutError:
        out.say("timeout")
    out.say("after timeout", await conn.fetchval("select 1 as a"))
    await conn.execute("drop table ap")


def run_pg8000(port, out):
    conn = pg8000.native.Connection("postgres", host="127.0.0.1", port=port, database="postgres")
    conn.run(f"create table p8 (id integer primary key, {COLUMNS})")
    for kind, values in VALUES:
        for value in [*values, None]:
            try:
                out.say(kind, conn.run(f"select cast(:v as {kind}) as v", v=value))
            except pg8000.native.DatabaseError as error:
                out.error(kind, error)
    names = ", ".join(f":v{n}" for n in range(len(VALUES) + 1))
    for row in rows():
        conn.run(f"insert into p8 values ({names})", **{f"v{n}": v for n, v in enumerate(row)})
    for row in conn.run("select * from p8 order by id"):
        out.say("row", row)
    out.say("columns", [(c["name"], c["type_oid"], c["type_size"], c["type_modifier"]) for c in conn.columns])
    out.say("list", conn.run("select id from p8 where id = any(:v) order by id", v=[0, 99, 5]))
    out.say("list", conn.run("select id from p8 where c8 = any(:v) order by id", v=["plain", "x"]))
    statement = conn.prepare("select id + :n as next from p8 where id < 2 order by id")
    out.say("prepared", statement.run(n=5), statement.run(n=6))
    statement.close()
    conn.run("start transaction")
    for text in ("select 1/0", "select 1"):
        out.fails(text, conn.run, text)
    conn.run("rollback")
    target = io.BytesIO()
    conn.run("copy (select id, c8 from p8 where id < 3 order by id) to stdout", stream=target)
    out.say("copy out", target.getvalue())
    conn.run("copy p8 (id, c8) from stdin", stream=io.BytesIO(b"100\ta\n101\tb\n"))
    out.say("copy in", conn.row_count)
    conn.run("drop table p8")
    conn.close()


DRIVERS = {"psycopg": run_psycopg, "psycopg2": run_psycopg2, "asyncpg": run_asyncpg, "pg8000": run_pg8000}


def lines_of(program, port):
    out = Lines()
    try:
        program(port, out)
        out.lines = [line.replace(f"port {port}", "port") for line in out.lines]
    except Exception:
        out.say("ended with", traceback.format_exc())
    return out.lines


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    port, chosen = int(sys.argv[1]), sys.argv[2:] or list(DRIVERS)
    different = False
    with postgres15.running() as reference:
        for name in chosen:
            expected, actual = lines_of(DRIVERS[name], reference), lines_of(DRIVERS[name], port)
            assert not any(line.startswith("ended with") for line in expected), "\n".join(expected)
            difference = list(difflib.unified_diff(expected, actual, "PostgreSQL 15", "Colonnade", n=0, lineterm=""))
            print(f"{name}: {len(expected)} lines, {'different' if difference else 'the same'}")
            print("\n".join(difference), end="\n" if difference else "")
            different |= bool(difference)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
