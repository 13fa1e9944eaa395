#!/usr/bin/env python3
"""Reads the files of crates/segments/examples/sample_table.rs with DuckDB and pyarrow, which know nothing of Colonnade, and compares
every value with what that example says it wrote; applies the deletion vector by hand from docs/format.md.

  cargo run -p segments --example sample_table -- DIR && scripts/python scripts/checks/read_parquet.py DIR
"""

import datetime
import decimal
import pathlib
import struct
import sys
import uuid
import zlib

import duckdb
import pyarrow
import pyarrow.parquet as pq

decimal.getcontext().prec = 50
ROWS = {1: range(0, 140_000), 2: range(140_000, 141_000)}
TYPES = {
    "id": "bigint", "bool": "boolean", "int2": "smallint", "int4": "integer", "float4": "real", "float8": "double precision",
    "numeric9": "numeric(9,2)", "numeric18": "numeric(18,4)", "numeric38": "numeric(38,10)", "text": "text",
    "choice": "character varying(20)", "bytea": "bytea", "date": "date", "time": "time without time zone",
    "timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone", "interval": "interval", "uuid": "uuid",
}
EPOCH = datetime.datetime(1970, 1, 1)
UTC_EPOCH = EPOCH.replace(tzinfo=datetime.timezone.utc)


def numeric(unscaled, scale):
    return decimal.Decimal(unscaled).scaleb(-scale)


def micros(n):
    return datetime.timedelta(microseconds=n)


VALUES = [
    lambda i: i,
    lambda i: i % 3 == 0,
    lambda i: i % 30_000 - 15_000,
    lambda i: i * 7 - 100_000,
    lambda i: i / 4,
    lambda i: -i / 8,
    lambda i: numeric(i * 11 - 500_000, 2),
    lambda i: numeric(i * 1_000_000_007, 4),
    lambda i: numeric(-i * 10**28, 10),
    lambda i: f"row {i} — a text that is not short",
    lambda i: f"choice {i % 5}",
    lambda i: struct.pack("<I", i),
    lambda i: EPOCH.date() + datetime.timedelta(days=i % 40_000 - 10_000),
    lambda i: (EPOCH + micros(i * 1_001 % 86_400_000_000)).time(),
    lambda i: EPOCH + micros(i * 1_000_003 - 5_000_000_000),
    lambda i: UTC_EPOCH + micros(i * 1_000_033),
    lambda i: {"months": i % 50, "days": -(i % 7), "micros": i * 3},
    lambda i: uuid.UUID(int=i * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
]


def expected(i, column):
    return None if column > 0 and i % 10 == column % 10 else VALUES[column](i)


def compare(reader, rows, name, column, found):
    found = list(found)
    assert len(found) == len(rows), f"{reader}: {len(found)} rows, {len(rows)} were written"
    for i, value in zip(rows, found):
        want = expected(i, column)
        if name == "uuid" and isinstance(value, bytes):
            value = uuid.UUID(bytes=value)
        assert value == want, f"{reader}: {name} of row {i} is {value!r}, not {want!r}"


def read_with_pyarrow(directory):
    for segment, rows in ROWS.items():
        file = pq.ParquetFile(directory / f"{segment}.parquet")
        metadata = {k.decode(): v.decode() for k, v in file.metadata.metadata.items()}
        assert {name: metadata[f"colonnade.type.{name}"] for name in TYPES} == TYPES, metadata
        assert metadata["colonnade.key.0"] == "id"
        groups = [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)]
        assert groups == ([131_072, 8_928] if segment == 1 else [1_000]), groups
        first = file.metadata.row_group(0)
        assert first.sorting_columns and first.column(0).has_offset_index and first.column(0).has_column_index
        assert [first.column(c).has_dictionary_page for c in (0, 10)] == [False, True], "dictionaries only where values repeat"
        assert first.column(0).statistics.max == rows[0] + first.num_rows - 1
        assert first.column(0).compression == ("LZ4" if segment == 1 else "ZSTD"), first.column(0).compression
        table = file.read()
        for column, name in enumerate(TYPES):
            values = table.column(name)
            compare("pyarrow", rows, name, column, values.to_pylist())


