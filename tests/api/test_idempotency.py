"""`Idempotency-Key`: the same request twice is one effect and one answer."""

from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.access import idempotency
from apps.access.models import IdempotencyRecord
from apps.audit.models import AuditEvent
from apps.core.errors import IdempotencyInFlight
from apps.experiments.models import Experiment
from tests.api.answers import API, good, problem
from tests.api.conftest import As
from tests.factories import Stage, in_threads
from tests.people import Cast

SPEC = {"command": "true", "cluster": {"name": "fake"}}
PATH = f"{API}/experiments/"


@pytest.fixture
def alice(as_: As, stage: Stage) -> APIClient:
    return as_("alice")


def post(client: APIClient, key: str, body: Any = SPEC, path: str = PATH) -> Any:
    return client.post(path, body, HTTP_IDEMPOTENCY_KEY=key)


def test_a_repeat_gets_the_first_answer(alice: APIClient) -> None:
    first, second = post(alice, "k"), post(alice, "k", dict(reversed(SPEC.items())))
    assert good(first, 201) == good(second, 201)
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert Experiment.objects.count() == 1
    assert AuditEvent.objects.filter(action="submit").count() == 1


def test_a_repeat_gets_the_first_answer_whatever_happened_since(alice: APIClient, stage: Stage) -> None:
    first = good(post(alice, "k"), 201)
    stage.finish()
    assert good(post(alice, "k"), 201) == first
    assert good(alice.get(f"{PATH}{first['id']}/"))["state"] == "succeeded"


@pytest.mark.parametrize("body", [{**SPEC, "name": "other"}, {}, [], None])
def test_another_request_under_the_same_key_is_refused(alice: APIClient, body: Any) -> None:
    made = good(post(alice, "k"), 201)
    problem(post(alice, "k", body), 422, "idempotency_mismatch")
    problem(post(alice, "k", SPEC, f"{PATH}{made['id']}/stop/"), 422, "idempotency_mismatch")
    assert Experiment.objects.get().workload.desired_state == "run"


def test_a_key_is_its_users(alice: APIClient, as_: As) -> None:
    assert good(post(alice, "k"), 201)["id"] != good(post(as_("bob"), "k"), 201)["id"]


def test_errors_are_not_kept(alice: APIClient) -> None:
    problem(post(alice, "k", {"command": ""}), 400, "invalid")
    assert not IdempotencyRecord.objects.exists()
    good(post(alice, "k"), 201)


def test_a_bug_is_not_kept(alice: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_facts: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("apps.experiments.services.submit_experiment", broken)
        assert post(alice, "k").status_code == 500
    assert not IdempotencyRecord.objects.exists()
    good(post(alice, "k"), 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x01b", "ключ", "é"])
def test_an_ill_formed_key_is_refused(alice: APIClient, key: str) -> None:
    assert list(problem(post(alice, key), 400, "invalid")["errors"]) == ["Idempotency-Key"]
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("key", ["x" * 255, "a b", "~!@#$%^&*()"])
def test_any_printable_key_is_taken(alice: APIClient, key: str) -> None:
    good(post(alice, key), 201)


def test_answers_without_a_body_are_repeated_too(alice: APIClient, stage: Stage) -> None:
    made = good(post(alice, "k"), 201)
    stage.finish()
    for _ in range(2):
        answer = alice.delete(f"{PATH}{made['id']}/", HTTP_IDEMPOTENCY_KEY="d")
        assert (answer.status_code, answer.content) == (204, b"")


def test_reading_needs_no_key(alice: APIClient) -> None:
    good(alice.get(PATH, HTTP_IDEMPOTENCY_KEY="k"))
    assert not IdempotencyRecord.objects.exists()


def test_nobody_keeps_nothing(as_: As) -> None:
    problem(post(as_(), "k"), 401, "not_authenticated")
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("deep", [60, 63])
def test_a_nested_body_has_a_fingerprint(alice: APIClient, deep: int) -> None:
    body = {"command": "true", "x": nested(deep)}
    problem(post(alice, "k", body), 400, "invalid")


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


def test_a_first_request_that_does_not_end_is_said_so(
    committed: None,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import transaction

    monkeypatch.setattr(idempotency, "_WAIT", "50ms")
    with transaction.atomic():
        idempotency.begin(cast.alice, "k", "sha")

        def second(_index: int) -> None:
            with transaction.atomic():
                idempotency.begin(cast.alice, "k", "sha")

        (error,) = in_threads(1, second)
        transaction.set_rollback(True)
    assert isinstance(error, IdempotencyInFlight)
    with transaction.atomic():
        idempotency.begin(cast.alice, "k", "sha")
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)  # what follows in the transaction waits as ever
