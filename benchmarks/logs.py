"""Log lines from a job's write to websocket clients."""

import asyncio
import json
import time

import websockets

from benchmarks.load import Client
from benchmarks.report import Result, percentile
from tests.platform import Platform

_CLIENTS = 100
_PACED = """
import time
time.sleep(3)
start = time.time()
for n in range({count}):
    delay = start + n / {rate} - time.time()
    if delay > 0: time.sleep(delay)
    print(n, repr(time.time()), flush=True)
"""
_FLOOD = """
import sys, time
time.sleep(3)
start = time.time()
for n in range({count}):
    sys.stdout.write(f"{{n}} {{time.time()!r}} ............................................\\n")
sys.stdout.flush()
"""


async def _read(url: str, token: str, lines: int, times: list[tuple[float, float]]) -> None:
    """Follow one log; note when each line was written and when it came."""
    headers = {"Authorization": f"Bearer {token}"}
    rest = ""
    seen = 0
    async with websockets.connect(
        url, additional_headers=headers, max_queue=None, max_size=None, compression=None
    ) as socket:
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] != "log":
                continue
            now = time.time()
            *whole, rest = (rest + frame["data"]).split("\n")
            times += [(float(line.split()[1]), now) for line in whole]
            seen += len(whole)
            if seen >= lines:
                return


def _follow(platform: Platform, token: str, code: str, lines: int) -> list[tuple[float, float]]:
    client = Client(platform.url, token)
    spec = {"kind": "python", "command": ["python", "-c", code], "resources": {"cpu": "500m", "memory": "256Mi"}}
    made = client.call("POST", "/experiments/", json.dumps(spec).encode())
    url = f"{platform.url.replace('http', 'ws')}/ws/experiments/{made['id']}/logs/?offset=0"
    times: list[tuple[float, float]] = []

    async def all_clients() -> None:
        await asyncio.wait_for(asyncio.gather(*(_read(url, token, lines, times) for _ in range(_CLIENTS))), 120)

    asyncio.run(all_clients())
    return times


def latency(platform: Platform, token: str) -> list[Result]:
    """100 lines a second to 100 clients: from the write in the job to the receipt in a client."""
    times = _follow(platform, token, _PACED.format(count=1000, rate=100), 1000)
    delays = [(came - written) * 1000 for written, came in times]
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    note = f"{len(delays):,} lines received"
    return [
        Result("log line → 100 websocket clients at 100 lines/s, p50", p50, "ms", "≤ 15 ms", p50 <= 15, note=note),
        Result("the same, p99", p99, "ms", "≤ 40 ms", p99 <= 40, note=note),
    ]


def flood(platform: Platform, token: str) -> Result:
    """As many lines as it takes, as fast as the job can print them, to 100 clients."""
    count = 20_000
    times = _follow(platform, token, _FLOOD.format(count=count), count)
    first = min(written for written, _ in times)
    last = max(came for _, came in times)
    value = len(times) / (last - first)
    return Result(
        "log lines delivered at full speed, 100 clients",
        value,
        "lines/s",
        "≥ 50,000 lines/s",
        value >= 50_000,
        note=f"{len(times):,} lines",
    )
