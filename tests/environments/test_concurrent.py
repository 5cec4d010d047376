"""Several workers at once: one build of one content, one lock of one version. With a control."""

import time
from typing import Any

import pytest

from apps.compute.backends.fake.environments import FakeEnvironments
from apps.environments import services
from apps.environments.models import EnvironmentBuild, EnvironmentLock
from apps.environments.services import working
from tests.environments.conftest import make
from tests.factories import LONG_AGO, Stage, in_threads
from tests.people import make_cast

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a build take its time, and tell which were made, also one that stood already when it ended."""
    made: list[str] = []

    def build(self: FakeEnvironments, key: str, *_rest: Any) -> int:
        if not self.has_environment(key):
            time.sleep(0.3)
            made.append(key)
            self.world.environments.add(key)
        return 1

    monkeypatch.setattr(FakeEnvironments, "build", build)
    return made


def _four_of_the_same(stage: Stage) -> None:
    cast = make_cast()
    for name in ("alice", "bob", "charlie", "dana"):
        services.request_build(make(cast.people[name]), by=cast.people[name])


def _build_all() -> None:
    for _ in range(20):
        in_threads(4, lambda _number: services.build_due())
        EnvironmentBuild.objects.filter(state="queued").update(next_try_at=LONG_AGO)
        if not EnvironmentBuild.objects.exclude(state="ready").exists():
            return
    pytest.fail("it comes to no end")


def test_one_content_is_built_once(stage: Stage, slow: list[str]) -> None:
    _four_of_the_same(stage)
    _build_all()
    assert len(slow) == 1
    assert set(EnvironmentBuild.objects.values_list("state", "key")) == {("ready", slow[0])}


def test_control_without_the_unique_key_it_is_built_several_times(
    stage: Stage, slow: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "_take_key", lambda *_: None)
    _four_of_the_same(stage)
    _build_all()
    assert len(slow) > 1


def test_one_build_has_one_worker(stage: Stage, slow: list[str]) -> None:
    cast = make_cast()
    services.request_build(make(cast.alice), by=cast.alice)
    said = in_threads(8, lambda _number: services.build_due())
    assert sorted(said) == ["", "", "", "", "", "", "", "worked on 1"]
    assert len(slow) == 1
    assert EnvironmentLock.objects.count() == 1


def test_submissions_at_once_are_one_build(stage: Stage, slow: list[str]) -> None:
    cast = make_cast()
    make(cast.alice, team=cast.team)
    made = in_threads(6, lambda _n: stage.submit(cast.again("alice"), environment="tools"))
    assert not [one for one in made if isinstance(one, Exception)]
    assert EnvironmentBuild.objects.count() == 1
