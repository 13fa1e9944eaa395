"""Runs of one or many histories and their tables."""

import collections
import pathlib
import time

import psycopg

from checker import check
from faults import FAULTS
from history import KINDS, LEVELS
from recorder import Recorder, Wish, takes
from servers import serving
from session import EXPECTED


def observe(server, wish, fault=None):
    """A history and what is found in it, with the seconds of both."""
    began = time.monotonic()
    history = Recorder(server, wish, fault).record()
    recorded = time.monotonic()
    findings = check(history)
    for transaction in history.transactions:
        if transaction.sqlstate not in EXPECTED | {"", "lost"}:
            findings.tell("unexpected error", f"{transaction.sqlstate}: {transaction.message}")
    return history, findings, recorded - began, time.monotonic() - recorded


def judged(history, findings, level):
    forbidden = findings.forbidden(level)
    for name in forbidden:
        print(f"\n{name}, {findings.counts[name]} times, which {level} forbids:")
        for witness in findings.witnesses[name]:
            print("  " + witness.replace("\n", "\n  "))
    allowed = [f"{name} {count}" for name, count in findings.counts.items() if name not in forbidden]
    print(f"{level}: {'violated: ' + ', '.join(forbidden) if forbidden else 'kept'}; allowed: {', '.join(allowed) or 'none'}")
    return not forbidden


def keep(history, scratch, wish):
    path = pathlib.Path(scratch) / f"history-{wish.kind}-{wish.level.replace(' ', '-')}-{wish.seed}.jsonl"
    history.save(path)
    print(f"kept as {path}")


def run(binary, scratch, wish, level):
    print(wish.text())
    with serving(binary, scratch) as server:
        history, findings, recorded, checked = observe(server, wish)
        complaint = server.stop()
    print(f"{outcomes(history)}; recorded in {recorded:.1f} s, checked in {checked:.1f} s")
    good = judged(history, findings, level)
    if not good:
        keep(history, scratch, wish)
    if complaint:
        print(complaint)
    return good and not complaint


def outcomes(history):
    counts = collections.Counter(transaction.status for transaction in history.transactions)
    why = collections.Counter(transaction.sqlstate or "asked for" for transaction in history.transactions if transaction.status == "fail")
    return f"{counts['ok']} ok, {counts['info']} unknown, {counts['fail']} failed ({', '.join(f'{c} {s}' for s, c in why.most_common())})"


def levels_of(server):
    with psycopg.connect(f"postgres://postgres@127.0.0.1:{server.port}/postgres", autocommit=True) as connection:
        found = []
        for level in LEVELS:
            if takes(connection, f"begin isolation level {level}"):
                connection.execute("rollback")
                found.append(level)
            else:
                print(f"{level}: refused, left out")
    return found


def wishes(levels, can_die, histories, transactions, seed):
    """Levels and kinds in turns; of four of the same, one is alone, one has merges, one DDL too, one kills too."""
    turns = [(level, kind) for level in levels for kind in KINDS]
    for number in range(histories):
        level, kind = turns[number % len(turns)]
        beside = (number // len(turns) + (kind == "register") + 3) % 4
        kills = max(1, transactions // 1500) if beside == 3 and can_die else 0
        yield Wish(kind, level, seed + number, transactions, merges=beside > 0, ddl=beside > 1, kills=kills)


def many(binary, scratch, histories, transactions, seed):
    """One server for each history; one line for each, and a table."""
    with serving(binary, scratch) as server:
        levels, can_die = levels_of(server), server.name == "Colonnade"
    totals, allowed = collections.Counter(), collections.Counter()
    for wish in wishes(levels, can_die, histories, transactions, seed):
        with serving(binary, scratch) as server:
            history, findings, recorded, checked = observe(server, wish)
            complaint = server.stop()
        forbidden = findings.forbidden(wish.level)
        bad = bool(forbidden or complaint)
        print(f"{'BAD ' if bad else 'ok  '} {wish.text()}; {outcomes(history)}; {recorded:.1f} + {checked:.1f} s", flush=True)
        if bad:
            judged(history, findings, wish.level)
            keep(history, scratch, wish)
            print(complaint, flush=True)
        row = wish.level, wish.kind
        totals.update({(row, "histories"): 1, (row, "violated"): bad, (row, "kills"): wish.kills})
        totals.update((row, transaction.status) for transaction in history.transactions)
        allowed.update({(row, name): count for name, count in findings.counts.items() if name not in forbidden})
    print(f"\n{'level':16} {'kind':9} {'histories':>9} {'violated':>8} {'ok':>8} {'failed':>8} {'unknown':>8} {'kills':>6}  allowed anomalies")
    for row in dict.fromkeys(row for row, _ in totals):
        figures = [totals[row, name] for name in ("histories", "violated", "ok", "fail", "info", "kills")]
        seen = ", ".join(f"{name} {count}" for (of, name), count in allowed.items() if of == row)
        print("{:16} {:9} {:9} {:8} {:8} {:8} {:8} {:6}  {}".format(*row, *figures, seen or "none"))
    return not any(totals[row, "violated"] for row, _ in list(totals))


EXPECTED_IN_POSTGRES = {  # What a stricter level must see, of what this one allows.
    "read committed": ({"G-single", "lost update"}, "repeatable read"),
    "repeatable read": ({"G2", "G2-item"}, "serializable"),
}


def calibrate(scratch):
    good = True
    with serving("postgres15", scratch) as server:
        for level in LEVELS:
            for kind in KINDS:
                history, findings, recorded, checked = observe(server, Wish(kind, level, 1, merges=True, ddl=True))
                print(f"PostgreSQL 15, {kind}: {outcomes(history)}; {recorded:.1f} + {checked:.1f} s; ", end="")
                good &= judged(history, findings, level)
                if level in EXPECTED_IN_POSTGRES:
                    expected, stricter = EXPECTED_IN_POSTGRES[level]
                    seen = expected & set(findings.forbidden(stricter))
                    print(f"  by {stricter}: {', '.join(seen) or 'NOTHING SEEN'}")
                    good &= bool(seen)
        for make in FAULTS:
            history, findings, *_ = observe(server, Wish(make.kind, make.claims, 2, 2000), make(2))
            caught = findings.forbidden(make.claims)
            print(f"{make.__name__} at {make.claims}, {make.kind}: {', '.join(f'{a} {findings.counts[a]}' for a in caught) or 'NOT CAUGHT'}", flush=True)
            good &= bool(caught)
    return good
