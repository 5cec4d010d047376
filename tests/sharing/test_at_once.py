"""Several managers at the same moment."""

from itertools import cycle, pairwise
from typing import Any

import pytest

from apps.access import grants
from apps.access.decision import Role
from apps.core.errors import Conflict
from apps.sharing import services as sharing
from apps.sharing.models import AccessRequest
from apps.sharing.services import shares
from apps.tracking.models import Project, ProjectUserGrant
from tests.factories import in_threads
from tests.people import Cast

pytestmark = pytest.mark.usefixtures("committed")


def test_one_share_is_left_and_everybody_succeeds(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    roles = ["viewer", "editor", "manager"]

    def work(index: int) -> Any:
        by = cast.again("alice" if index % 2 else "mia")
        return sharing.share(project, cast.charlie, roles[index % 3], by=by).role

    results = in_threads(12, work)
    assert {type(result) for result in results} == {Role}
    row = ProjectUserGrant.objects.get(user=cast.charlie)
    assert row.permission.codename in {grants.codename(role) for role in results}


def test_the_books_tell_one_story(cast: Cast) -> None:
    """Each audited change begins where the one before it ended: what the lock is for."""
    assert _story(cast) == []


def test_without_the_lock_the_stories_cross(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(shares, "_lock", lambda _row: None)
    assert any(_story(cast, number) for number in range(10))


def _story(cast: Cast, number: int = 0) -> list[str]:
    from apps.audit.models import AuditEvent

    project = Project.objects.create(name=f"p{number}", owner=cast.alice, team=cast.team, visibility="team")
    roles = cycle(["viewer", "editor", "manager", "editor"])
    wanted = [next(roles) for _ in range(12)]
    in_threads(12, lambda index: sharing.share(project, cast.charlie, wanted[index], by=cast.again("alice")))
    events = AuditEvent.objects.filter(object_id=str(project.pk), action="share").order_by("id")
    told = list(events.values_list("data", flat=True))
    return [f"{a} then {b}" for a, b in pairwise(told) if a["after"] != b["before"]]


def test_a_request_is_decided_once(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    request = sharing.request_access("project", project.pk, by=cast.again("charlie"))

    def work(index: int) -> Any:
        by = cast.again("alice" if index % 2 else "mia")
        return sharing.decide_request(request, by=by, grant=bool(index % 2))

    results = in_threads(8, work)
    assert sorted(type(result).__name__ for result in results) == ["AccessRequest"] + ["Conflict"] * 7
    request.refresh_from_db()
    assert ProjectUserGrant.objects.filter(user=cast.charlie).exists() == (request.state == "granted")


def test_asked_at_once_is_asked_once(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, visibility="private")
    results = in_threads(8, lambda _: sharing.request_access("project", project.pk, by=cast.again("charlie")))
    assert {type(result) for result in results} <= {AccessRequest, Conflict}
    assert AccessRequest.objects.count() == 1
