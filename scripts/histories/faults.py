"""Isolation bugs on purpose: each changes what one client does or is told, so that the checker can be seen to find it.

A fault acts with a small probability at each occasion; `Fault` itself does nothing and is what real histories are recorded with.
"""

import contextlib
import random

import psycopg

from history import LEVELS
from workload import reading


class Fault:
    claims = LEVELS[0]  # The level of a history whose violation should be found.
    kind = "list"
    chance = 0.01

    def __init__(self, seed=0):
        self.random = random.Random(seed)

    def happens(self):
        return self.random.random() < self.chance

    def level(self, level):
        return level

    def between(self, session):
        """After each statement of a transaction."""

    def rows(self, session, transaction, step, rows):
        return rows

    @contextlib.contextmanager
    def around_write(self, session, step):
        yield

    def ends(self, command):
        """What is sent, and what is believed to be the answer if not the answer."""
        return command, None

    def before_the_last_look(self, connection):
        pass


class SwallowedWrite(Fault):
    @contextlib.contextmanager
    def around_write(self, session, step):
        swallows = session.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS and self.happens()
        if swallows:
            session.connection.execute("savepoint swallowed")
        yield
        if swallows:
            session.connection.execute("rollback to swallowed")


class CutList(Fault):
    """A read of the version before the newest."""

    def rows(self, session, transaction, step, rows):
        if rows and self.happens():
            row = self.random.choice(rows)
            row[1] = row[1].rpartition(",")[0] or row[1]
        return rows


class SwappedElements(Fault):
    def rows(self, session, transaction, step, rows):
        for row in rows:
            if row[1].count(",") > 2 and self.happens():
                *rest, a, b = row[1].split(",")
                row[1] = ",".join([*rest, b, a])
        return rows


class MissedRow(Fault):
    """A range or scan without one of its rows, as by a snapshot that the index does not share."""

    claims = LEVELS[1]
    chance = 0.03

    def rows(self, session, transaction, step, rows):
        if len(rows) > 1 and self.happens():
            del rows[self.random.randrange(len(rows))]
        return rows


class TwoVersions(Fault):
    """A scan that meets a row in both of its places."""

    def rows(self, session, transaction, step, rows):
        if len(rows) > 1 and self.happens():
            key, value = self.random.choice(rows)
            rows.append([key, value.rpartition(",")[0] or value])
        return rows


class DirtyRead(Fault):
    chance = 0.1

    def __init__(self, seed=0):
        super().__init__(seed)
        self.in_flight = {}

    @contextlib.contextmanager
    def around_write(self, session, step):
        yield
        self.in_flight[session.number] = step.where[1], step.value

    def rows(self, session, transaction, step, rows):
        for row in rows:
            for number, (key, value) in list(self.in_flight.items()):
                if key == row[0] and number != session.number and value not in row[1].split(",") and self.happens():
                    row[1] += "," + value
        return rows


class FalseCommit(Fault):
    def ends(self, command):
        return ("rollback", "COMMIT") if command == "commit" and self.happens() else (command, None)


class FalseRollback(Fault):
    def ends(self, command):
        return ("commit", "ROLLBACK") if command == "commit" and self.happens() else (command, None)


class TornCommit(Fault):
    """The first half is committed before the second."""

    chance = 0.05

    def between(self, session):
        # Not within a savepoint, which would be gone.
        if session.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS and self.happens():
            session.connection.execute("commit")
            session.connection.execute(f"begin isolation level {session.level}")


class SplitSnapshot(TornCommit):
    claims = LEVELS[1]


class ReadCommittedInstead(Fault):
    claims = LEVELS[1]

    def level(self, level):
        return LEVELS[0]


class ReadCommittedRegisters(ReadCommittedInstead):
    kind = "register"


class SnapshotInstead(Fault):
    """No checks for write skew."""

    claims = LEVELS[2]

    def level(self, level):
        return LEVELS[1]


class SnapshotRegisters(SnapshotInstead):
    kind = "register"


class OldReplica(Fault):
    """Some reads are answered by a snapshot of some time ago."""

    kind = "register"
    chance = 0.02

    def __init__(self, seed=0):
        super().__init__(seed)
        self.replica = {}

    def rows(self, session, transaction, step, rows):
        if session.number < 0 or step.form == "locked" or not self.happens():
            return rows
        if session.number not in self.replica:
            self.replica[session.number] = psycopg.connect(session.recorder.url())
            self.replica[session.number].execute("set transaction isolation level repeatable read")
        old = [list(row) for row in self.replica[session.number].execute(*reading(session.kind, step, "")).fetchall()]
        if self.random.random() < 0.3:
            self.replica.pop(session.number).close()
        return old


class ForgottenOwnWrite(Fault):
    chance = 0.1

    def rows(self, session, transaction, step, rows):
        own = {op.value for op in transaction.ops if op.kind == "write"}
        for row in rows:
            if row[1].rpartition(",")[2] in own and self.happens():
                row[1] = row[1].rpartition(",")[0] or row[1]
        return rows


class ForgottenCommit(Fault):
    """After a restart the newest version of one row is gone."""

    kind = "register"

    def before_the_last_look(self, connection):
        connection.execute("update registers set v = was where k = (select max(k) from registers where was is not null)")


FAULTS = [*Fault.__subclasses__(), SplitSnapshot, ReadCommittedRegisters, SnapshotRegisters]
