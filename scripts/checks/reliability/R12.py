"""A crash at named places of freeze, compaction, checkpoint, collection, DDL, loads, index builds, recovery and the log's files, 25 seeds
for each.
"""

from row import Row

row = Row()
row.simulate("points", quick=280, stride=5)
row.result(f"{row.sums['possible'] // 25} places; {row.counted('stopped there', 'not reached')}")
