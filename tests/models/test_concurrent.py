"""Several at once: numbers without gaps, one winner of an alias, and approvals that are counted once. With controls."""

import time
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from apps.access.principal import SYSTEM
from apps.models import services
from apps.models.models import Alias, ModelVersion, Move, MoveRequest, RegisteredModel
from apps.models.services import moves as moving
from apps.models.services import versions as registering
from apps.teams import services as teams
from tests.factories import in_threads
from tests.models.conftest import upload
from tests.people import Cast, make_cast

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def people() -> Cast:
    cast = make_cast()
    for name in ("dana", "charlie"):
        teams.set_member(cast.team, cast.people[name], role="member", by=SYSTEM)
    return cast


@pytest.fixture
def shared(people: Cast) -> RegisteredModel:
    return services.create_model("digits", by=people.alice, team=people.team)


def test_numbers_have_no_gap(people: Cast, shared: RegisteredModel) -> None:
    made = in_threads(8, lambda _number: [upload(shared, people.alice).number for _ in range(5)])
    assert sorted(number for numbers in made for number in numbers) == list(range(1, 41))


def test_control_without_the_lock_a_number_is_given_twice(
    people: Cast, shared: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a number that is read and then written: it must fail, or the test above shows nothing."""

    def read_then_write(version: ModelVersion, *_rest: Any) -> None:
        newest = RegisteredModel.objects.get(pk=version.model_id).newest
        time.sleep(0.05)
        version.number = newest + 1
        version.save(force_insert=True)
        RegisteredModel.objects.filter(pk=version.model_id).update(newest=version.number)

    monkeypatch.setattr(registering, "_write", read_then_write)
    made = in_threads(8, lambda _number: upload(shared, people.alice).number)
    assert any(isinstance(one, Exception) for one in made)


def test_an_alias_has_one_line_of_moves(people: Cast, shared: RegisteredModel) -> None:
    versions = [upload(shared, people.alice) for _ in range(8)]
    results = in_threads(8, lambda n: services.set_alias(shared, "champion", versions[n], by=people.alice))
    assert [one for one in results if isinstance(one, Exception)] == []
    steps = list(Move.objects.filter(model=shared).order_by("id").values_list("before", "after"))
    assert len(steps) == 8
    assert all(later[0] == earlier[1] for earlier, later in pairwise(steps))
    assert steps[0][0] == ""
    assert str(Alias.objects.get(model=shared).version.number) == steps[-1][1]


def test_control_without_the_lock_the_line_breaks(
    people: Cast, shared: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [upload(shared, people.alice) for _ in range(8)]

    def unlocked(model: RegisteredModel) -> RegisteredModel:
        found = RegisteredModel.objects.select_related("owner", "team").get(pk=model.pk)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.05)")
        return found

    real_point = moving._point

    def slowly(*args: Any, **kwargs: Any) -> None:
        real_point(*args, **kwargs)
        time.sleep(0.05)

    monkeypatch.setattr(moving, "_lock", unlocked)
    monkeypatch.setattr(moving, "_point", slowly)
    results = in_threads(8, lambda n: services.set_alias(shared, "champion", versions[n], by=people.alice))
    steps = list(Move.objects.filter(model=shared).order_by("id").values_list("before", "after"))
    is_whole = len(steps) == 8 and all(b[0] == a[1] for a, b in pairwise(steps))
    assert any(isinstance(one, Exception) for one in results) or not is_whole


def test_the_last_two_approvals_at_once_move_it_once(people: Cast, shared: RegisteredModel) -> None:
    version = upload(shared, people.alice)
    services.protect(shared, "alias", "champion", by=people.mia, approvals=2)
    voters = (people.dana, people.charlie, people.mia)
    for _ in range(5):
        asked = services.request_move(shared, "alias", "champion", version, by=people.alice, reason="x")
        in_threads(3, lambda n, asked=asked: services.decide_move(asked, by=voters[n], approve=True))  # type: ignore[misc]
        assert MoveRequest.objects.get(pk=asked.pk).state == "done"
        assert Move.objects.filter(request=asked).count() == 1
        away = services.request_move(shared, "alias", "champion", version, by=people.alice, reason="x", removes=True)
        for voter in voters[:2]:
            services.decide_move(away, by=voter, approve=True)
    assert Alias.objects.count() == 0
