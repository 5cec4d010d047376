"""Asking for access: the same for what is hidden and what never was; decided by those who may share."""

from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access import policy
from apps.access.decision import Role
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound, Throttled
from apps.sharing import services as sharing
from apps.sharing.models import AccessRequest
from apps.tracking.models import Project
from tests.access.judged import behind
from tests.factories import Stage
from tests.people import Cast, submit


@pytest.fixture
def project(cast: Cast) -> Project:
    made: Project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    return made


def ask(cast: Cast, project: Project, role: str = "viewer", name: str = "charlie") -> AccessRequest:
    return sharing.request_access("project", project.pk, by=cast.again(name), role=role, message="for the paper")


def test_a_request_is_granted_as_asked(cast: Cast, project: Project) -> None:
    request = ask(cast, project, "editor")
    assert list(AccessRequest.objects.to_decide(cast.again("mia"))) == [request]
    sharing.decide_request(request, by=cast.again("mia"), grant=True)
    assert policy.role_of(cast.again("charlie"), project) is Role.EDITOR
    request.refresh_from_db()
    assert (request.state, request.decided_by, request.decided_at is None) == ("granted", cast.mia, False)
    actions = list(AuditEvent.objects.exclude(origin="database").order_by("id").values_list("action", flat=True))
    assert actions[-3:] == ["request_access", "share", "grant_request"]
    with pytest.raises(Conflict, match="granted already"):
        sharing.decide_request(request, by=cast.again("alice"), grant=False)


def test_another_role_than_asked(cast: Cast, project: Project) -> None:
    sharing.decide_request(ask(cast, project, "manager"), by=cast.again("alice"), grant=True, role="viewer")
    assert policy.role_of(cast.again("charlie"), project) is Role.VIEWER


def test_refused_and_withdrawn_give_nothing(cast: Cast, project: Project) -> None:
    sharing.decide_request(ask(cast, project), by=cast.again("alice"), grant=False, note="ask olaf")
    again = ask(cast, project)
    for _ in range(2):
        sharing.withdraw_request(again, by=cast.again("charlie"))
    assert policy.role_of(cast.again("charlie"), project) is Role.NONE
    assert list(AccessRequest.objects.order_by("pk").values_list("state", "note")) == [
        ("refused", "ask olaf"),
        ("withdrawn", ""),
    ]
    with pytest.raises(Conflict, match="withdrawn already"):
        sharing.decide_request(again, by=cast.again("alice"), grant=True)


@pytest.mark.parametrize(
    ("name", "error"),
    [("bob", NotFound), ("olaf", NotFound), ("charlie", NotAllowed), ("aud", NotAllowed), ("dana", NotFound)],
)
def test_who_does_not_decide(cast: Cast, project: Project, name: str, error: type[Exception]) -> None:
    sharing.share(project, cast.dana, "editor", by=cast.alice)
    request = ask(cast, project)
    with pytest.raises(error):
        sharing.decide_request(request, by=cast.again(name), grant=True)
    request.refresh_from_db()
    assert (request.state, policy.role_of(cast.again("charlie"), project)) == ("open", Role.NONE)
    assert not AccessRequest.objects.to_decide(cast.again(name)).exists()
    assert AccessRequest.objects.visible_to(cast.again(name), "view").exists() == (name in {"charlie", "aud"})


def test_only_who_asked_withdraws(cast: Cast, project: Project) -> None:
    request = ask(cast, project)
    with pytest.raises(NotAllowed):
        sharing.withdraw_request(request, by=cast.again("alice"))
    with pytest.raises(NotFound):
        sharing.withdraw_request(request, by=cast.again("olaf"))
    request.refresh_from_db()
    assert request.state == "open"


def test_asking_again_replaces(cast: Cast, project: Project) -> None:
    ask(cast, project)
    ask(cast, project, "editor")
    assert list(AccessRequest.objects.values_list("role", flat=True)) == ["editor"]


def test_a_viewer_asks_for_more_and_not_for_what_he_has(cast: Cast, project: Project) -> None:
    with pytest.raises(Conflict, match="viewer of it already"):
        ask(cast, project, "viewer", name="bob")
    ask(cast, project, "editor", name="bob")
    with pytest.raises(Invalid):
        ask(cast, project, "owner", name="bob")
    assert AccessRequest.objects.count() == 1


def cost(kind: str, pk: UUID, cast: Cast) -> int:
    person = cast.again("charlie")
    with CaptureQueriesContext(connection) as queries:
        sharing.request_access(kind, pk, by=person)
    return len(queries)


@pytest.mark.parametrize("kind", ["project", "run", "experiment"])
def test_what_is_hidden_costs_and_leaves_what_nothing_costs_and_leaves(cast: Cast, stage: Stage, kind: str) -> None:
    experiment = submit(cast.alice, team="vision")
    pk = experiment.run.project_id if kind == "project" else experiment.pk
    assert cost(kind, pk, cast) == cost(kind, uuid4(), cast)
    made = AccessRequest.objects.order_by("pk").values_list("kind", "state", "by__username")
    assert len(set(made)) == 1
    assert len(made) == 2
    assert list(AccessRequest.objects.to_decide(cast.again("sre")).values_list("object_id", flat=True)) == [pk]


def test_a_request_for_nothing_cannot_be_granted(cast: Cast) -> None:
    request = sharing.request_access("run", uuid4(), by=cast.again("charlie"))
    with pytest.raises(NotFound):
        sharing.decide_request(request, by=cast.again("sre"), grant=True)
    with pytest.raises(NotFound):
        sharing.request_access("team", uuid4(), by=cast.again("charlie"))


def test_open_requests_are_few(cast: Cast, project: Project) -> None:
    for _ in range(sharing.MOST_OPEN):
        sharing.request_access("run", uuid4(), by=cast.again("charlie"))
    with pytest.raises(Throttled):
        ask(cast, project)
    assert not AccessRequest.objects.filter(object_id=project.pk).exists()
    first = AccessRequest.objects.first()
    assert first is not None
    sharing.withdraw_request(first, by=cast.again("charlie"))
    ask(cast, project)


def test_who_changes_nothing_and_narrow_tokens_do_not_ask(cast: Cast, project: Project) -> None:
    with pytest.raises(NotAllowed):
        ask(cast, project, name="aud")
    with pytest.raises(NotAllowed, match="scope"):
        sharing.request_access("project", project.pk, by=behind(cast.again("charlie"), scopes=["read"]))
    assert not AccessRequest.objects.exists()


def test_a_deleted_object_takes_its_requests_out_of_sight(cast: Cast, project: Project) -> None:
    from apps.tracking import services as tracking

    request = ask(cast, project)
    tracking.archive_project(project, by=cast.alice)
    assert not AccessRequest.objects.to_decide(cast.again("alice")).exists()
    with pytest.raises(NotFound):
        sharing.decide_request(request, by=cast.again("alice"), grant=True)
