"""In which order the values of each key came, as far as the history says.

    lists      exactly: a list read has all its earlier versions in it
    registers  in part: a transaction's value follows the one that it read before it wrote, and follows those whose COMMIT was answered
               before its own was sent, as writers of a row wait for each other

Both answer: who wrote this version (None is the beginning), and who wrote the versions next to it.

Source: Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations" (2020).
"""

import bisect
import collections
import math

from history import FINAL


class Lists:
    def __init__(self, history, externals):
        self.wrote = collections.defaultdict(list)  # (transaction, key): its elements that it did not undo, in order
        self.writer = {}  # (key, element): transaction, whether undone
        for number, transaction in enumerate(history.transactions):
            for op in transaction.ops:
                if op.kind == "write":
                    for key in op.keys:
                        self.writer[key, op.value] = number, op.undone
                        if not op.undone:
                            self.wrote[number, key].append(op.value)
        self.texts = {}
        for read in externals:
            is_final = history.transactions[read.transaction].session == FINAL
            best = self.texts.get(read.key, (False, ""))
            if (is_final, len(read.value or "")) > (best[0], len(best[1])):
                self.texts[read.key] = is_final, read.value or ""
        self.texts = {key: text for key, (_, text) in self.texts.items()}
        self.order = {key: elements(text) for key, text in self.texts.items()}
        self.place = {key: {element: place for place, element in enumerate(order)} for key, order in self.order.items()}
        self.seen = {self.writer[key, element][0] for key, order in self.order.items() for element in order if (key, element) in self.writer}

    def is_prefix(self, key, value):
        text = self.texts.get(key, "")
        return not value or text == value or text.startswith(value + ",")

    def writer_of(self, key, value):
        """None as well for what nobody wrote: that is told as an anomaly of its own."""
        return self.writer.get((key, last(value)), (None,))[0] if value else None

    def next_writers(self, key, value):
        order, writer = self.order.get(key, ()), self.writer_of(key, value)
        place = self.place[key][last(value)] + 1 if value else 0
        while place < len(order):
            following = self.writer.get((key, order[place]), (None,))[0]
            if following is not None and following != writer:
                return [following]
            place += 1
        return []

    def successions(self):
        """(writer, next writer, key)."""
        for key, order in self.order.items():
            writers = [self.writer[key, element][0] for element in order if (key, element) in self.writer]
            for earlier, later in zip(writers, writers[1:]):
                if earlier != later:
                    yield earlier, later, key


class Registers:
    def __init__(self, history, externals):
        self.wrote = collections.defaultdict(list)
        self.writer = {}
        for number, transaction in enumerate(history.transactions):
            for op in transaction.ops:
                if op.kind == "write":
                    for key in op.keys:
                        self.writer[key, op.value] = number, op.undone
                        if not op.undone:
                            self.wrote[number, key].append(op.value)
        self.seen = set()
        for read in externals:
            reader = history.transactions[read.transaction]
            if (read.key, read.value) in self.writer and (reader.status == "ok" or not reader.writes()):  # Else see "early read".
                self.seen.add(self.writer[read.key, read.value][0])
        lasting = lambda number: history.transactions[number].status == "ok" or number in self.seen
        self.following = collections.defaultdict(list)  # (key, value): who read it and then wrote
        for read in externals:
            if (read.transaction, read.key) in self.wrote and lasting(read.transaction) and read.tells_predecessor:
                self.following[read.key, read.value].append(read.transaction)
        by_key = collections.defaultdict(list)
        for number, key in self.wrote:
            if lasting(number):
                by_key[key].append((history.transactions[number].commit_invoked, number))
        self.by_key = {}
        for key, commits in by_key.items():
            commits.sort()
            first_done, least = [], math.inf  # The earliest end of a COMMIT from each place on.
            for _, number in reversed(commits):
                least = min(least, history.transactions[number].commit_done)
                first_done.append(least)
            self.by_key[key] = [invoked for invoked, _ in commits], [number for _, number in commits], first_done[::-1]
        self.done = [transaction.commit_done for transaction in history.transactions]

    def is_prefix(self, key, value):
        return True

    def writer_of(self, key, value):
        return self.writer.get((key, value), (None,))[0] if value is not None else None

    def next_writers(self, key, value):
        writer = self.writer_of(key, value)
        found = list(self.following.get((key, value), ()))
        if key in self.by_key and not (value is not None and writer is None):
            invoked, numbers, first_done = self.by_key[key]
            place = 0 if writer is None else bisect.bisect_right(invoked, self.done[writer])
            stop = bisect.bisect_right(invoked, first_done[place]) if place < len(numbers) else place
            found += numbers[place:stop]
        return [number for number in dict.fromkeys(found) if number != writer]

    def successions(self):
        for number, key in list(self.wrote):
            if number in self.seen or self.done[number] < math.inf:
                for later in self.next_writers(key, self.wrote[number, key][-1]):
                    yield number, later, key


def elements(text):
    return text.split(",") if text else []


def last(text):
    return text[text.rfind(",") + 1 :]
