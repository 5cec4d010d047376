"""One cluster of each kind for the whole run; names are never used twice, so tests do not meet."""

from collections.abc import Iterator

import pytest

from .harness import Cluster, FakeCluster, LocalCluster

LOCAL_MODES = ("bwrap", "user", "none")


@pytest.fixture(scope="session")
def local_clusters() -> Iterator[dict[str, LocalCluster]]:
    clusters = {mode: LocalCluster(mode) for mode in LOCAL_MODES}
    yield clusters
    for cluster in clusters.values():
        cluster.close()


def _local(clusters: dict[str, LocalCluster], mode: str) -> LocalCluster:
    if clusters[mode].obstacle:
        pytest.skip(f"this machine cannot have it: {clusters[mode].obstacle}")
    return clusters[mode]


@pytest.fixture(params=["fake", *(f"local-{mode}" for mode in LOCAL_MODES)])
def cluster(request: pytest.FixtureRequest, local_clusters: dict[str, LocalCluster]) -> Cluster:
    """Every backend, in every form this machine can have."""
    if request.param == "fake":
        return FakeCluster()
    return _local(local_clusters, str(request.param).removeprefix("local-"))


@pytest.fixture(params=LOCAL_MODES)
def local(request: pytest.FixtureRequest, local_clusters: dict[str, LocalCluster]) -> LocalCluster:
    """The local backend in every form this machine can have."""
    return _local(local_clusters, request.param)


@pytest.fixture(params=["bwrap", "user"])
def isolating(request: pytest.FixtureRequest, local_clusters: dict[str, LocalCluster]) -> LocalCluster:
    """The local backend in the forms that keep tenants apart."""
    return _local(local_clusters, request.param)


@pytest.fixture
def sandboxed(local_clusters: dict[str, LocalCluster]) -> LocalCluster:
    """The local backend with a sandbox."""
    return _local(local_clusters, "bwrap")
