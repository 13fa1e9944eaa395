"""Histories by hand, each with one anomaly: found at the level that forbids it, allowed by the level below. And good ones.

A line is a transaction's number and what it does; lines are a moment each, one after the other:

    1 append 7 a          1 write 7 100         to key 7
    1 read 7 = a,b        1 read 7 = -          by key; - is no row
    1 range 7 9 = 7:a     1 scan = 7:a 9:b      by predicate
    1 undo                                      takes back the lines that end in "undone"
    1 commit              1 rollback            1 lost: nobody knows whether it is committed

    scripts/python scripts/histories/cases.py
"""

import unittest

from checker import ANOMALIES, check
from history import FINAL, LEVELS, History, Op, Transaction

ANOMALOUS = {
    "G0": ("list", "1 append 1 a|2 append 1 b|2 append 2 c|1 append 2 d|1 commit|2 commit|3 read 1 = a,b|3 read 2 = c,d|3 commit"),
    "G1a": ("list", "1 append 1 a|2 read 1 = a|1 rollback|2 commit"),
    "G1a of what was undone": ("list", "1 append 1 a undone|2 read 1 = a|1 undo|1 commit|2 commit"),
    "G1a of a register": ("register", "1 write 1 7|2 read 1 = 7|1 rollback|2 commit"),
    "G1b": ("list", "1 append 1 a|2 read 1 = a|1 append 1 b|1 commit|2 commit"),
    "G1b of a register": ("register", "1 write 1 7|2 read 1 = 7|1 write 1 8|1 commit|2 commit"),
    "G1c": ("list", "1 append 1 a|2 append 2 b|1 read 2 = b|2 read 1 = a|1 commit|2 commit"),
    "dirty read": ("list", "1 append 1 a|2 read 1 = a|2 commit|1 commit"),
    "stale read": ("list", "1 append 1 a|1 commit|2 read 1 = -|3 read 1 = a|2 commit|3 commit"),
    "stale read of a register": ("register", "1 write 1 7|1 commit|2 write 1 8|2 commit|3 read 1 = 7|3 commit"),
    "statement read skew": ("list", "1 append 1 a|1 append 2 b|2 scan = 2:b|1 commit|2 commit|3 scan = 1:a 2:b|3 commit", {"2": 1}),
    "lost write": ("list", "1 append 1 a|1 commit|2 append 1 b|2 commit|last scan = 1:a|last commit"),
    "lost write of a register": ("register", "1 write 1 7|1 commit|2 write 1 8|2 commit|last scan = 1:7|last commit"),
    "lost write of a torn commit": ("list", "1 append 1 a|1 append 2 b|1 lost|last scan = 1:a|last commit"),
    "undurable read": ("list", "1 append 1 a|2 append 2 b|1 lost|2 read 1 = a|2 commit|last scan = 2:b|last commit"),
    "duplicate row": ("list", "1 append 1 a|1 commit|2 scan = 1:a 1:a|2 commit"),
    "duplicate write": ("list", "1 append 1 a|1 commit|2 scan = 1:a,a|2 commit"),
    "garbage": ("list", "1 append 1 a|1 commit|2 read 1 = a,z|2 commit"),
    "internal": ("list", "1 append 1 a|1 read 1 = -|1 commit"),
    "internal of what was undone": ("list", "1 append 1 a undone|1 undo|1 read 1 = a|1 commit"),
    "incompatible order": ("list", "1 append 1 a|1 commit|2 append 1 b|2 commit|3 read 1 = a,b|4 read 1 = b|3 commit|4 commit"),
    "non-repeatable read": ("list", "1 read 1 = -|2 append 1 a|2 commit|1 read 1 = a|1 commit"),
    "G-single": ("list", "1 read 1 = -|2 append 1 a|2 append 2 b|2 commit|1 read 2 = b|1 commit|3 scan = 1:a 2:b|3 commit"),
    "G-single of a register": (
        "register",
        "1 write 1 7|1 write 2 8|1 commit|2 read 1 = 7|3 read 1 = 7|3 write 1 17|3 write 2 18|3 commit|2 read 2 = 18|2 commit",
    ),
    "G-single by a predicate": ("list", "1 range 1 5 = -|2 append 3 a|2 append 9 b|2 commit|1 read 9 = b|1 commit|3 scan = 3:a 9:b|3 commit"),
    "lost update": ("list", "1 read 1 = -|2 append 1 a|2 commit|1 append 1 b|1 commit|3 read 1 = a,b|3 commit"),
    "lost update of a register": ("register", "1 write 1 7|1 commit|2 read 1 = 7|3 read 1 = 7|2 write 1 8|2 commit|3 write 1 9|3 commit"),
    "lost update of what was not read": ("list", "1 read 2 = -|2 append 1 a|2 commit|1 append 1 b|1 commit|3 read 1 = a,b|3 commit"),
    "stale snapshot": (
        "list",
        "1 read 1 = -|2 append 1 a|2 commit|3 append 2 b|3 commit|1 read 2 = b|1 commit|4 scan = 1:a 2:b|4 commit",
        {"1": 6},
    ),
    "moving snapshot": ("list", "1 read 1 = -|2 append 2 a|2 commit|1 read 2 = a|1 commit"),
    "G-nonadjacent": (
        "list",
        "3 read 1 = -|4 read 2 = -|1 append 1 a|2 append 2 b|1 commit|2 commit|3 read 2 = b|4 read 1 = a|3 commit|4 commit|5 scan = 1:a 2:b|5 commit",
        {"3": 9, "4": 9},
    ),
    "G2-item": ("list", "1 read 1 = -|2 read 2 = -|1 append 2 a|2 append 1 b|1 commit|2 commit|3 read 1 = b|3 read 2 = a|3 commit"),
    "G2-item of registers": (
        "register",
        "1 write 1 7|1 write 2 8|1 commit|2 read 1 = 7|2 read 2 = 8|3 read 1 = 7|3 read 2 = 8|2 write 1 9|3 write 2 10|2 commit|3 commit",
    ),
    "G2": ("list", "1 range 1 5 = -|2 range 1 5 = -|1 append 1 a|2 append 2 b|1 commit|2 commit|3 scan = 1:a 2:b|3 commit"),
    "G2-item of one who only reads": (
        "list",
        "1 read 1 = -|1 read 2 = -|2 append 1 a|2 commit|3 read 1 = a|3 read 2 = -|3 commit|1 append 2 b|1 commit|4 read 1 = a|4 read 2 = b|4 commit",
    ),
}

