"""Clients that write all the time, and a ledger outside of the server of what was acknowledged, to compare a database with after a crash.

    groups      20 rows with tokens of their own into three tables at once, by INSERT or COPY; some are deleted or changed later
    bank        transfers between accounts: the sum stays
    lists       an element is appended to a list: each acknowledged one is in it once, in the client's order
    tables      created with three rows in one transaction, dropped again
    numbers     bigserial: never given again after it was acknowledged

What was acknowledged is there; what was not is there as a whole or not at all; and the ways to read agree. A group's tokens tell in which cycle
they were written: a cycle looks at its own, and at counts and sums of all.
"""

import collections
import random
import threading
import time

import psycopg

ROWS = 20  # Of a group.
ACCOUNTS, BALANCE = 50, 1000
CYCLE = 10**9  # Tokens of a cycle.
SETUP = f"""
create table bank (id int primary key, balance bigint not null);
insert into bank select g, {BALANCE} from generate_series(1, {ACCOUNTS}) g;
create table t1 (token bigint primary key, owner int, payload text);
create table t2 (token bigint primary key, owner int, payload text);
create table t3 (token bigint, payload text);
create index t1_payload on t1 (payload);
create unique index t2_owner_token on t2 (owner, token);
create table lists (k int primary key, v text not null);
insert into lists select g, '' from generate_series(1, 8) g;
create table numbered (id bigserial primary key, token bigint)
"""
# What a client may be told although nothing is wrong.
EXPECTED = {"40001", "40P01", "55P03", "53100", "53200", "58030"}
SENT, ACKNOWLEDGED = "sent", "acknowledged"


def connect(port):
    return psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres", autocommit=True, connect_timeout=20)


