"""The files of PostgreSQL's isolation tests (src/test/isolation/specs/*.spec), read.

    setup { SQL }  teardown { SQL }                  before and after each permutation
    session NAME  setup { SQL }  step NAME { SQL } ...  teardown { SQL }
    permutation STEP STEP(*) STEP(OTHER) STEP(OTHER notices 2) ...

A permutation is an order in which steps are sent. Its marks say when a step's end may be told: `*`, it is told as waiting first; OTHER,
not while that step runs; OTHER notices N, not until OTHER's session has sent N more notices. Without permutations there are all that keep
each session's steps in their order.

Source: src/test/isolation/README of PostgreSQL 15.
"""

import dataclasses
import math
import random
import re

TOKEN = re.compile(r"""
    (?P<space>\s+|\#[^\n]*) | (?P<block>\{(?P<sql>[^}]*)\}) | "(?P<quoted>(?:[^"\n]|"")*)" | (?P<word>[A-Za-z_\x80-\uffff][\w$]*) |
    (?P<number>\d+) | (?P<sign>[,()*])""", re.VERBOSE)


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    sql: str
    session: int


@dataclasses.dataclass(frozen=True)
class Blocker:
    """`step` is None for `*`; `notices` is 0 if the step's end is meant."""
    step: Step | None
    notices: int = 0


@dataclasses.dataclass
class Turn:
    """A step where it stands in a permutation. Compared by identity: a step may stand there twice."""
    step: Step
    blockers: tuple = ()

    __hash__ = object.__hash__
    __eq__ = object.__eq__


@dataclasses.dataclass
class Session:
    name: str
    setup: str | None
    teardown: str | None
    steps: list


class Spec:
    """A file's `name` and `text`: `setups`, `teardown`, `sessions`, and `written`, its permutations as lists of turns, or None for all."""

    def __init__(self, name, text):
        self.name, self.text, self.tokens = name, text, list(tokens(text))
        self.setups, self.sessions, self.written = [], [], None
        while self.at("setup"):
            self.setups.append(self.block("setup"))
        self.teardown = self.optional_block("teardown")
        while self.at("session"):
            self.sessions.append(self.session(len(self.sessions)))
        self.steps = {step.name: step for session in self.sessions for step in session.steps}
        if self.tokens:
            self.written = []
            while self.tokens:
                self.written.append(self.permutation())

    def permutations(self, most, seed):
        """How many there are, and up to `most` of them, drawn by the seed, in order, each with its number from 1."""
        counts = [len(session.steps) for session in self.sessions]
        if self.written is not None:
            total, pick = len(self.written), lambda number: self.written[number]
        else:
            total, pick = interleavings(counts), lambda number: [Turn(step) for step in self.interleaving(counts, number)]
        numbers = range(total) if total <= most else sorted(random.Random(seed).sample(range(total), most))
        return total, [(number + 1, pick(number)) for number in numbers]

    def interleaving(self, counts, number):
        """The one of that number, from 0, in the order in which the first session's steps come as early as they can."""
        left, steps = list(counts), []
        while any(left):
            for which, session in enumerate(self.sessions):
                if not left[which]:
                    continue
                left[which] -= 1
                below = interleavings(left)
                if number < below:
                    steps.append(session.steps[counts[which] - left[which] - 1])
                    break
                number -= below
                left[which] += 1
        return steps

    def at(self, word):
        return bool(self.tokens) and self.tokens[0] == ("word", word)

    def take(self, kind, value=None):
        if not self.tokens or self.tokens[0][0] != kind or value not in (None, self.tokens[0][1]):
            raise SystemExit(f"{self.name}: {value or kind} expected, found {self.tokens[:3]}")
        return self.tokens.pop(0)[1]

    def block(self, word):
        self.take("word", word)
        return self.take("block")

    def optional_block(self, word):
        return self.block(word) if self.at(word) else None

    def identifier(self):
        return self.take(self.tokens[0][0] if self.tokens and self.tokens[0][0] == "quoted" else "word")

    def session(self, index):
        self.take("word", "session")
        name, setup, steps = self.identifier(), self.optional_block("setup"), []
        while self.at("step"):
            self.take("word", "step")
            steps.append(Step(self.identifier(), self.take("block"), index))
        return Session(name, setup, self.optional_block("teardown"), steps)

    def permutation(self):
        self.take("word", "permutation")
        turns = []
        while self.tokens and not self.at("permutation"):
            step, blockers = self.steps[self.identifier()], []
            if self.tokens and self.tokens[0] == ("sign", "("):
                while self.take("sign") != ")":
                    blockers.append(self.blocker())
            turns.append(Turn(step, tuple(blockers)))
        return turns

    def blocker(self):
        if self.tokens[0] == ("sign", "*"):
            self.take("sign")
            return Blocker(None)
        step = self.steps[self.identifier()]
        if self.at("notices"):
            self.take("word")
            return Blocker(step, int(self.take("number")))
        return Blocker(step)


def tokens(text):
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise SystemExit(f"cannot read {text[at:at + 40]!r}")
        at = found.end()
        if found["block"]:
            yield "block", found["sql"].strip()
        elif found["quoted"] is not None:
            yield "quoted", found["quoted"].replace('""', '"')
        elif not found["space"]:
            yield found.lastgroup, found[0]


def interleavings(counts):
    return math.factorial(sum(counts)) // math.prod(math.factorial(count) for count in counts)


def statements(sql):
    """The statements of a block of SQL, cut at semicolons outside of quotes and comments."""
    piece = re.compile(r"(?s)'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|(;)|.")
    found, start = [], 0
    for match in piece.finditer(sql + ";"):
        if match[2]:
            found.append(sql[start:match.start()].strip())
            start = match.end()
    return [statement for statement in found if statement]
