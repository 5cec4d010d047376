"""Measures the forms that the web tier could have: docs/adr/0002.

The same Django view (two short queries) behind each form, asked by 8 keep-alive clients in a closed loop from a process
of their own. The forms take turns, so that what else the machine does falls on all of them.

    .venv/bin/python benchmarks/web_tier.py [rounds] [seconds per round]
"""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CLIENTS = 8
FAILED: list[int] = []
_ME = Path(__file__).stem
_UVICORN = ["-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--no-access-log"]
FORMS: dict[str, tuple[list[str], dict[str, str]]] = {
    "asgi, CONN_MAX_AGE": ([*_UVICORN, "--port", "{port}", f"{_ME}:asgi"], {}),
    "asgi, psycopg pool": ([*_UVICORN, "--port", "{port}", f"{_ME}:asgi"], {"POOL": "1"}),
    "asgi + Django in threads (a2wsgi)": ([*_UVICORN, "--port", "{port}", f"{_ME}:threads"], {}),
    "asgi + Django in threads (config.threads)": ([*_UVICORN, "--port", "{port}", f"{_ME}:own_threads"], {}),
    "gunicorn gthread 1x8": (
        ["-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "8", "--log-level", "error", f"{_ME}:wsgi"],
        {},
    ),
    "gunicorn gthread 2x4": (
        ["-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "-w", "2", "--threads", "4", "--log-level", "error", f"{_ME}:wsgi"],
        {},
    ),
    "floor: asgi, no Django, async pool": ([*_UVICORN, "--port", "{port}", f"{_ME}:floor"], {}),
}  # fmt: skip


def configure() -> None:
    import django
    from django.conf import settings

    from config.env import database_from_url

    if settings.configured:
        return
    database = database_from_url(os.environ["DATABASE_URL"])
    if os.environ.get("POOL"):
        database |= {"CONN_MAX_AGE": 0}
        database["OPTIONS"] |= {"pool": {"min_size": 8, "max_size": 8}}
    else:
        database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    settings.configure(
        ROOT_URLCONF=_ME, ALLOWED_HOSTS=["*"], DATABASES={"default": database}, SECRET_KEY="x" * 50, USE_TZ=True,
        MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    )  # fmt: skip
    django.setup()


def view(_: object) -> object:
    from django.db import connection
    from django.http import HttpResponse

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class WHERE oid = %s", [1259])
        cursor.execute("SELECT relname FROM pg_class WHERE oid = %s", [1259])
        (name,) = cursor.fetchone()
    return HttpResponse(name)


def __getattr__(name: str) -> object:
    """Build what a server asks for, and nothing else."""
    if name == "floor":
        return _floor()
    if name not in {"asgi", "wsgi", "threads", "own_threads", "urlpatterns"}:
        raise AttributeError(name)
    if name == "urlpatterns":
        from django.urls import path

        return [path("", view)]
    configure()
    if name == "asgi":
        from django.core.asgi import get_asgi_application

        return get_asgi_application()
    from django.core.wsgi import get_wsgi_application

    if name == "threads":
        from a2wsgi import WSGIMiddleware

        return WSGIMiddleware(get_wsgi_application(), workers=8)
    if name == "own_threads":
        from config.threads import ThreadedDjango

        return ThreadedDjango(get_wsgi_application(), threads=8)
    return get_wsgi_application()


def _floor() -> object:
    from psycopg_pool import AsyncConnectionPool

    pool = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=8, max_size=8, open=False, kwargs={"autocommit": True}
    )

    async def app(scope: dict[str, object], _receive: object, send: object) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        if pool.closed:
            await pool.open()
        async with pool.connection() as connection:
            await connection.execute("SELECT 1 FROM pg_class WHERE oid = %s", [1259])
            row = await (await connection.execute("SELECT relname FROM pg_class WHERE oid = %s", [1259])).fetchone()
        body = row[0].encode()  # type: ignore[index]
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    return app


@contextlib.contextmanager
def database() -> Iterator[str]:
    from config.embedded.postgres import Postgres

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("run", "log"):
            (home / name).mkdir()
        postgres = Postgres(home, throw_away=True)
        postgres.prepare()
        process = postgres.start()
        postgres.wait(process)
        try:
            yield postgres.url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


@contextlib.contextmanager
def server(form: str, url: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments, extra = FORMS[form]
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(Path(__file__).parent)} | extra
    command = [sys.executable, *[part.format(port=port) for part in arguments]]
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


async def _client(port: int, until: float, seconds: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    while (began := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200"):
            seconds.append(time.perf_counter() - began)
        else:  # the form that opens a connection per request runs out of them
            FAILED.append(1)
    writer.close()


async def _load(port: int, duration: float) -> tuple[float, float]:
    warm: list[float] = []
    await asyncio.gather(*(_client(port, time.perf_counter() + 1.0, warm) for _ in range(CLIENTS)))
    taken: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, began + duration, taken) for _ in range(CLIENTS)))
    return len(taken) / (time.perf_counter() - began), statistics.median(taken) * 1000


def main(rounds: int, duration: float) -> None:
    import uvloop

    rates: dict[str, list[float]] = {form: [] for form in FORMS}
    waits: dict[str, list[float]] = {form: [] for form in FORMS}
    failures = dict.fromkeys(FORMS, 0)
    with database() as url:
        for _ in range(rounds):
            for form in FORMS:
                with server(form, url) as port:
                    rate, wait = uvloop.run(_load(port, duration))
                failures[form] += len(FAILED)
                FAILED.clear()
                rates[form].append(rate)
                waits[form].append(wait)
    best = max(statistics.median(found) for form, found in rates.items() if not form.startswith("floor"))
    print(
        f"| form | requests/s | of the best | p50 ms | answers with 500 |\n|---|---|---|---|---|   (load {os.getloadavg()[0]:.1f})"
    )
    for form in FORMS:
        rate = statistics.median(rates[form])
        print(f"| {form} | {rate:.0f} | {rate / best:.2f} | {statistics.median(waits[form]):.1f} | {failures[form]} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, float(sys.argv[2]) if len(sys.argv) > 2 else 4.0)
