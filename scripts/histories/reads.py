"""What transactions read of others, with their own writes taken off; and reads that contradict their own transaction.

An external read of a list that ends with the reader's own elements is of the list before them. A register that the reader has written
tells nothing of others.
"""

import collections
import dataclasses

from history import covered, group


@dataclasses.dataclass(slots=True)
class External:
    transaction: int
    statement: int
    key: int
    value: object
    by_predicate: bool  # The key was not among the rows of a statement that did not name it.
    locked: bool
    tells_predecessor: bool = False  # The reader wrote the key afterwards.


def external_reads(history, tell):
    """`tell(name, text)` hears of what is wrong within one transaction."""
    keys = {key for transaction in history.transactions for op in transaction.ops for key in op.keys}
    by_group = collections.defaultdict(list)
    for key in sorted(keys):
        by_group[group(key)].append(key)
    found = []
    for number, transaction in enumerate(history.transactions):
        own, first, latest = collections.defaultdict(list), {}, {}
        for statement, op in enumerate(transaction.ops):
            if op.kind == "write":
                for key in op.keys:
                    own[key].append((op.value, op.undone))
                    if not op.undone and (read := latest.pop(key, None)):
                        read.tells_predecessor = True
            elif op.kind == "undo":
                own = collections.defaultdict(list, {key: [write for write in writes if not write[1]] for key, writes in own.items()})
            else:
                for key, value in values(history, op, keys, by_group, lambda text: tell("duplicate row", f"T{number}: {text}")):
                    mine = [value for value, _ in own[key]] if key in own else None
                    known, external = without_own(history.kind, value, mine)
                    if not known:
                        tell("internal", f"T{number} reads {key} = {short(value)} after it has written {short(mine)}")
                    elif external is not Ellipsis:
                        by_predicate = value is None and op.where[0] not in ("key", "keys")
                        read = External(number, statement, key, external, by_predicate, op.locked)
                        found.append(read)
                        latest[key] = read
                        if first.setdefault(key, external) != external:
                            tell("non-repeatable read", f"T{number} reads {key} = {short(first[key])}, then {short(external)}")
    return found


def values(history, op, keys, by_group, tell_duplicate):
    """(key, value) for all keys that a statement read; None is a key without a row."""
    rows = {}
    for key, value in op.rows:
        if key in rows:
            tell_duplicate(f"{key} comes twice: {short(rows[key])} and {short(value)}")
        rows[key] = value
    if op.tells != "absent":
        yield from rows.items()
    if op.tells != "rows":
        for key in covered(op.where, keys, by_group):
            if key not in rows:
                yield key, None


def without_own(kind, value, mine):
    """Whether the value is possible after the reader's own writes, and what it says of others' (Ellipsis: nothing)."""
    if not mine:
        return True, value
    if kind == "register":
        return value == mine[-1], Ellipsis
    suffix = ",".join(mine)
    if value == suffix:
        return True, None
    if value is not None and value.endswith("," + suffix):
        return True, value[: -len(suffix) - 1]
    return False, Ellipsis


def short(value):
    """Of long lists the end, where histories differ."""
    text = str(value)
    return text if len(text) <= 60 else f"..{text[-56:]}"
