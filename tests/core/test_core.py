"""Ids, failpoints, hints, request ids, locks."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError

from apps.core import errors, failpoints, ids, locks, wakeup
from apps.core.middleware import RequestContextMiddleware, current_request
from apps.teams.models import Organization
from config.celery import app as celery_app
from tests.platform import wait_for


def test_ids_sort_by_time() -> None:
    made = [ids.new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert {one.version for one in made} == {7}


# --- failpoints


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: made.append((pid, number)))
    failpoints._passed.clear()
    return made


def arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(failpoints, "_armed", failpoints._parse(text))


def test_an_unarmed_failpoint_does_nothing(kills: list[Any]) -> None:
    for name in failpoints.NAMES:
        failpoints.hit(name)
    assert kills == []


def test_an_armed_failpoint_kills_the_nth_time(kills: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "quota.after_commit=kill;lease.after_acquire=kill*3")
    failpoints.hit("finish.after_commit")
    failpoints.hit("quota.after_commit")
    assert kills == [(os.getpid(), signal.SIGKILL)]
    for _ in range(2):
        failpoints.hit("lease.after_acquire")
    assert len(kills) == 1
    failpoints.hit("lease.after_acquire")
    assert len(kills) == 2


def test_a_failpoint_fires_once_per_folder(kills: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FATHOM_FAILPOINT_ONCE_DIR", str(tmp_path))
    for _ in range(2):
        arm(monkeypatch, "quota.after_commit=kill")
        failpoints._passed.clear()
        failpoints.hit("quota.after_commit")
    assert len(kills) == 1


def test_an_unknown_failpoint_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown failpoint: quota\.after_lunch"):
        failpoints._parse("quota.after_lunch=kill")


def test_every_failpoint_is_somewhere() -> None:
    code = "".join(path.read_text() for path in Path("apps").rglob("*.py") if path.name != "failpoints.py")
    assert [name for name in sorted(failpoints.NAMES) if f'hit("{name}")' not in code] == []


# --- hints


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[str]:
    settings.HINTS_ENABLED = True
    monkeypatch.setattr(wakeup, "_broken_until", 0.0)
    made: list[str] = []
    monkeypatch.setattr(celery_app, "send_task", lambda task, **_: made.append(task))
    return made


@pytest.mark.django_db
def test_one_hint_per_transaction_after_the_commit(sent: list[str], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            wakeup.poke("compute")
        assert sent == []
    wait_for(lambda: sent, what="the hint")
    assert sent == ["compute.reconcile"]


@pytest.mark.django_db
def test_a_burst_of_hints_is_few_and_the_last_is_not_lost(
    sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    for _ in range(200):
        with django_capture_on_commit_callbacks(execute=True):
            wakeup.poke("compute")
    seen = len(sent)
    with django_capture_on_commit_callbacks(execute=True):
        wakeup.poke("compute")
    wait_for(lambda: len(sent) > seen, what="a hint after the last change")
    assert len(sent) < 100


def test_without_a_broker_no_hint_is_tried(sent: list[str], settings: Any) -> None:
    settings.HINTS_ENABLED = False
    wakeup._ask("compute.reconcile")
    time.sleep(3 * wakeup._BURST_SECONDS)
    assert sent == []


@pytest.mark.parametrize("error", [OperationalError, OSError])
def test_a_lost_hint_is_no_error_and_the_broker_gets_a_rest(
    sent: list[str], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*_args: Any, **_facts: Any) -> None:
        sent.append("tried")
        raise error

    monkeypatch.setattr(celery_app, "send_task", broken)
    for _ in range(5):
        wakeup._send("compute.reconcile")
    assert sent == ["tried"]
    assert wakeup._broken_until > time.monotonic()


# --- request ids


@pytest.mark.parametrize("given", ["abcdefgh", "a.b-c_d1234", "x" * 64])
def test_a_well_formed_request_id_is_kept(given: str) -> None:
    assert answer({"X-Request-ID": given}) == given


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "a b c d e f", "<script>alert(1)</script>", "ab\ncdefgh", "ääääääää"]
)
def test_an_ill_formed_request_id_is_replaced(given: str) -> None:
    assert answer({"X-Request-ID": given}) not in ("", given)


def answer(headers: dict[str, str]) -> str:
    seen: list[Any] = []

    def view(_request: Any) -> HttpResponse:
        seen.append(current_request.get())
        return HttpResponse()

    response = RequestContextMiddleware(view)(RequestFactory().get("/api/v2/me/", headers=headers))
    assert (seen[0].request_id, seen[0].origin, seen[0].ip) == (response["X-Request-ID"], "api", "127.0.0.1")
    assert current_request.get().request_id == ""
    return str(response["X-Request-ID"])


# --- locks and errors


@pytest.mark.django_db
def test_rows_are_locked_without_blocking_foreign_keys() -> None:
    row = Organization.objects.create(slug="o", name="O")
    with CaptureQueriesContext(connection) as queries:
        assert locks.lock_rows(Organization.objects.all()) == [row]
        assert locks.lock_row(Organization.objects.filter(pk=row.pk)) == row
        assert locks.claim_rows(Organization.objects.order_by("pk"), limit=1) == [row]
    said = [query["sql"] for query in queries]
    assert all("FOR NO KEY UPDATE" in sql for sql in said)
    assert ["SKIP LOCKED" in sql for sql in said] == [False, False, True]


@pytest.mark.usefixtures("committed")
def test_a_lock_needs_a_transaction() -> None:
    with pytest.raises(TransactionManagementError):
        locks.lock_rows(Organization.objects.all())


@pytest.mark.django_db
def test_an_advisory_lock_is_won_by_its_transaction() -> None:
    with locks.advisory("a") as won, locks.advisory("a") as again:
        assert (won, again) == (True, True)
    with transaction.atomic():
        assert connection.in_atomic_block


def test_an_invalid_error_speaks_of_its_first_field() -> None:
    assert errors.Invalid(errors={"a": ["Bad."], "b": []}).detail == "a: Bad."
    assert errors.Invalid().detail == "The input is invalid."
    assert errors.NotFound().detail == "There is no such object, or you may not see it."
    assert errors.Throttled("wait", retry_after=3).extra == {"retry_after": 3}
