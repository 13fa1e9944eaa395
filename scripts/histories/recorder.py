"""Records a history: sessions with random transactions, and beside them merges, DDL and kills of the server; at last a look at everything.

The last look is three: a scan, every key by itself, and after a VACUUM and (if the server may be killed) one more kill a scan again.
"""

import dataclasses
import random
import threading
import time

import psycopg

from faults import Fault
from history import FINAL, History
from session import EXPECTED, Session
from workload import TABLES, Plan, Step, Workload

ORDERS = ("", "order by k", "order by k desc")


@dataclasses.dataclass
class Wish:
    kind: str
    level: str
    seed: int
    transactions: int = 5000
    sessions: int = 10
    merges: bool = False
    ddl: bool = False
    kills: int = 0

    def text(self):
        beside = [name for name in ("merges", "ddl") if getattr(self, name)] + ([f"{self.kills} kills"] if self.kills else [])
        return f"{self.kind}, {self.level}, seed {self.seed}: {self.transactions} transactions of {self.sessions} sessions, {', '.join(beside) or 'alone'}"


class Recorder:
    def __init__(self, server, wish, fault=None):
        self.server, self.wish, self.fault = server, wish, fault or Fault()
        self.kind, self.level = wish.kind, wish.level
        self.random = random.Random(wish.seed)
        self.lock, self.found, self.errors = threading.Lock(), [], []
        self.started, self.ended = 0, threading.Event()

    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.server.port}/postgres"

    def any_order(self):
        with self.lock:
            return self.random.choice(ORDERS)

    def record(self):
        self.prepare()
        threads = [threading.Thread(target=self.guarded, args=(self.session, number)) for number in range(self.wish.sessions)]
        beside = [threading.Thread(target=self.guarded, args=(work,)) for work in self.background()]
        for thread in threads + beside:
            thread.start()
        for thread in threads:
            thread.join()
        self.ended.set()
        for thread in beside:
            thread.join()
        if self.errors:
            raise self.errors[0]
        self.last_look()
        self.found.sort(key=lambda transaction: transaction.ops[0].invoked if transaction.ops else 0)
        return History(self.kind, self.level, self.found, self.wish.text())

    def prepare(self):
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"drop table if exists {self.kind}s")
            connection.execute(TABLES[self.kind])
            self.workload = Workload(self.kind, self.wish.seed, takes(connection, f"select 1 from {self.kind}s for update"))

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:
            self.errors.append(error)

    def session(self, number):
        session = Session(self, number)
        while not self.errors:
            with self.lock:
                if self.started >= self.wish.transactions:
                    return
                self.started += 1
                plan = self.workload.plan()
            transaction = session.run(plan)
            with self.lock:
                self.found.append(transaction)

    def background(self):
        if self.wish.merges:
            yield self.merge
        if self.wish.ddl:
            yield self.define
        if self.wish.kills:
            yield self.kill

    def repeat(self, statements, pause):
        """Errors of a server that goes away, and of locks, are as they may be."""
        session = Session(self, FINAL)
        turn = 0
        while not self.ended.wait(pause):
            try:
                if session.connection is None or session.connection.closed:
                    session.connect()
                session.connection.execute(statements[turn % len(statements)])
            except psycopg.Error as error:
                if not session.connection.closed and error.sqlstate not in EXPECTED | {"42701", "42703", "42704", "42P07"}:
                    raise
            turn += 1

    def merge(self):
        self.repeat([f"vacuum {self.kind}s", f"vacuum {self.kind}s", "checkpoint"], 0.05)

    def define(self):
        table = f"{self.kind}s"
        statements = [
            f"create index {table}_g on {table} (g, k)",
            f"alter table {table} add column extra int default 7",
            f"drop index {table}_g",
            f"create unique index {table}_k on {table} (k, g)",
            f"alter table {table} drop column extra",
            f"drop index {table}_k",
        ]
        self.repeat(statements, 0.15)

    def kill(self):
        """Evenly over the transactions, each a random moment later."""
        for number in range(1, self.wish.kills + 1):
            while self.started < number * self.wish.transactions / (self.wish.kills + 1):
                if self.ended.wait(0.01):
                    return
            time.sleep(random.Random(self.wish.seed * 1000 + number).random() * 0.2)
            self.server.kill_and_start()

    def last_look(self):
        session = Session(self, FINAL)
        session.connect()
        self.fault.before_the_last_look(session.connection)
        scan = Plan([Step("read", "all", ("all",))])
        self.found.append(session.run(scan))
        self.found.append(session.run(Plan([Step("read", "key", ("key", key)) for key in range(self.workload.next_key)])))
        session.connection.execute(f"vacuum {self.kind}s")
        if self.wish.kills:
            session.connection.close()
            self.server.kill_and_start()
        self.found.append(session.run(scan))
        session.connection.close()
        if bad := [transaction.message for transaction in self.found[-3:] if transaction.status != "ok"]:
            raise RuntimeError(f"the last look failed: {bad}")


def takes(connection, sql):
    """Whether the server knows a statement."""
    try:
        connection.execute(sql)
        return True
    except psycopg.errors.FeatureNotSupported:
        return False
