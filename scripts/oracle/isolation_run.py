"""Runs permutations of an isolation test (isolation_grammar.py) on a server and keeps what each step answered, as isolationtester does.

    step NAME: a line for each row, command tag, error or notice              it ended before the next was sent
    step NAME: <waiting ...>  and later  step NAME: <... completed>           it waited for another session

The server itself says whether a session is blocked (pg_isolation_test_session_is_blocked). Every running step settles before anything is
told, so that what is told does not depend on who was quicker. Rows are sorted unless the step says ORDER BY, no other order
being promised; numerics are compared as numbers and plans not at all. Unlike there, each permutation has sessions of its own.
"""

import dataclasses
import re
import select
import time

import both
import isolation_grammar
import psycopg
from psycopg import pq

# Not there (yet), as the server itself says: feature, syntax, function.
REFUSED = {"0A000", "42601", "42883"}
# What follows from a table, column or type that the setup could not make.
MISSING = {"42P01", "42703", "42704"}
# Seconds that anything may take, and that a step may be blocked that has to end before the next: longer than any timeout of a spec.
LIMIT, BLOCKED_LIMIT = 60.0, 8.0
# The name that specs know theirs by.
DATABASE = "isolation_regression"
# Of a statement that is refused: the table whose answers it would change, or that it only makes something.
ABOUT = re.compile(r"""(?xis) \A (?: create\s+(?:unique\s+|constraint\s+)?(?:trigger|index)\b .*? \son | alter\s+table(?:\s+only)? | insert\s+into |
    create\s+table\b .* \binherits\s*\( ) \s* (?P<table>\w+)""")
MAKES = re.compile(r"(?i)create\s+(or\s+replace\s+)?(table|function|procedure|materialized\s+view|view|type|temp)\b")


class Refused(Exception):
    """The server refuses what every permutation needs."""


class Stuck(Exception):
    """A step got no answer in time."""


@dataclasses.dataclass
class Event:
    label: str
    lines: list
    states: list


class Session:
    """A connection, the turn it is at, and what has come back."""

    def __init__(self, url, database, name):
        self.database = database
        self.connection = psycopg.connect(url, dbname=database, autocommit=True, application_name=name)
        self.connection.add_notice_handler(self.note)
        self.pg, self.pid, self.name = self.connection.pgconn, self.connection.info.backend_pid, name.rpartition("/")[2]
        self.turn, self.busy, self.lost, self.results, self.notices, self.noticed = None, False, False, [], [], 0

    def note(self, notice):
        self.noticed += 1
        self.notices.append(f"{notice.severity}: {notice.message_primary}")

    def send(self, sql):
        self.results, self.busy = [], True
        try:
            self.pg.send_query(sql.replace(DATABASE, self.database).encode())
        except psycopg.Error:
            self.busy, self.lost = False, True

    def read(self):
        """Takes what has come. Several statements of one query answer one after the other."""
        try:
            self.pg.consume_input()
        except psycopg.Error:
            self.lost = True
        while self.busy and (self.lost or not self.pg.is_busy()):
            result = self.pg.get_result()
            if result is None:
                self.busy = False
            else:
                self.results.append(result)

    def wait(self, seconds):
        """Until it has answered, for so long at most; whether it has."""
        until = time.monotonic() + seconds
        while self.busy and (left := until - time.monotonic()) > 0:
            if select.select([self.pg.socket], [], [], left)[0]:
                self.read()
        return not self.busy

    def run(self, sql):
        """The results, last first, of SQL that is not a step."""
        self.send(sql)
        if not self.wait(LIMIT):
            raise Stuck(sql)
        return self.results[::-1]

    def event(self, label, sql):
        """What has come, as an event; nothing is left."""
        lines, states = self.notices, []
        for result in self.results:
            lines += shown(result, bool(re.search(r"(?i)\border\s+by\b", sql)))
            if result.status == pq.ExecStatus.FATAL_ERROR:
                states.append(field(result, pq.DiagnosticField.SQLSTATE))
        while (heard := self.pg.notifies()) is not None:
            lines.append(f"NOTIFY {heard.relname.decode()} {heard.extra.decode()!r}")
        if self.lost:
            lines.append("connection lost")
        self.results, self.notices = [], []
        return Event(label, lines, states)


