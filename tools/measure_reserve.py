"""Measures the two ways to know what is used: a sum over live reservations, or a counter (docs/adr/0005).

Usage: python -m tools.measure_reserve. Starts a PostgreSQL of its own, for about two minutes, and prints a table.
"""

import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from config.embedded.postgres import Postgres

_NODES = [1, 2, 3, 4, 5]
_SECONDS, _ROUNDS = 2.0, 3
_SCHEMA = """
    CREATE TABLE lim (id int, resource text, lim bigint, used bigint, PRIMARY KEY (id, resource));
    CREATE TABLE res (key text PRIMARY KEY, node_ids bigint[], amounts jsonb, released_at timestamptz);
    CREATE INDEX live ON res USING gin (node_ids) WHERE released_at IS NULL;
"""
_FILL = """
    TRUNCATE lim, res;
    INSERT INTO lim SELECT id, resource, 1000000000000, 0 FROM unnest(array[1,2,3,4,5]) id, unnest(array['cpu','experiments','memory']) resource;
    INSERT INTO res SELECT 'k' || n, array[1,2,3,4,5], '{"cpu":1000,"memory":1000,"experiments":1}' FROM generate_series(1, %d) n;
"""
_LOCK = "SELECT id, resource, lim, used FROM lim WHERE id = ANY(%s) ORDER BY id, resource FOR NO KEY UPDATE"
_SUM = """
    SELECT node, sum((amounts->>'cpu')::bigint), sum((amounts->>'memory')::bigint), sum((amounts->>'experiments')::bigint)
      FROM res, unnest(node_ids) node WHERE released_at IS NULL AND node_ids && %s::bigint[] GROUP BY node
"""
_COUNT = "UPDATE lim SET used = used + %s * CASE resource WHEN 'experiments' THEN 1 ELSE 1000 END WHERE id = ANY(%s)"
_HOLD = """INSERT INTO res VALUES (%s, %s, '{"cpu":1000,"memory":1000,"experiments":1}')"""
_RELEASE = "UPDATE res SET released_at = now() WHERE key = %s"

Connection = psycopg.Connection[Any]


def _reserve(connection: Connection, key: str, *, counter: bool) -> None:
    with connection.transaction():
        connection.execute(_LOCK, [_NODES]).fetchall()
        if counter:
            connection.execute(_COUNT, [1, _NODES])
        else:
            connection.execute(_SUM, [_NODES]).fetchall()
        connection.execute(_HOLD, [key, _NODES])


def _release(connection: Connection, key: str, *, counter: bool) -> None:
    with connection.transaction():
        if counter:
            connection.execute(_LOCK, [_NODES]).fetchall()
            connection.execute(_COUNT, [-1, _NODES])
        connection.execute(_RELEASE, [key])


def _round(url: str, clients: int, *, counter: bool) -> tuple[float, float]:
    """Return pairs of reserve and release per second, and the median milliseconds of a reserve."""
    found: list[float] = []
    end = time.monotonic() + _SECONDS

    def work(client: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while time.monotonic() < end:
                key = f"{client}-{time.monotonic_ns()}"
                began = time.perf_counter()
                _reserve(connection, key, counter=counter)
                found.append(time.perf_counter() - began)
                _release(connection, key, counter=counter)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(found) / _SECONDS, statistics.median(found) * 1000


@contextmanager
def _server() -> Iterator[str]:
    home = Path(tempfile.mkdtemp(prefix="fathom-measure-"))
    for name in ("run", "log"):
        (home / name).mkdir(mode=0o700)
    postgres = Postgres(home)
    postgres.prepare()
    process = postgres.start(on_parent_death=signal.SIGQUIT)
    try:
        postgres.wait(process)
        yield postgres.url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    with _server() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SCHEMA)
        print("| live reservations | clients | sum | counter |\n|---|---|---|---|")
        for live in (10, 1_000, 20_000):
            for clients in (1, 8):
                rounds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
                for counter in [False, True] * _ROUNDS:
                    connection.execute((_FILL % live).encode())
                    connection.execute("VACUUM ANALYZE res")
                    rounds[counter].append(_round(url, clients, counter=counter))
                shown = (f"{_middle(rounds[c], 0):.0f}/s, {_middle(rounds[c], 1):.0f} ms" for c in (False, True))
                print(f"| {live:,} | {clients} | {' | '.join(shown)} |", flush=True)


def _middle(rounds: list[tuple[float, float]], index: int) -> float:
    return statistics.median(one[index] for one in rounds)


if __name__ == "__main__":
    main()
