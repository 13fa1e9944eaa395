"""Every call of a script fails once, or from then on: syncs of files and directories, writes, creations, names, reads. No acknowledgement
that a restart does not keep, reads go on.
"""

from row import Row

row = Row()
row.simulate("failing-calls", quick=560, stride=5)
row.result(f"of {row.sums['possible']:,} calls and ways; {row.counted('told to a client', 'goes on writing', 'makes a checkpoint')}")