class Ledger:
    def __init__(self, seed, clients=8, ddl=True):
        self.random, self.clients, self.ddl = random.Random(seed), clients, ddl
        self.cycle = 0
        self.lists = {client: [] for client in range(1, clients + 1)}  # (element, status) in order
        self.tables = {}  # name: (state wanted, status)
        self.rows, self.sum = 0, 0  # Of t1, of the cycles before this one.
        self.number = 0  # The last one acknowledged.
        self.operations = collections.Counter()
        self.unexpected = []
        self.begin()

    def begin(self):
        self.cycle += 1
        self.groups = {}  # first token: [kind of the last change, its status, kind before it]

    def setup(self, port):
        with connect(port) as connection:
            for statement in SETUP.split(";\n"):
                connection.execute(statement)

    # Clients.

    def run(self, port, seconds, then, refused="58030"):
        """All clients write for so long, or until most have been refused like that; then `then` is called, which ends the server. Returns
        when all have noticed."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._client, args=(port, client, stop, self.random.random())) for client in range(1, self.clients + 1)]
        for thread in threads:
            thread.start()
        deadline, told = time.monotonic() + seconds, self.operations[refused]
        while time.monotonic() < deadline and self.operations[refused] < told + 3 * self.clients:
            time.sleep(0.01)
        then()
        stop.set()
        for thread in threads:
            thread.join()
        self.operations["cycles"] += 1

    def _client(self, port, client, stop, seed):
        chance, n = random.Random(seed), 0
        try:
            with connect(port) as connection:
                while not stop.is_set():
                    n += 1
                    try:
                        self._act(connection, client, n, chance)
                    except psycopg.Error as error:
                        if connection.closed or error.sqlstate is None:
                            return
                        self.operations[error.sqlstate] += 1
                        if error.sqlstate not in EXPECTED:
                            self.unexpected.append(f"{error.sqlstate}: {error}")
                        connection.execute("rollback")
                        if error.sqlstate in ("58030", "53100") and stop.wait(0.02):
                            return
        except psycopg.Error:
            pass

    def _act(self, connection, client, n, chance):
        kind = chance.choices(["group", "bank", "list", "change", "number", "table"], [8, 5, 4, 3, 2, 1 if self.ddl else 0])[0]
        getattr(self, f"_{kind}")(connection, client, n, chance)
        self.operations[kind] += 1

    def _group(self, connection, client, n, chance):
        first = self.cycle * CYCLE + client * 10**7 + n * 100
        tokens = range(first, first + ROWS)
        values = ", ".join(f"({token}, {client}, 'p{token % 997}')" for token in tokens)
        of_t3 = ", ".join(f"({token}, 'p{token % 997}')" for token in tokens)
        if chance.random() < 0.6:
            self.groups[first] = ["there", SENT, "absent"]
            connection.execute(f"begin; insert into t1 values {values}; insert into t2 values {values}; insert into t3 values {of_t3}; commit")
        else:
            connection.execute(f"begin; insert into t1 values {values}; insert into t2 values {values}")
            with connection.cursor().copy("copy t3 from stdin") as copy:
                for token in tokens:
                    copy.write_row((token, f"p{token % 997}"))
            self.groups[first] = ["there", SENT, "absent"]
            connection.execute("commit")
        self.groups[first][1] = ACKNOWLEDGED
        self.operations["rows"] += 3 * ROWS

    def _change(self, connection, client, n, chance):
        """Deletes a group of this client, or changes and changes back all of it."""
        mine = [f for f, g in list(self.groups.items()) if g[:2] == ["there", ACKNOWLEDGED] and f // 10**7 % 100 == client]
        if not mine:
            return
        first = chance.choice(mine)
        span = f"token between {first} and {first + ROWS - 1}"
        if chance.random() < 0.5:
            connection.execute(f"begin; update t1 set payload = payload || 'x' where {span}; update t1 set payload = rtrim(payload, 'x') where {span}; commit")
        else:
            self.groups[first] = ["absent", SENT, "there"]
            connection.execute(f"begin; delete from t1 where {span}; delete from t3 where {span}; delete from t2 where {span}; commit")
            self.groups[first][1] = ACKNOWLEDGED
        self.operations["rows"] += 3 * ROWS

    def _bank(self, connection, client, n, chance):
        one, other = chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = chance.randint(1, 20)
        one, other, amount = (one, other, amount) if one < other else (other, one, -amount)
        connection.execute(f"begin; update bank set balance = balance - {amount} where id = {one}; update bank set balance = balance + {amount} where id = {other}; commit")
        self.operations["rows"] += 2

    def _list(self, connection, client, n, chance):
        element = f"{self.cycle}.{n}"
        entry = [element, SENT]
        self.lists[client].append(entry)
        connection.execute(f"update lists set v = v || '{element},' where k = {client}")
        entry[1] = ACKNOWLEDGED
        self.operations["rows"] += 1

    def _number(self, connection, client, n, chance):
        number = connection.execute(f"insert into numbered (token) values ({n}) returning id").fetchone()[0]
        self.number = max(self.number, number)
        self.operations["rows"] += 1

    def _table(self, connection, client, n, chance):
        mine = [name for name, table in list(self.tables.items()) if table == ["there", ACKNOWLEDGED] and name.endswith(f"_{client}")]
        if len(mine) > 2:
            self.tables[mine[0]] = ["absent", SENT]
            connection.execute(f"drop table {mine[0]}")
            self.tables[mine[0]][1] = ACKNOWLEDGED
        else:
            name = f"d_{self.cycle}_{n}_{client}"
            self.tables[name] = ["there", SENT]
            connection.execute(f"begin; create table {name} (k int primary key, v text); create index on {name} (v); insert into {name} values (1, 'a'), (2, 'b'), (3, 'c'); commit")
            self.tables[name][1] = ACKNOWLEDGED
        self.operations["rows"] += 3

    # After the crash.

    def verify(self, port):
        """What is wrong with the database, and which of what was in flight is there; begins a new cycle."""
        wrong, self.unexpected = self.unexpected[:3], []
        looks = (self._sums, self._look_at_groups, self._look_at_lists, self._look_at_tables, self._look_at_numbers)
        try:
            with connect(port) as connection:
                for look in looks:
                    wrong += look(connection)
        except psycopg.Error as error:
            wrong.append(f"{error.sqlstate}: {error}")
        self.begin()
        return "; ".join(wrong[:5]) or None

    def _sums(self, connection):
        found = connection.execute("select count(*), sum(balance) from bank").fetchone()
        if found != (ACCOUNTS, ACCOUNTS * BALANCE):
            yield f"the bank has {found}"

    def _look_at_groups(self, connection):
        start = self.cycle * CYCLE
        found = {}
        for table in ("t1", "t2", "t3"):
            counts = collections.Counter(token // 100 * 100 for (token,) in connection.execute(f"select token from {table} where token >= {start}"))
            found[table] = counts
            for first in counts.keys() - self.groups.keys():
                yield f"{table} has rows of group {first}, which was never committed"
        for first, (change, status, before) in self.groups.items():
            have = [found[table][first] for table in found]
            is_there, is_absent = have == [ROWS] * 3, have == [0] * 3
            if not is_there and not is_absent:
                yield f"group {first} is torn: {have}"
            wanted = {change} if status == ACKNOWLEDGED else {change, before}
            if ("there" if is_there else "absent") not in wanted:
                yield f"group {first} should be {change} ({status}) and has {have}"
            if status == SENT:
                self.operations["in flight kept" if (is_there == (change == "there")) else "in flight vanished"] += 1
        here = found["t1"]
        rows, total = self.rows + sum(here.values()), self.sum + sum(ROWS * first + ROWS * (ROWS - 1) // 2 for first, count in here.items() if count == ROWS)
        for table in ("t1", "t2", "t3"):
            counted, added = connection.execute(f"select count(*), coalesce(sum(token), 0) from {table}").fetchone()
            if (counted, added) != (rows, total):
                yield f"{table} has {counted} rows of sum {added}, not {rows} of {total}"
        # By the index, by the key, and by columns.
        sample = f"p{self.random.randrange(997)}"
        by_index = connection.execute(f"select token from t1 where payload = '{sample}' order by token limit 500").fetchall()
        by_column = connection.execute(f"select token from t1 where payload || '' = '{sample}' order by token limit 500").fetchall()
        if by_index != by_column:
            yield f"the index of t1 gives {len(by_index)} rows of {sample}, its columns {len(by_column)}"
        for (token,) in by_column[:3]:
            if connection.execute(f"select payload from t1 where token = {token}").fetchall() != [(sample,)]:
                yield f"by its key {token} is something else"
        if changed := connection.execute("select count(*) from t1 where payload like '%x'").fetchone()[0]:
            yield f"{changed} rows are changed by half"
        if self.cycle % 20 == 0:  # A database of a few MB is enough.
            for table in ("t1", "t2", "t3"):
                # Of all rows in one statement there may be more than the store of recent changes takes.
                while connection.execute(f"delete from {table} where token in (select token from {table} limit 10000)").rowcount:
                    pass
            rows, total = 0, 0
        self.rows, self.sum = rows, total

    def _look_at_lists(self, connection):
        found = dict(connection.execute("select k, v from lists").fetchall())
        for key, entries in self.lists.items():
            have = found[key].split(",")[:-1]
            wanted = [element for element, status in entries if status == ACKNOWLEDGED or element in have]
            if have != wanted:
                yield f"list {key} ends in {have[-3:]}, not {wanted[-3:]}, and has {len(have)} elements, not {len(wanted)}"
            if len(have) > 300:
                connection.execute(f"update lists set v = '' where k = {key}")
                have = []
            self.lists[key] = [[element, ACKNOWLEDGED] for element in have]

    def _look_at_tables(self, connection):
        have = {name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'public' and tablename like 'd\\_%'")}
        for name, (wanted, status) in list(self.tables.items()):
            is_there = name in have
            if status == ACKNOWLEDGED and is_there != (wanted == "there"):
                yield f"table {name} should be {wanted}"
            if is_there and connection.execute(f"select v from {name} order by k").fetchall() != [("a",), ("b",), ("c",)]:
                yield f"table {name} has not its rows"
            if is_there:
                self.tables[name] = ["there", ACKNOWLEDGED]
            else:
                del self.tables[name]
        for name in have - self.tables.keys():
            yield f"table {name} was never created, or was dropped"

    def _look_at_numbers(self, connection):
        number = connection.execute("insert into numbered (token) values (0) returning id").fetchone()[0]
        if number <= self.number:
            yield f"number {number} is given after {self.number} was"
        self.number = number
