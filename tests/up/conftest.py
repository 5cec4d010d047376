from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.up.platform_process import Up


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start platforms that are ended with the test."""
    started: list[Up] = []

    def start(*options: str, home: Path | None = None, **more: object) -> Up:
        started.append(Up(home or tmp_path / "home", *options, **more))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One platform for the tests of a module that leave it running."""
    platform = Up(tmp_path_factory.mktemp("running") / "home")
    try:
        platform.wait_until_ready()
        yield platform
    finally:
        platform.stop()
