"""Nobody can perceive another tenant: all that a person can read is the same, byte for byte, with and without it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from apps.accounts import sessions
from apps.experiments import usage
from apps.quotas.models import QuotaNode
from tests.factories import Stage, committed, stage
from tests.noninterference import asking
from tests.noninterference.tenants import SECRET, Tenant, make_tenant

__all__ = ["committed", "stage"]


@pytest.fixture
def mine(committed: None, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    # That the reader himself was seen again, a minute later on a slow machine, is no news of anybody else.
    monkeypatch.setattr(sessions, "_SEEN_STEP", timedelta(days=1))
    stage.plan(duration=None)
    asking.forget()
    made = make_tenant("a", stage)
    for user in made.people.values():
        asking.script_of(user).get(reverse("api-me"))  # or "never used" would be what differs
    yield made
    # Sockets have threads that keep their connections, and a database in use cannot be dropped.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


@pytest.fixture
def add_other(stage: Stage) -> Callable[[], Tenant]:
    return lambda: make_tenant("b", stage, word=SECRET)


def test_another_tenant_changes_not_a_byte(mine: Tenant, add_other: Callable[[], Tenant]) -> None:
    before = asking.answers(mine, [uuid4(), uuid4()])
    other = add_other()
    after = asking.answers(mine, [experiment.pk for experiment in other.experiments[:2]])
    differing = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    assert differing == []
    assert not [key for key, (_, body) in after.items() if SECRET.encode() in body]
    assert len(before) > 150
    assert {status for status, _ in before.values()} >= {200, 404, 4404}


def test_the_comparison_sees_a_leak(
    mine: Tenant, add_other: Callable[[], Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control run: with everybody's numbers, usage differs."""
    monkeypatch.setattr(
        usage,
        "nodes_of",
        lambda _user: [
            usage.NodeUsage(n.kind, n.name, {"cpu": {"used": 1, "limit": None}}) for n in QuotaNode.objects.all()
        ],
    )
    client = asking.script_of(mine.people["viewer"])
    before = asking.ask(client, reverse("api-usage"), [])
    other = add_other()
    after = asking.ask(client, reverse("api-usage"), [])
    assert after != before
    assert SECRET.encode() in after[1]
    assert other.name == "b"


DOCUMENTS = [
    {"command": "true", "team": "b-team"},
    {"command": "true", "project": f"b project {SECRET}", "team": "a-team"},
    {"command": "true", "code": {"upload": "sha256:" + "0" * 64}},
    {"command": "true", "resources": {"cpu": 10_000}},
    {"command": "true", "cluster": {"name": "b"}},
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: list(document)[-1])
def test_what_a_specification_names_of_others_is_refused_like_what_is_nowhere(
    document: dict[str, object], mine: Tenant, add_other: Callable[[], Tenant]
) -> None:
    client = asking.script_of(mine.people["member"])
    before = _submit(client, document)
    add_other()
    assert _submit(client, document) == before


def _submit(client: Client, document: dict[str, object]) -> tuple[int, bytes]:
    with transaction.atomic():
        answer = client.post(reverse("api-experiment-list"), json.dumps(document), content_type="application/json")
        transaction.set_rollback(True)
    return answer.status_code, asking.without_ids(answer.content)
