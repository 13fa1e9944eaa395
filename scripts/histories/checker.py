"""Which anomalies a history has, and which of them an isolation level forbids, as PostgreSQL defines the levels.

    read committed   each statement sees a snapshot of what is committed, its own transaction's writes on top; never an earlier one than
                     what was acknowledged when it was sent. A write follows the commits whose rows it changes
    repeatable read  all statements see the snapshot of the first; who changes what a later commit has changed fails
    serializable     moreover the committed transactions are as if one after the other

Each claim is a graph of events that must have no cycle: commits C and the snapshots S of each statement or B of each transaction.

    ww: T2 puts its version after T1's   C1 -> C2, B2            wr: T2 reads T1's version      C1 -> S2 or B2
    rw: T1 reads what T2 overwrites      S1 or B1 -> C2          time: one had ended when the other was sent

Serializability is the graph of whole transactions, without time, which PostgreSQL does not promise there.
Failed transactions' reads count, but not for serializability. Whose COMMIT was never answered counts as committed if it was seen.

Source: Adya, "Weak consistency" (1999), for names and graphs; Elle (see `versions`); Cerone, Bernardi and Gotsman, "A framework for
transactional consistency models with atomic visibility" (2015), for snapshot isolation as an order of events.
"""

import collections
import dataclasses

import graphs
import reads
import versions
from history import FINAL, LEVELS, predicate_text

SHOWN = 2  # Witnesses of each anomaly.
READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE = LEVELS
ANOMALIES = {  # The weakest level that forbids each; None: none does.
    "unexpected error": READ_COMMITTED,
    "garbage": READ_COMMITTED,  # A value that nobody wrote.
    "duplicate row": READ_COMMITTED,  # One statement returns a key twice.
    "duplicate write": READ_COMMITTED,  # An element is in its list twice.
    "lost write": READ_COMMITTED,  # Acknowledged, and not there at the end.
    "internal": READ_COMMITTED,  # A transaction does not see its own writes, or ones that it has undone.
    "incompatible order": READ_COMMITTED,  # Two reads of a list, neither of which begins with the other.
    "undurable read": READ_COMMITTED,  # Of a commit that was not acknowledged and that a kill of the server then undid.
    "early read": None,  # The same by a transaction that writes and did not commit: it might have waited for the other's rows.
    "G0": READ_COMMITTED,
    "G1a": READ_COMMITTED,
    "G1b": READ_COMMITTED,
    "G1c": READ_COMMITTED,
    "dirty read": READ_COMMITTED,  # Seen before its COMMIT was sent.
    "stale read": READ_COMMITTED,  # Acknowledged, and not seen by a later statement.
    "statement read skew": READ_COMMITTED,  # One statement sees part of a commit.
    "lost locked update": READ_COMMITTED,  # What was locked changed nevertheless.
    "non-repeatable read": REPEATABLE_READ,
    "lost update": REPEATABLE_READ,
    "G-single": REPEATABLE_READ,
    "G-nonadjacent": REPEATABLE_READ,
    "stale snapshot": REPEATABLE_READ,
    "moving snapshot": REPEATABLE_READ,  # Seen, though committed after the snapshot was taken.
    "G2-item": SERIALIZABLE,
    "G2": SERIALIZABLE,
}


@dataclasses.dataclass
class Findings:
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    witnesses: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))

    def tell(self, name, text):
        self.counts[name] += 1
        if len(self.witnesses[name]) < SHOWN:
            self.witnesses[name].append(text)

    def forbidden(self, level):
        return [name for name in self.counts if ANOMALIES[name] in LEVELS[: LEVELS.index(level) + 1]]


def check(history):
    findings = Findings()
    externals = reads.external_reads(history, findings.tell)
    order = {"list": versions.Lists, "register": versions.Registers}[history.kind](history, externals)
    committed = [
        transaction.status == "ok" or (transaction.status == "info" and number in order.seen)
        for number, transaction in enumerate(history.transactions)
    ]
    externals = [read for read in externals if is_sound(history, order, committed, read, findings.tell)]
    if history.kind == "list":
        whole_lists(history, order, committed, findings.tell)
    Cycles(history, order, committed, externals, findings.tell).look()
    return findings


