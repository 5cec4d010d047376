"""How the points of metrics get into their table: by one statement from arrays, as we do, or by COPY; into one table or partitions.

What the statement does besides, it does in the same round trip; COPY needs one before it, which knows the series, and one more
to commit. Both write batches of 1,000 points of 10 series, by turns, each batch its own transaction, beside 20 million points
that are there already.

    .venv/bin/python -m benchmarks.points [points that are there]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.mlflow import postgres

_SIZE, _SERIES, _BATCHES, _ROUNDS = 1_000, 10, 100, 5
_THERE, _LENGTH = 20_000_000, 2_000  # points that are there already, in series of that many
_COLUMNS = "series_id int8, ordinal int8, step int8, time timestamptz, value float8, PRIMARY KEY (series_id, ordinal)"
_TABLES = f"""
CREATE TABLE whole ({_COLUMNS});
CREATE TABLE parted ({_COLUMNS}) PARTITION BY HASH (series_id);
"""
_PARTS = 16
_ARRAYS = (
    "INSERT INTO {table} SELECT * FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::timestamptz[], %s::float8[])"
)
_COPY = "COPY {table} (series_id, ordinal, step, time, value) FROM STDIN (FORMAT BINARY)"
_TYPES = ["int8", "int8", "int8", "timestamptz", "float8"]
_FILL = """
INSERT INTO {table} SELECT s, n, n, now(), random() FROM generate_series(1000, 999 + %s) AS s, generate_series(0, %s - 1) AS n
"""
_READ = "SELECT count(*), max(value) FROM {table} WHERE series_id = %s"


def _batches() -> Iterator[list[tuple[Any, ...]]]:
    now = datetime.now(UTC)
    for number in count():
        first = number * _SIZE // _SERIES
        yield [(n % _SERIES, first + n // _SERIES, first + n // _SERIES, now, n / 7) for n in range(_SIZE)]


def _by_arrays(database: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    with database.transaction():
        database.execute(_ARRAYS.format(table=table), [list(column) for column in zip(*rows, strict=True)])


def _by_copy(database: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    with database.transaction(), database.cursor() as cursor, cursor.copy(_COPY.format(table=table)) as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


def main() -> None:
    there = int(sys.argv[1]) if len(sys.argv) > 1 else _THERE
    ways: dict[str, tuple[Callable[..., None], str]] = {
        "arrays, one table": (_by_arrays, "whole"),
        "COPY, one table": (_by_copy, "whole"),
        "arrays, 16 partitions": (_by_arrays, "parted"),
        "COPY, 16 partitions": (_by_copy, "parted"),
    }
    with tempfile.TemporaryDirectory(prefix="fathom-points-") as folder, postgres(Path(folder)) as address:
        database: Any = psycopg.connect(address, autocommit=True)
        for statement in _TABLES.split(";")[:-1]:
            database.execute(statement)
        for part in range(_PARTS):
            facts = f"FOR VALUES WITH (MODULUS {_PARTS}, REMAINDER {part})"
            database.execute(f"CREATE TABLE parted{part} PARTITION OF parted {facts}")
        for table in ("whole", "parted"):
            began = time.perf_counter()
            database.execute(_FILL.format(table=table), [there // _LENGTH, _LENGTH])
            database.execute(f"VACUUM ANALYZE {table}")
            print(f"{there:,} points into {table}: {time.perf_counter() - began:.0f} s", flush=True)
        made = {table: _batches() for table in ("whole", "parted")}
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(_ROUNDS):
            for name, (write, table) in ways.items():
                batches = [next(made[table]) for _ in range(_BATCHES)]
                began = time.perf_counter()
                for rows in batches:
                    write(database, table, rows)
                found[name].append(_BATCHES * _SIZE / (time.perf_counter() - began))
        for name, rates in found.items():
            print(f"{name}: {statistics.median(rates):,.0f} points/s")
        for table in ("whole", "parted"):
            began = time.perf_counter()
            for number in range(100):
                database.execute(_READ.format(table=table), [1000 + number * 37 % (there // _LENGTH)]).fetchone()
            print(f"one series of {_LENGTH:,} points read from {table}: {(time.perf_counter() - began) * 10:.2f} ms")
        database.close()


if __name__ == "__main__":
    main()
