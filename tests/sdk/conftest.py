"""Fixtures: a platform on loopback, a client of it, and a clean environment and home for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fathom.client import Client
from tests.sdk.stub_platform import TOKEN, StubPlatform


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the home, the configuration or the folder of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("FATHOM_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(work)


@pytest.fixture
def platform() -> Iterator[StubPlatform]:
    stub = StubPlatform().start()
    yield stub
    stub.stop()


@pytest.fixture
def client(platform: StubPlatform) -> Iterator[Client]:
    with Client(platform.url, TOKEN, timeout=5, retry_seconds=5) as opened:
        yield opened
