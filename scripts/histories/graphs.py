"""A directed graph of what must have come before what: its cycles, and short ones among them as witnesses.

An edge says why (`ww`, `wr`, `rw`, `time`..) and through which key. Real time is a chain of moments, so that "before" among n events takes 3n
edges and not their square:

    event -> moment of its end -> next moment -> ... -> last moment before another event began -> that event

Source: Tarjan, "Depth-first search and linear graph algorithms" (1972), with a stack of its own instead of recursion.
"""

import bisect
import collections
import heapq
import math

TIME = "time"
STARTS = 12  # Nodes of a component from which a short cycle is looked for: enough to meet one of each sort, in a second.

Edge = collections.namedtuple("Edge", "source why key target")


class Graph:
    def __init__(self):
        self.names = []  # Of nodes; None are moments.
        self.targets = []
        self.why = {}

    def node(self, name):
        self.names.append(name)
        self.targets.append([])
        return len(self.names) - 1

    def edge(self, source, target, why, key=None):
        """The first reason is kept, of several for the same pair."""
        if source != target and (source, target) not in self.why:
            self.why[source, target] = (why, key)
            self.targets[source].append(target)

    def order_in_time(self, events):
        """`events` are (node, invoked, done)."""
        ends = sorted((done, node) for node, _, done in events if done < math.inf)
        moments = [self.node(None) for _ in ends]
        for (_, node), moment in zip(ends, moments):
            self.edge(node, moment, TIME)
        for earlier, later in zip(moments, moments[1:]):
            self.edge(earlier, later, TIME)
        times = [done for done, _ in ends]
        for node, invoked, _ in events:
            if (before := bisect.bisect_left(times, invoked)) > 0:
                self.edge(moments[before - 1], node, TIME)

    def components(self):
        """The sets of more than one node that all reach each other."""
        index, low, on_stack, stack, found = [0] * len(self.targets), [0] * len(self.targets), set(), [], []
        counter = 0
        for root in range(len(self.targets)):
            if index[root]:
                continue
            counter += 1
            index[root] = low[root] = counter
            stack.append(root)
            on_stack.add(root)
            work = [(root, iter(self.targets[root]))]
            while work:
                node, rest = work[-1]
                for target in rest:
                    if not index[target]:
                        counter += 1
                        index[target] = low[target] = counter
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, iter(self.targets[target])))
                        break
                    if target in on_stack:
                        low[node] = min(low[node], index[target])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        component = []
                        while not component or component[-1] != node:
                            component.append(stack.pop())
                            on_stack.discard(component[-1])
                        if len(component) > 1:
                            found.append(component)
        return found

    def cycles(self):
        """Some short cycles of every component, as lists of edges between events; the shortest come first."""
        found = {}
        for component in self.components():
            inside = set(component)
            events = [node for node in component if self.names[node] is not None]
            for start in events[:: max(1, len(events) // STARTS)]:
                if cycle := self._shortest(start, inside):
                    found.setdefault(frozenset(edge.source for edge in cycle), cycle)
        return sorted(found.values(), key=lambda cycle: (any(edge.why == TIME for edge in cycle), len(cycle)))

    def _shortest(self, start, inside):
        """Through a node; real time counts for more than a dependency, as it says less."""
        cost, came, heap = {}, {}, []

        def leave(node, so_far):
            for target in self.targets[node]:
                if target in inside:
                    total = so_far + (0 if self.names[node] is None else 3 if self.names[target] is None else 2)
                    if total < cost.get(target, math.inf):
                        cost[target], came[target] = total, node
                        heapq.heappush(heap, (total, target))

        leave(start, 0)
        while heap and heap[0][1] != start:
            so_far, node = heapq.heappop(heap)
            if so_far == cost[node]:
                leave(node, so_far)
        path = [start, came[start]]
        while path[-1] != start:
            path.append(came[path[-1]])
        path.reverse()
        cycle = []
        for source, target in zip(path, path[1:]):
            if self.names[source] is None:  # Moments are joined into one edge.
                cycle[-1] = cycle[-1]._replace(target=self.names[target])
            else:
                cycle.append(Edge(self.names[source], *self.why[source, target], self.names[target]))
        return cycle