def field(result, which):
    return (result.error_field(which) or b"").decode()


def shown(result, ordered):
    if result.status == pq.ExecStatus.TUPLES_OK:
        columns = [(column, result.ftype(column)) for column in range(result.nfields)]
        rows = ["|".join(both.cell(result.get_value(row, column), oid) for column, oid in columns) for row in range(result.ntuples)]
        head = "|".join(result.fname(column).decode() for column, _ in columns)
        if head == "QUERY PLAN":
            rows = ["..."]
        return [head, *(rows if ordered else sorted(rows)), result.command_status.decode()]
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return [error(result)]
    return [result.command_status.decode()] if result.command_status else []


def error(result):
    severity, state = field(result, pq.DiagnosticField.SEVERITY), field(result, pq.DiagnosticField.SQLSTATE)
    if not state:
        return "connection lost"
    return f"{severity} {state}: {field(result, pq.DiagnosticField.MESSAGE_PRIMARY)}"


def failure(results):
    """The result that is an error, if one is."""
    return next((result for result in results if result.status == pq.ExecStatus.FATAL_ERROR), None)


class Stage:
    """A spec's database on a server, made anew after a permutation left anything behind."""

    def __init__(self, url, spec):
        self.url, self.spec = url, spec
        self.database, self.made, self.sessions, self.left_out = None, 0, [], []

    def run(self, turns):
        """The events of a permutation; `left_out` says what the setup did without."""
        self.events, self.left_out, clean = [], [], False
        self.open()
        try:
            if self.set_up():
                self.take_turns(turns)
                clean = self.tear_down()
        except Stuck as stuck:
            self.events.append(Event("no answer", str(stuck).splitlines(), []))
        finally:
            self.disconnect()
            if not clean:
                self.close()
        return self.events

    def open(self):
        if self.database is None:
            self.made += 1
            self.database = f"isolation_{self.spec.name.replace('-', '_')}_{self.made}"
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {self.database}")
        names = ["control connection", *(session.name for session in self.spec.sessions)]
        self.control, *self.sessions = [Session(self.url, self.database, f"isolation/{self.spec.name}/{name}") for name in names]
        pids = ",".join(str(session.pid) for session in self.sessions)
        self.blocked = f"SELECT pg_catalog.pg_isolation_test_session_is_blocked(%d, '{{{pids}}}')"

    def disconnect(self):
        for session in [self.control, *self.sessions]:
            if session.busy:
                session.connection.cancel()
                session.wait(LIMIT)
            session.connection.close()

    def close(self):
        """A session that was just closed may be connected for a moment longer; a database that stays in use is left."""
        until = time.monotonic() + LIMIT
        with psycopg.connect(self.url, autocommit=True) as connection:
            while self.database is not None and time.monotonic() < until:
                try:
                    connection.execute(f"DROP DATABASE {self.database}")
                    self.database = None
                except psycopg.errors.ObjectInUse:
                    time.sleep(0.02)
        self.database = None

    def set_up(self):
        for block in self.spec.setups:
            failed = failure(self.control.run(block))
            if failed and field(failed, pq.DiagnosticField.SQLSTATE) in REFUSED:
                failed = self.set_up_in_part(block)
            if failed:
                self.events.append(Event("setup", [error(failed)], []))
                return False
        for session, written in zip(self.sessions, self.spec.sessions):
            if written.setup is None:
                continue
            failed = failure(session.run(written.setup))
            if failed and field(failed, pq.DiagnosticField.SQLSTATE) in REFUSED:
                raise Refused(f"setup of {session.name}: {error(failed)}")
            event = session.event(f"setup of {session.name}", written.setup)
            if failed:
                self.events.append(event)
                return False
        return True

    def set_up_in_part(self, block):
        """Each statement on its own, without what is refused. A table that one of those is about goes, too: without its trigger, its rows
        or its children it would answer otherwise, not with an error."""
        for statement in isolation_grammar.statements(block):
            failed = failure(self.control.run(statement))
            if not failed:
                continue
            state = field(failed, pq.DiagnosticField.SQLSTATE)
            if state not in REFUSED and not (state in MISSING and self.left_out):
                return failed
            self.left_out.append(f"{' '.join(statement.split())[:60]}: {error(failed)}")
            about = ABOUT.search(statement)
            gone = not failure(self.control.run(f"DROP TABLE IF EXISTS {about['table']}")) if about else MAKES.match(statement)
            if not gone:
                raise Refused(f"setup: {error(failed)}")
        return None

    def tear_down(self):
        """Whether everything of it worked."""
        clean = not self.left_out
        for session, written in zip(self.sessions, self.spec.sessions):
            if written.teardown is not None:
                session.run(written.teardown)
                self.events.append(session.event(f"teardown of {session.name}", written.teardown))
            clean = clean and not session.lost
        if self.spec.teardown is not None and clean:
            failed = failure(self.control.run(self.spec.teardown))
            if failed:
                self.events.append(Event("teardown", [error(failed)], [field(failed, pq.DiagnosticField.SQLSTATE)]))
            clean = not failed
        return clean

    def take_turns(self, turns):
        waiting, self.targets = [], {}
        for turn in turns:
            session = self.sessions[turn.step.session]
            since = time.monotonic()
            while session.turn is not None:
                self.finish(session.turn)
                if self.tell(session.turn, again=True):
                    waiting = [other for other in waiting if self.runs(other)]
                self.settle()
                waiting = self.tell_waiting(waiting)
                if session.turn is not None and time.monotonic() - since > LIMIT:
                    raise Stuck(f"step {session.turn.step.name}: its end may not be told")
            session.turn = turn
            for blocker in turn.blockers:
                if blocker.notices:
                    self.targets[turn, blocker] = self.sessions[blocker.step.session].noticed + blocker.notices
            session.send(turn.step.sql)
            self.settle()
            ended = self.tell(turn, again=False)
            waiting = self.tell_waiting(waiting)
            if not ended:
                waiting.append(turn)
        while waiting:
            before = len(waiting)
            for turn in waiting:
                self.finish(turn)
                self.tell(turn, again=True)
            waiting = [turn for turn in waiting if self.runs(turn)]
            if len(waiting) == before:
                raise Stuck("steps whose marks wait for each other: " + " ".join(turn.step.name for turn in waiting))

    def runs(self, turn):
        return self.sessions[turn.step.session].turn is turn

    def finish(self, turn):
        session = self.sessions[turn.step.session]
        if not session.wait(BLOCKED_LIMIT) and (self.is_blocked(session) or not session.wait(LIMIT)):
            raise Stuck(f"step {turn.step.name}: {turn.step.sql}")

    def settle(self):
        """Until every session has answered or is blocked."""
        until = time.monotonic() + LIMIT
        while not all(session.wait(0.01) or self.is_blocked(session) for session in self.sessions):
            if time.monotonic() > until:
                raise Stuck("a step neither answers nor is blocked")

    def is_blocked(self, session):
        return self.control.run(self.blocked % session.pid)[0].get_value(0, 0) == b"t"

    def tell_waiting(self, waiting):
        """Tells what has ended of these, until nothing more may be told; the rest."""
        while True:
            for turn in waiting:
                self.tell(turn, again=True)
            left = [turn for turn in waiting if self.runs(turn)]
            if len(left) == len(waiting):
                return left
            waiting = left

    def tell(self, turn, again):
        """Whether the step is told to have ended: it has, and its marks allow it."""
        session, step = self.sessions[turn.step.session], turn.step
        if session.busy or self.is_held(turn) or not again and any(blocker.step is None for blocker in turn.blockers):
            if not again:
                self.events.append(Event(f"step {step.name}: <waiting ...>", session.notices, []))
                session.notices = []
            return False
        session.turn = None
        self.events.append(session.event(f"step {step.name}:" + (" <... completed>" if again else ""), step.sql))
        return True

    def is_held(self, turn):
        for blocker in turn.blockers:
            if blocker.step is None:
                continue
            other = self.sessions[blocker.step.session]
            if blocker.notices and other.noticed < self.targets[turn, blocker]:
                return True
            if not blocker.notices and other.turn is not None and other.turn.step == blocker.step:
                return True
        return False
