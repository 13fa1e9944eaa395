#!/usr/bin/env python3
"""Reads a table of a data directory that was served, with DuckDB and pyarrow and docs/format.md alone: the newest manifest says which
segments, deletion vectors and dump make up the table; the Parquet files are read as they are, dead positions left out, and the dump's
rows added. The result must be what SELECT answered.

  scripts/python scripts/checks/read_served.py DIRECTORY SELECTED.csv

The directory's one table is: id bigint primary key, v integer, amount numeric(15,2), note text. SELECTED.csv has its rows in key order (COPY .. CSV).
"""

import csv
import decimal
import pathlib
import struct
import sys
import zlib

import duckdb
import pyarrow.parquet as pq

from read_parquet import roaring_portable


class Bytes:
    """A file of little-endian fields."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        assert self.at <= len(self.data), "the file is too short"
        return self.data[self.at - n : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def bytes(self):
        return self.take(self.number("I"))


def manifest(directory):
    newest = max((directory / "manifest").glob("*.mf"))
    data = newest.read_bytes()
    assert zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "CRC of the manifest"
    file = Bytes(data[:-4])
    assert file.take(8) == b"CLNDMFT\n" and file.number("I") == 1
    assert file.number("Q") == int(newest.stem)
    found = {"F": file.number("Q"), "tables": {}}
    file.take(8 + 8 + 4)  # log position, next segment, next oid
    file.bytes()  # catalog
    for _ in range(file.number("I")):
        table, _next_row_id = file.number("I"), file.number("Q")
        segments, dump = [], None
        for _ in range(file.number("I")):
            segment = {"id": file.number("Q"), "rows": file.number("I"), "bytes": file.number("Q")}
            file.take(8 + 4)  # sidecar: length, CRC
            segment["from"] = file.number("Q")
            kind = file.number("B")
            if kind == 0:
                segment["dead"] = None
            elif kind == 1:
                segment["dead"] = file.bytes()
            else:
                assert kind == 2
                segment["dead"] = (file.number("Q"), file.number("Q"), file.number("I"))
            segments.append(segment)
        if file.number("B"):
            dump = {"version": file.number("Q"), "bytes": file.number("Q"), "rows": file.number("Q"), "salt": file.number("Q")}
        found["tables"][table] = (segments, dump)
    return found


def dead_positions(folder, segment):
    dead = segment["dead"]
    if isinstance(dead, tuple):
        at, length, crc = dead
        data = (folder / f"{segment['id']}.{at}.dv").read_bytes()
        assert len(data) == length and zlib.crc32(data[:-4]) == crc == struct.unpack("<I", data[-4:])[0]
        assert data[:8] == b"CLNDDV1\n" and struct.unpack_from("<QQ", data, 8) == (segment["id"], at)
        dead = data[24:-4]
    return roaring_portable(dead) if dead else []


def dump_rows(folder, table, at, dump):
    data = (folder / f"{dump['version']}.rows").read_bytes()
    assert len(data) == dump["bytes"]
    assert data[:8] == b"CLNDDMP\n" and struct.unpack_from("<IIQQ", data, 8) == (1, table, at, dump["salt"])
    assert zlib.crc32(data[:32]) == struct.unpack_from("<I", data, 32)[0]
    file, blocks, rows = Bytes(data[36:]), 0, []
    while True:
        length, count, crc = file.number("I"), file.number("I"), file.number("I")
        end = length == 0xFFFFFFFF
        content = file.take(16 if end else length)
        assert zlib.crc32(struct.pack("<QQII", dump["salt"], blocks, length, count) + content) == crc, "CRC of a block"
        if end:
            assert struct.unpack("<QQ", content) == (dump["rows"], blocks)
            assert len(rows) == dump["rows"] and file.at == len(file.data)
            return rows
        block = Bytes(content)
        for _ in range(count):
            block.bytes()  # the key
            rows.append(row_image(block.bytes()))
        blocks += 1


def row_image(image):
    nulls, id, v, amount, offset, length = struct.unpack_from("<BqiqII", image)
    variable = 1 + 8 + 4 + 8 + 8 + offset
    note = image[variable : variable + length]
    values = (id, v, decimal.Decimal(amount).scaleb(-2), note.decode())
    return tuple(None if nulls >> i & 1 else value for i, value in enumerate(values))


def selected(path):
    with open(path, newline="") as file:
        for id, v, amount, note in csv.reader(file):
            # COPY writes NULL as nothing, an empty text as ""; csv.reader does not tell them apart, so notes are never empty here.
            yield int(id), int(v) if v else None, decimal.Decimal(amount) if amount else None, note or None


def main():
    directory, path = pathlib.Path(sys.argv[1]), sys.argv[2]
    found = manifest(directory)
    [(table, (segments, dump))] = found["tables"].items()
    folder = directory / "data" / str(table)
    connection = duckdb.connect()
    by_duckdb, by_pyarrow, left_out = [], [], 0
    for segment in segments:
        assert segment["from"] <= found["F"]
        file = folder / f"{segment['id']}.parquet"
        assert file.stat().st_size == segment["bytes"]
        dead = set(dead_positions(folder, segment))
        left_out += len(dead)
        rows = connection.execute(
            "SELECT id, v, amount, note, file_row_number FROM read_parquet(?, file_row_number = true)", [str(file)]
        ).fetchall()
        assert len(rows) == segment["rows"] and dead <= set(range(len(rows)))
        by_duckdb += [row[:4] for row in rows if row[4] not in dead]
        columns = pq.read_table(file).select(["id", "v", "amount", "note"]).to_pydict()
        by_pyarrow += [row for at, row in enumerate(zip(*columns.values())) if at not in dead]
    dumped = dump_rows(folder, table, found["F"], dump) if dump else []
    want = list(selected(path))
    for reader, rows in (("DuckDB", by_duckdb), ("pyarrow", by_pyarrow)):
        have = sorted(rows + dumped, key=lambda row: row[0])
        assert len(have) == len(want), f"{reader}: {len(have)} rows, SELECT has {len(want)}"
        for one, other in zip(have, want):
            assert one == other, f"{reader}: {one}, SELECT has {other}"
    print(f"{len(want)} rows equal: {len(segments)} segments less {left_out} dead positions, and {len(dumped)} rows of a dump")
    assert len(segments) >= 1 and left_out > 0, "the files should have had something to leave out"


if __name__ == "__main__":
    main()