def is_sound(history, order, committed, read, tell):
    """G1a, G1b, and versions that have no place in the order; whether the read can take part in the graphs."""
    at, value = f"T{read.transaction} reads {read.key} = {reads.short(read.value)}", read.value
    if not value:
        return True
    prefix = order.is_prefix(read.key, value)
    newest = versions.last(value) if history.kind == "list" else value
    for element in [newest] if prefix else versions.elements(value):
        writer, undone = order.writer.get((read.key, element), (None, False))
        if writer is None:
            tell("garbage", f"{at}: nobody wrote {element}")
        elif writer == read.transaction:
            tell("internal", f"{at}: {element} is its own, undone or to come")
        elif undone or history.transactions[writer].status == "fail":
            tell("G1a", f"{at}: T{writer}, which wrote {element}, {'undid it' if undone else 'rolled back'}")
        elif not committed[writer]:
            early = not committed[read.transaction] and history.transactions[read.transaction].writes()
            tell("early read" if early else "undurable read", f"{at}: T{writer}, which wrote {element}, is not there after a kill")
        elif element == newest and order.wrote[writer, read.key][-1] != element:
            tell("G1b", f"{at}: T{writer} wrote {order.wrote[writer, read.key]} to it")
        else:
            continue
        return False
    if not prefix:
        tell("incompatible order", f"{at}: others read {reads.short(order.texts[read.key])}")
    return prefix


def whole_lists(history, order, committed, tell):
    for key, elements in order.order.items():
        if len(order.place[key]) < len(elements):
            twice = [element for element, count in collections.Counter(elements).items() if count > 1]
            tell("duplicate write", f"{key} has {twice} twice")
        for element in order.place[key]:
            if (key, element) in order.writer:
                writer, undone = order.writer[key, element]
                if undone or not committed[writer]:
                    tell("G1a", f"{key} has {element} of T{writer}, which {'undid it' if undone else 'rolled back'}")
    if any(transaction.session == FINAL for transaction in history.transactions):
        for (number, key), elements in order.wrote.items():
            lost = [element for element in elements if element not in order.place.get(key, ())]
            if lost and committed[number]:
                how = "whose COMMIT was answered" if history.transactions[number].status == "ok" else "of which other writes were seen"
                tell("lost write", f"{key} has not {lost} of T{number}, {how}")