def read_with_duckdb(directory):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for segment, rows in ROWS.items():
        file = directory / f"{segment}.parquet"
        for column, name in enumerate(TYPES):
            # Python's timestamps with a zone would need pytz: microseconds do as well.
            what = f'epoch_us("{name}")' if name == "timestamptz" else f'"{name}"'
            sql = f"SELECT {what} FROM read_parquet(?, file_row_number = true) ORDER BY file_row_number"
            values = (row[0] for row in connection.execute(sql, [str(file)]).fetchall())
            if name == "timestamptz":
                values = (None if v is None else UTC_EPOCH + micros(v) for v in values)
            compare("DuckDB", rows, name, column, values)
    both = str(directory / "*.parquet")
    sql = "SELECT count(*), sum(int4), count(DISTINCT choice), min(date) FROM read_parquet(?) WHERE id BETWEEN 130000 AND 140500"
    some = range(130_000, 140_501)
    int4 = [v for v in (expected(i, 3) for i in some) if v is not None]
    dates = [v for v in (expected(i, 12) for i in some) if v is not None]
    assert connection.execute(sql, [both]).fetchone() == (len(some), sum(int4), 5, min(dates))


def roaring_portable(data):
    """The positions in a bitmap of the roaring portable format, without a library."""
    cookie, = struct.unpack_from("<I", data)
    at = 4
    if cookie & 0xFFFF == 12347:  # some containers are runs
        n = (cookie >> 16) + 1
        flags = data[at : at + (n + 7) // 8]
        at += (n + 7) // 8
    else:
        assert cookie == 12346, "not a roaring bitmap"
        n, = struct.unpack_from("<I", data, at)
        at, flags = at + 4, bytes((n + 7) // 8)
    heads = [struct.unpack_from("<HH", data, at + 4 * i) for i in range(n)]
    at += 4 * n
    if cookie == 12346 or n >= 4:
        at += 4 * n  # where each container starts: they follow each other anyway
    positions = []
    for i, (high, cardinality) in enumerate(heads):
        cardinality += 1
        if flags[i // 8] >> (i % 8) & 1:
            runs, = struct.unpack_from("<H", data, at)
            pairs = struct.unpack_from(f"<{2 * runs}H", data, at + 2)
            at += 2 + 4 * runs
            low = [v for start, more in zip(pairs[::2], pairs[1::2]) for v in range(start, start + more + 1)]
        elif cardinality <= 4096:
            low = struct.unpack_from(f"<{cardinality}H", data, at)
            at += 2 * cardinality
        else:
            bits = int.from_bytes(data[at : at + 8192], "little")
            at += 8192
            low = [v for v in range(65536) if bits >> v & 1]
        assert len(low) == cardinality
        positions += [high << 16 | v for v in low]
    assert at == len(data), "bytes left over"
    return positions


def apply_deletions(directory):
    data = (directory / "1.9.dv").read_bytes()
    assert data[:8] == b"CLNDDV1\n" and struct.unpack_from("<QQ", data, 8) == (1, 9)
    assert zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0]
    dead = roaring_portable(data[24:-4])
    assert dead == list(range(0, 140_000, 7))
    connection = duckdb.connect()
    connection.execute("CREATE TABLE dead AS SELECT unnest(?::BIGINT[]) AS position", [dead])
    sql = "SELECT count(*), min(id), max(id) FROM read_parquet(?, file_row_number = true) WHERE file_row_number NOT IN (FROM dead)"
    assert connection.execute(sql, [str(directory / "1.parquet")]).fetchone() == (120_000, 1, 139_999)


def main():
    directory = pathlib.Path(sys.argv[1])
    read_with_pyarrow(directory)
    read_with_duckdb(directory)
    apply_deletions(directory)
    print(f"DuckDB {duckdb.__version__} and pyarrow {pyarrow.__version__} read what was written")


if __name__ == "__main__":
    main()
