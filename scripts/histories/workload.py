"""Random transactions over few keys, as steps; and what SQL a step is.

A key takes so many writes and is then replaced by a new one, so that lists stay short and rows are inserted all the time; old keys
stay for scans. A transaction is a list of steps, of which some may be between SAVEPOINT and ROLLBACK TO or RELEASE.
"""

import dataclasses
import random

from history import GROUPS, group

TABLES = {
    "list": "create table lists (k int primary key, g int not null, v text not null)",
    "register": "create table registers (k int primary key, g int not null, v bigint not null, was bigint)",
}
ACTIVE = 8  # Keys at a time: few enough that ten sessions meet.
WRITES_PER_KEY = 60


@dataclasses.dataclass
class Step:
    kind: str  # read, write, savepoint, undo, release
    form: str = ""  # Which SQL: see `reading` and `writing`.
    where: tuple = ()
    value: object = None
    undone: bool = False


@dataclasses.dataclass
class Plan:
    steps: list
    autocommit: bool = False
    rolls_back: bool = False


class Workload:
    """Shared by the sessions; the caller holds a lock."""

    def __init__(self, kind, seed, has_locks):
        self.kind, self.random, self.has_locks = kind, random.Random(seed), has_locks
        self.active = list(range(ACTIVE))
        self.next_key, self.next_value = ACTIVE, 1
        self.writes = dict.fromkeys(self.active, 0)

    def plan(self):
        chance = self.random.random
        if chance() < 0.12:
            return Plan([self.step(0.6, alone=True)], autocommit=True)
        writes = 0 if chance() < 0.15 else 0.5
        steps = []
        for _ in range(self.random.choice((1, 2, 2, 3, 3, 4, 5))):
            if self.kind == "register" and chance() < 0.3 * writes:
                steps += self.read_then_write()
            elif chance() < 0.06:
                undone = chance() < 0.6
                block = [self.step(writes or 0.2, undone=undone) for _ in range(self.random.choice((1, 2)))]
                steps += [Step("savepoint"), *block, Step("undo" if undone else "release")]
            else:
                steps.append(self.step(writes))
        return Plan(steps, rolls_back=chance() < 0.05)

    def key(self):
        return self.random.choice(self.active)

    def step(self, writes, undone=False, alone=False):
        return self.write(undone, alone) if self.random.random() < writes else self.read(undone)

    def read(self, undone):
        form = self.random.choices(("key", "computed", "keys", "range", "group", "all", "locked"), (40, 6, 12, 20, 10, 4, 8))[0]
        if form == "locked" and not self.has_locks:
            form = "key"
        match form:
            case "keys":
                where = ("keys", self.random.sample(self.active, 2))
            case "range":
                low = self.key() - self.random.randrange(4)
                where = ("range", low, low + self.random.randrange(1, 8))
            case "group":
                where = ("group", self.random.randrange(GROUPS))
            case "all":
                where = ("all",)
            case _:
                where = ("key", self.key())
        return Step("read", form, where, undone=undone)

    def write(self, undone, alone):
        forms = {"list": ("upsert", "update", "returning", "range"), "register": ("upsert", "update", "swap")}[self.kind]
        form = self.random.choice(forms)
        where = ("key", self.key())
        if form == "range" and not alone:
            where = ("range", where[1], where[1] + self.random.choice((1, 2)))
        return Step("write", "update" if form == "range" and alone else form, where, self.value(where), undone)

    def read_then_write(self):
        where = ("key", self.key())
        form = "locked" if self.has_locks and self.random.random() < 0.5 else "key"
        return [Step("read", form, where), Step("write", "update", where, self.value(where))]

    def value(self, where):
        for key in where[1:2]:
            self.writes[key] += 1
            if self.writes[key] >= WRITES_PER_KEY and key in self.active:
                self.active[self.active.index(key)] = self.next_key
                self.writes[self.next_key] = 0
                self.next_key += 1
        self.next_value += 1
        return str(self.next_value) if self.kind == "list" else self.next_value


def reading(kind, step, order):
    """SQL and its values. `order` is one of "", "order by k", "order by k desc"."""
    match step.where:
        case ("key", key):
            condition, values = ("where k + 0 = %s" if step.form == "computed" else "where k = %s"), (key,)
        case ("keys", keys):
            condition, values = "where k in (%s, %s)", tuple(keys)
        case ("range", low, high):
            condition, values = "where k between %s and %s", (low, high)
        case ("group", number):
            condition, values = "where g = %s", (number,)
        case _:
            condition, values = "", ()
    return f"select k, v from {kind}s {condition} {'for update' if step.form == 'locked' else order}", values


def writing(kind, step):
    key = step.where[1]
    match kind, step.form:
        case "list", "upsert":
            return (
                "insert into lists (k, g, v) values (%s, %s, %s) on conflict (k) do update set v = lists.v || ',' || excluded.v",
                (key, group(key), step.value),
            )
        case "list", "range":
            return "update lists set v = v || ',' || %s where k between %s and %s returning k, v", (step.value, key, step.where[2])
        case "list", form:
            return f"update lists set v = v || ',' || %s where k = %s{' returning k, v' if form == 'returning' else ''}", (step.value, key)
        case "register", "upsert":
            return (
                "insert into registers (k, g, v) values (%s, %s, %s) on conflict (k) do update set v = excluded.v, was = null",
                (key, group(key), step.value),
            )
        case "register", "swap":
            return "update registers set was = v, v = %s where k = %s returning k, was", (step.value, key)
    return "update registers set v = %s, was = null where k = %s", (step.value, key)
