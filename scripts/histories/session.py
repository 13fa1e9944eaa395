"""One client: runs transactions and writes down what it was told.

    no answer to a COMMIT, or to a statement that is its own transaction    info
    any other error, or ROLLBACK as the answer to COMMIT                    fail
"""

import contextlib
import time

import psycopg

from history import Op, Transaction
from workload import reading, writing

EXPECTED = {"40001", "40P01", "55P03", "23505", "57P01", "57P03"}  # Conflicts, upserts that met, a server that stops.


class Session:
    def __init__(self, recorder, number):
        self.recorder, self.number = recorder, number
        self.level, self.kind, self.fault = recorder.level, recorder.kind, recorder.fault
        self.connection = None

    def connect(self):
        """Waits for a server that is being started again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connection = psycopg.connect(self.recorder.url(), autocommit=True, prepare_threshold=2)
                self.connection.execute(f"set default_transaction_isolation = '{self.level}'")
                self.connection.execute("set statement_timeout = '20s'")
                return
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def run(self, plan):
        """Returns the transaction."""
        if self.connection is None or self.connection.closed:
            self.connect()
        transaction = Transaction(self.number)
        ending = False
        try:
            if plan.autocommit:
                ending = True
                transaction.commit_invoked = time.monotonic()
                self.perform(transaction, plan.steps[0])
                transaction.status, transaction.commit_done = "ok", time.monotonic()
                return transaction
            self.connection.execute(f"begin isolation level {self.fault.level(self.level)}")
            for step in plan.steps:
                self.perform(transaction, step)
                self.fault.between(self)
            wanted, reported = self.fault.ends("rollback" if plan.rolls_back else "commit")
            ending = wanted == "commit"
            transaction.commit_invoked = time.monotonic()
            answer = self.connection.execute(wanted).statusmessage
            transaction.commit_done = time.monotonic()
            if (reported or answer) == "COMMIT":
                transaction.status = "ok"
        except psycopg.Error as error:
            transaction.sqlstate, transaction.message = error.sqlstate or "", str(error).strip()
            lost = self.connection.closed
            if lost or error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
                transaction.status = "info" if ending else "fail"
                transaction.sqlstate = transaction.sqlstate if not lost else "lost"
                self.connection.close()
            else:
                with contextlib.suppress(psycopg.OperationalError):  # The server may go just now.
                    self.connection.execute("rollback")
        return transaction

    def perform(self, transaction, step):
        if step.kind in ("read", "write"):
            getattr(self, step.kind)(transaction, step)
            return
        self.connection.execute({"savepoint": "savepoint s", "undo": "rollback to s", "release": "release s"}[step.kind])
        if step.kind == "undo":
            now = time.monotonic()
            transaction.ops.append(Op("undo", now, now))

    def read(self, transaction, step):
        sql, values = reading(self.kind, step, self.recorder.any_order())
        invoked = time.monotonic()
        rows = [list(row) for row in self.connection.execute(sql, values).fetchall()]
        rows = self.fault.rows(self, transaction, step, rows)
        locked = step.form == "locked"
        op = Op("read", invoked, time.monotonic(), step.where, rows, locked=locked, undone=step.undone)
        if locked and not rows:  # Nothing is locked: a read like others.
            op.locked = False
        transaction.ops.append(op)

    def write(self, transaction, step):
        """An UPDATE that finds no row is a read, and an upsert follows."""
        sql, values = writing(self.kind, step)
        keys = list(range(step.where[1], step.where[-1] + 1))
        op = Op("write", time.monotonic(), float("inf"), keys=keys, value=step.value, undone=step.undone)
        transaction.ops.append(op)
        with self.fault.around_write(self, step):
            cursor = self.connection.execute(sql, values)
        op.done = time.monotonic()
        if step.form == "upsert":
            return
        rows = [list(row) for row in cursor.fetchall()] if cursor.description else [[keys[0], None]] * cursor.rowcount
        op.keys = [key for key, _ in rows]
        read = lambda tells, locked: Op("read", op.invoked, op.done, step.where, rows, tells=tells, locked=locked, undone=step.undone)
        before, after = [], []
        if len(rows) < len(keys):
            before.append(read("absent", False))
        if cursor.description and rows:  # A list comes back with the element; a register's former value is of before the write.
            (after if self.kind == "list" else before).append(read("rows", True))
        transaction.ops[-1:] = [*before, *([op] if rows else []), *after]
        if step.form == "update" and not rows and self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            step.form = "upsert"
            self.write(transaction, step)
