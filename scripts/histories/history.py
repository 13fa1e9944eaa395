"""What clients saw: transactions, their statements and what came back, with times. One JSON line for each transaction in a file.

    Transaction  ok: its COMMIT was acknowledged; fail: it is known to have had no effect; info: nobody knows (connection lost)
      Op read    rows that a statement returned, and the keys that it could have returned (`where`)
      Op write   `value` appended to, or put in the place of, the values of `keys`
      Op undo    ROLLBACK TO: the writes marked `undone` are gone

1. A value is written once to a key: from a value one knows its transaction. Lists are texts of elements with commas between.
2. A key that a statement could have returned and did not was read, too: as the empty list, or as None.
3. Times are seconds of one clock; what happened did so between `invoked` and `done`. `done` of a COMMIT never answered is infinite.
"""

import dataclasses
import json
import math

LEVELS = ("read committed", "repeatable read", "serializable")
KINDS = ("list", "register")
GROUPS = 3
FINAL = -1  # The session of the last look at everything.


def group(key):
    return key % GROUPS


@dataclasses.dataclass(slots=True)
class Op:
    kind: str
    invoked: float
    done: float
    where: tuple = ()  # Of reads: ("key", k), ("keys", [k..]), ("range", low, high), ("group", g) or ("all",).
    rows: list = dataclasses.field(default_factory=list)  # Of reads: [key, value] as they came.
    tells: str = "all"  # Of reads: of which keys; "all" of `where`, those of "rows", or those "absent" from rows.
    locked: bool = False  # A read of the newest version, which stays the newest until the transaction ends.
    keys: list = dataclasses.field(default_factory=list)
    value: object = None
    undone: bool = False


@dataclasses.dataclass(slots=True)
class Transaction:
    session: int
    status: str = "fail"
    ops: list = dataclasses.field(default_factory=list)
    commit_invoked: float = math.inf
    commit_done: float = math.inf
    sqlstate: str = ""  # Why it failed.
    message: str = ""

    def writes(self):
        return any(op.kind == "write" for op in self.ops)


@dataclasses.dataclass
class History:
    kind: str
    level: str  # That the transactions asked for.
    transactions: list
    about: str = ""

    def save(self, path):
        with open(path, "w") as out:
            out.write(json.dumps({"kind": self.kind, "level": self.level, "about": self.about}) + "\n")
            for transaction in self.transactions:
                out.write(json.dumps(dataclasses.asdict(transaction)) + "\n")

    @classmethod
    def load(cls, path):
        with open(path) as lines:
            head = json.loads(next(lines))
            transactions = [Transaction(**json.loads(line)) for line in lines]
        for transaction in transactions:
            transaction.ops = [Op(**op) for op in transaction.ops]
        return cls(head["kind"], head["level"], transactions, head["about"])


def covered(where, keys, by_group):
    """The keys of a set that a predicate may return; `by_group` has the same keys by their group."""
    match where:
        case ["key", key]:
            return [key] if key in keys else []
        case ["keys", some]:
            return [key for key in some if key in keys]
        case ["range", low, high]:
            return [key for key in range(low, high + 1) if key in keys]
        case ["group", number]:
            return by_group[number]
        case ["all"]:
            return keys
    raise ValueError(f"no such predicate: {where}")


def predicate_text(where):
    match where:
        case ["key", key]:
            return f"k = {key}"
        case ["keys", some]:
            return f"k in {tuple(some)}"
        case ["range", low, high]:
            return f"k between {low} and {high}"
        case ["group", number]:
            return f"g = {number}"
    return "all"
