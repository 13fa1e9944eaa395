"""Power loss in simulation, by seeds: unsynced pages and sectors lost, kept, reordered or garbled, unsynced names lost; clients, merges,
loads and checkpoints in any order, three losses a seed.
"""

from row import Row

row = Row()
row.simulate("power-loss", quick=200, full=10_000)
row.result(f"{row.counted('losses', 'stopped in a call', 'vanished', 'survived unasked')}; each 50th seed run twice alike")