class Cycles:
    def __init__(self, history, order, committed, externals, tell):
        self.history, self.order, self.committed, self.tell = history, order, committed, tell
        self.began = min((op.invoked for transaction in history.transactions for op in transaction.ops[:1]), default=0)
        self.successions = [(a, b, key) for a, b, key in order.successions() if committed[a] and committed[b]]
        self.externals = [(read, order.writer_of(read.key, read.value), order.next_writers(read.key, read.value)) for read in externals]

    def look(self):
        self.report(self.dependencies(reads=False, overwritten=False), "transaction")
        self.report(self.dependencies(reads=True, overwritten=False), "transaction")
        if self.history.level == READ_COMMITTED:
            self.report(self.statements(), "statement")
        self.report(self.snapshots(), "snapshot")
        self.report(self.dependencies(reads=True, overwritten=True), "transaction")

    def dependencies(self, reads, overwritten):
        graph = graphs.Graph()
        nodes = [graph.node(("T", number)) for number in range(len(self.committed))]
        for earlier, later, key in self.successions:
            graph.edge(nodes[earlier], nodes[later], "ww", key)
        for read, writer, following in self.externals if reads else ():
            if self.committed[read.transaction]:
                if writer is not None:
                    graph.edge(nodes[writer], nodes[read.transaction], "wr", read.key)
                for other in following if overwritten else ():
                    graph.edge(nodes[read.transaction], nodes[other], "rw*" if read.by_predicate else "rw", read.key)
        return graph

    def commits(self, graph):
        return {number: graph.node(("C", number)) for number, committed in enumerate(self.committed) if committed}

    def commit_times(self, commits):
        times = ((node, self.history.transactions[number]) for number, node in commits.items())
        return [(node, transaction.commit_invoked, transaction.commit_done) for node, transaction in times]

    def statements(self):
        graph = graphs.Graph()
        commits = self.commits(graph)
        nodes, events = {}, self.commit_times(commits)
        for earlier, later, key in self.successions:
            graph.edge(commits[earlier], commits[later], "ww", key)
        for read, writer, following in self.externals:
            place = read.transaction, read.statement
            op = self.history.transactions[read.transaction].ops[read.statement]
            if read.locked:  # Nobody changes the row before the lock goes, at the commit or at ROLLBACK TO.
                if op.undone or read.transaction not in commits:
                    continue
                node = commits[read.transaction]
            elif (node := nodes.get(place)) is None:
                node = nodes[place] = graph.node(("S", *place))
                events.append((node, op.invoked, op.done))
            self.see(graph, commits, node, read, writer, following)
        graph.order_in_time(events)
        return graph

    def snapshots(self):
        graph = graphs.Graph()
        commits = self.commits(graph)
        nodes, events = {}, self.commit_times(commits)
        for number, transaction in enumerate(self.history.transactions):
            if transaction.ops:
                nodes[number] = graph.node(("B", number))
                events.append((nodes[number], transaction.ops[0].invoked, transaction.ops[0].done))
                if number in commits:
                    graph.edge(nodes[number], commits[number], "then")
        for earlier, later, key in self.successions:
            graph.edge(commits[earlier], nodes[later], "ww", key)
        for read, writer, following in self.externals:
            self.see(graph, commits, nodes[read.transaction], read, writer, following)
        graph.order_in_time(events)
        return graph

    def see(self, graph, commits, node, read, writer, following):
        if writer in commits:
            graph.edge(commits[writer], node, "wr", read.key)
        for other in following:
            if other in commits and other != read.transaction:
                graph.edge(node, commits[other], "rw*" if read.by_predicate else "rw", read.key)

    def report(self, graph, of):
        for cycle in graph.cycles():
            self.tell(self.name(cycle, of), "\n".join(self.lines(cycle)))

    def name(self, cycle, of):
        whys = collections.Counter(edge.why for edge in cycle)
        overwritten, time = whys["rw"] + whys["rw*"], whys[graphs.TIME]
        if not overwritten and not time:
            return "G1c" if whys["wr"] else "G0"
        if of == "statement":
            if any(edge.source[0] == "C" and edge.why in ("rw", "rw*") for edge in cycle):
                return "lost locked update"
            if not time:
                return "statement read skew"
            if not overwritten:
                return "dirty read" if whys["wr"] else "G0"
            return self.stale(cycle, "stale read")
        if of == "snapshot" and time:
            if not overwritten:
                return "lost update" if whys["ww"] and not whys["wr"] else "moving snapshot"
            return self.stale(cycle, "stale snapshot")
        if overwritten <= 1:
            keys = {edge.key for edge in cycle if edge.why != "then"}
            return "lost update" if whys["ww"] == 1 and not whys["wr"] and len(keys) == 1 else "G-single"
        if of == "snapshot":
            return "G-nonadjacent"
        return "G2" if whys["rw*"] else "G2-item"

    def stale(self, cycle, name):
        """What the last look does not find is lost."""
        final = (self.history.transactions[edge.source[1]].session == FINAL for edge in cycle if edge.why in ("rw", "rw*"))
        return "lost write" if any(final) else name

    def lines(self, cycle):
        """One for each edge, as `T7's commit -> T9's snapshot: T9 reads key 3 as T7 left it`, then each transaction in full."""
        for edge in cycle:
            a, b = f"T{edge.source[1]}", f"T{edge.target[1]}"
            why = {
                "ww": f"{b} puts its version of {edge.key} after {a}'s",
                "wr": f"{b} reads {edge.key} as {a} left it",
                "rw": f"{a} reads {edge.key} as it was before {b}",
                "rw*": f"{a} does not find {edge.key}, which {b} makes",
                "time": f"{a}'s had ended when {b}'s was sent",
                "then": "one transaction",
            }[edge.why]
            yield f"{event_text(edge.source)} -> {event_text(edge.target)}: {why}"
        keys = {edge.key for edge in cycle}
        for number in sorted({edge.source[1] for edge in cycle}):
            yield from self.transaction_lines(number, keys)

    def transaction_lines(self, number, keys):
        """Times in milliseconds; of rows only those of the keys in question."""
        transaction = self.history.transactions[number]
        span = lambda invoked, done: f"{1000 * (invoked - self.began):.1f}-{1000 * (done - self.began):.1f}"
        yield f"    T{number} of session {transaction.session}"
        for op in transaction.ops:
            if op.kind == "write":
                said = f"write {op.value} to {', '.join(map(str, op.keys))}{' (undone)' if op.undone else ''}"
            elif op.kind == "read":
                rows = ", ".join(f"{key} = {reads.short(value)}" for key, value in op.rows if key in keys)
                said = f"read {predicate_text(op.where)}: {rows or '-'} ({len(op.rows)} rows)"
            else:
                said = "undo"
            yield f"        {span(op.invoked, op.done)} {said}"
        yield f"        {span(transaction.commit_invoked, transaction.commit_done)} {transaction.status}"


def event_text(event):
    what = {"T": "", "C": "'s commit", "B": "'s snapshot", "S": "'s statement"}[event[0]]
    return f"T{event[1]}{what}" + (f" {event[2] + 1}" if event[0] == "S" else "")
