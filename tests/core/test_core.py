"""Ids, failpoints, hints, request ids, locks."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from apps.core import errors, failpoints, ids, locks, wakeup
from apps.core.middleware import RequestContextMiddleware, current_request
from apps.teams.models import Organization
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
def sent(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[list[str]]:
    """What a listener hears, over a real server."""
    settings.HINTS_ENABLED = True
    monkeypatch.setattr(wakeup, "_started", None)
    # The other processes of this test run share the server, and change things meanwhile.
    channel = f"test.{uuid4()}."
    monkeypatch.setattr(wakeup, "_channel", lambda name: channel + name)
    made: list[str] = []
    stop = threading.Event()
    listener = threading.Thread(target=wakeup.listen, args=("compute", lambda: made.append("hint"), stop))
    listener.start()
    wait_for(lambda: made, what="the subscription")
    made.clear()
    yield made
    stop.set()
    listener.join(5)


@pytest.mark.django_db
def test_one_hint_per_transaction_after_the_commit(sent: list[str], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            wakeup.poke("compute")
        time.sleep(0.1)
        assert sent == []
    wait_for(lambda: sent, what="the hint")
    time.sleep(3 * wakeup._BURST_SECONDS)
    assert sent == ["hint"]


def test_a_burst_of_hints_is_few_and_the_last_is_not_lost(sent: list[str]) -> None:
    for _ in range(200):
        wakeup._ask("compute")
    time.sleep(3 * wakeup._BURST_SECONDS)
    assert 1 <= len(sent) < 100
    seen = len(sent)
    wakeup._ask("compute")
    wait_for(lambda: len(sent) > seen, what="a hint after the last change")


def test_without_a_server_no_hint_is_tried(sent: list[str], settings: Any) -> None:
    settings.HINTS_ENABLED = False
    wakeup._ask("compute")
    time.sleep(3 * wakeup._BURST_SECONDS)
    assert sent == []


def test_a_lost_hint_is_no_error_and_the_server_gets_a_rest(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.HINTS_ENABLED = True
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(wakeup, "_started", None)
    sender = wakeup._sender()
    wakeup._ask("compute")
    wait_for(lambda: sender._broken_until > time.monotonic(), what="the failure")
    before = sender._broken_until
    wakeup._ask("compute")
    time.sleep(3 * wakeup._BURST_SECONDS)
    assert sender._broken_until == before


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
    row = Organization.objects.create(slug="o", name="O", group=Group.objects.create(name="o"))
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