GOOD = {
    "one after the other": ("list", "1 append 1 a|1 commit|2 read 1 = a|2 append 1 b|2 read 1 = a,b|2 commit|last scan = 1:a,b|last commit"),
    "unknown and seen": ("list", "1 append 1 a|1 lost|2 read 1 = a|2 commit|last scan = 1:a|last commit"),
    "unknown and never seen": ("register", "1 write 1 7|1 lost|2 read 1 = -|2 commit|last scan = -|last commit"),
    "undone": ("list", "1 append 1 a undone|1 read 1 = a|1 undo|1 read 1 = -|1 append 1 b|1 commit|last scan = 1:b|last commit"),
    "rolled back": ("register", "1 write 1 7|1 read 1 = 7|1 rollback|2 read 1 = -|2 commit|last scan = -|last commit"),
}


def history(kind, text, level, until={}):
    """`until` says whose first statement lasts how many lines longer."""
    transactions, places = [], {}
    value = lambda word: None if word == "-" else int(word) if kind == "register" else word
    for now, line in enumerate(text.split("|")):
        name, what, *words = line.split()
        if name not in places:
            places[name] = len(transactions)
            transactions.append(Transaction(FINAL if name == "last" else int(name)))
        transaction = transactions[places[name]]
        left, right = (words[: words.index("=")], words[words.index("=") + 1 :]) if "=" in words else (words, [])
        rows = [[int(key), value(word)] for key, _, word in (pair.partition(":") for pair in right if ":" in pair)]
        done = now + 0.5 + (until.get(name, 0) if not transaction.ops else 0)
        match what:
            case "append" | "write":
                transaction.ops.append(Op("write", now, done, keys=[int(left[0])], value=value(left[1]), undone="undone" in left))
            case "read":
                rows = [] if right == ["-"] else [[int(left[0]), value(right[0])]]
                transaction.ops.append(Op("read", now, done, ("key", int(left[0])), rows))
            case "range":
                transaction.ops.append(Op("read", now, done, ("range", int(left[0]), int(left[1])), rows))
            case "scan":
                transaction.ops.append(Op("read", now, done, ("all",), rows))
            case "undo":
                transaction.ops.append(Op("undo", now, done))
            case "commit" | "lost":
                transaction.commit_invoked = now
                transaction.status = "ok" if what == "commit" else "info"
                if what == "commit":
                    transaction.commit_done = done
    return History(kind, level, transactions)


class Cases(unittest.TestCase):
    def test_each_anomaly_is_found_at_its_level_and_allowed_below(self):
        for name, (kind, text, *until) in ANOMALOUS.items():
            anomaly = next(a for a in sorted(ANOMALIES, key=len, reverse=True) if name.startswith(a))
            level = ANOMALIES[anomaly]
            with self.subTest(name):
                findings = check(history(kind, text, level, *until))
                self.assertIn(anomaly, findings.forbidden(level), findings.counts)
                self.assertTrue(findings.witnesses[anomaly][0])
                if level != LEVELS[0]:
                    below = LEVELS[LEVELS.index(level) - 1]
                    findings = check(history(kind, text, below, *until))
                    self.assertEqual(findings.forbidden(below), [], findings.witnesses)

    def test_every_anomaly_of_cycles_and_reads_has_a_case(self):
        elsewhere = {"unexpected error", "lost locked update", "early read"}
        missing = [anomaly for anomaly in ANOMALIES if anomaly not in elsewhere and not any(name.startswith(anomaly) for name in ANOMALOUS)]
        self.assertEqual(missing, [])

    def test_what_was_locked_does_not_change(self):
        found = history("register", "1 write 1 7|1 commit|2 read 1 = 7|3 read 1 = 7|2 write 1 8|3 write 1 9|2 commit|3 commit", LEVELS[0])
        self.assertEqual(check(found).forbidden(LEVELS[0]), [])
        for transaction in found.transactions[1:]:
            transaction.ops[0].locked = True
        self.assertIn("lost locked update", check(found).forbidden(LEVELS[0]))

    def test_who_fails_may_have_read_what_a_kill_undid(self):
        for kind, value, text in (
            ("list", "a", "1 append 1 a|1 lost|2 append 2 b|2 read 1 = a|3 read 1 = -|3 commit|last scan = -|last commit"),
            ("register", "7", "1 write 1 7|1 lost|2 write 2 8|2 read 1 = 7|3 read 1 = -|3 commit|last scan = -|last commit"),
        ):
            with self.subTest(kind):
                self.assertEqual(dict(check(history(kind, text, LEVELS[0])).counts), {"early read": 1})

    def test_good_histories_have_no_anomaly(self):
        for name, (kind, text) in GOOD.items():
            for level in LEVELS:
                with self.subTest(name, level=level):
                    self.assertEqual(dict(check(history(kind, text, level)).counts), {})


if __name__ == "__main__":
    unittest.main()
