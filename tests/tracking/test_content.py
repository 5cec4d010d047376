"""The content origin: signed links, judged again, and nothing a browser could be hurt with."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, User
from apps.core import blobs
from apps.core.errors import NotAuthenticated
from apps.teams import services as teams
from apps.tracking import content, services, tickets
from apps.tracking.models import Artifact, Run
from apps.tracking.ranges import UNSATISFIABLE, Range, requested
from tests import people
from tests.people import Cast
from tests.tracking.conftest import Answer, call

pytestmark = pytest.mark.usefixtures("outside")

DATA = bytes(range(256)) * 40


def save(run: Run, by: Any, path: str = "a.bin", data: bytes = DATA, content_type: str = "") -> Artifact:
    return services.save_artifact(run, path, iter([data]), by=by, content_type=content_type)[0]


def link(run: Run, by: Any, path: str = "a.bin") -> str:
    parts = urlsplit(services.artifact_link(run, path, by=by))
    return f"{parts.path}?{parts.query}"


def get(target: str, method: str = "GET", **headers: str) -> Answer:
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(content.application, method, target, headers=pairs)


def test_a_link_gives_the_file(cast: Cast, run: Run) -> None:
    artifact = save(run, cast.alice)
    answer = get(link(run, cast.bob))
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["etag"] == f'"{artifact.sha256}"'
    assert answer.headers["content-length"] == str(len(DATA))
    head = get(link(run, cast.bob), "HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", answer.headers)


def test_every_answer_is_harmless(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    answers = [
        get(link(run, cast.alice)),
        get("/"),
        get(link(run, cast.alice), "POST"),
        get(link(run, cast.alice), range="bytes=99999-"),
    ]
    assert [answer.status for answer in answers] == [200, 404, 405, 416]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:")
        assert "allow-" not in policy
        assert "script-src" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "private, no-store"
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "content_type", "served", "place"),
    [
        ("a.html", "text/html", "text/html; charset=utf-8", "inline"),
        ("a.svg", "", "image/svg+xml", "inline"),
        ("a.png", "", "image/png", "inline"),
        ("a.txt", "", "text/plain; charset=utf-8", "inline"),
        ("a.csv", "", "text/csv; charset=utf-8", "inline"),
        ("a.json", "", "application/json; charset=utf-8", "inline"),
        ("a.js", "text/javascript", "text/plain; charset=utf-8", "inline"),
        ("a.js", "application/javascript", "application/octet-stream", "attachment"),
        ("a.css", "text/css", "text/plain; charset=utf-8", "inline"),
        ("a.pdf", "", "application/octet-stream", "attachment"),
        ("a.xhtml", "application/xhtml+xml", "application/octet-stream", "attachment"),
        ("a.bin", "", "application/octet-stream", "attachment"),
    ],
)
def test_what_a_browser_may_show(content_type: str, path: str, served: str, place: str) -> None:
    from apps.tracking import media

    artifact = Artifact(path=f"d/{path}", content_type=media.content_type_of(path, content_type), sha256="0" * 64)
    described = content._described(artifact, is_download=False)
    assert described["Content-Type"] == served
    assert described["Content-Disposition"] == f"{place}; filename*=UTF-8''{path}"


def test_html_is_served_in_a_sandbox(cast: Cast, run: Run) -> None:
    save(run, cast.alice, "report.html", b"<script>alert(1)</script>", "text/html")
    answer = get(link(run, cast.alice, "report.html"))
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_a_name_cannot_break_its_header(cast: Cast, run: Run) -> None:
    save(run, cast.alice, "d/é\"; x=y'.txt")
    answer = get(link(run, cast.alice, "d/é\"; x=y'.txt") + "&download=1")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A9%22%3B%20x%3Dy%27.txt"


def test_no_ticket_no_file(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    path = link(run, cast.alice).partition("?")[0]
    for query in ("", "?ticket=", "?ticket=x", "?ticket=1.2.3.4", "?ticket=....", "?ticket=" + "1" * 5000):
        answer = get(path + query)
        assert (answer.status, answer.json()["code"]) == (401, "not_authenticated"), query


def test_a_ticket_cannot_be_changed(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    save(run, cast.alice, "b.bin", b"other")
    path, _, ticket = link(run, cast.alice).partition("?ticket=")
    expiry, user, token, signature = ticket.split(".")
    forged = [
        f"{int(expiry) + 1}.{user}.{token}.{signature}",
        f"{expiry}.{cast.bob.pk}.{token}.{signature}",
        f"{expiry}.{user}.{run.pk}.{signature}",
        f"{expiry}.{user}.{token}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        f"{expiry}.{user}.{token}.",
        f"+{expiry}.{user}.{token}.{signature}",
        f"{expiry}.{user}.{token}.{signature}.x",
        f"{expiry}. {user}.{token}.{signature}",
        f"{expiry}.{user}_0.{token}.{signature}",
        f"{expiry}.{user}.s{run.pk}.{signature}",
    ]
    for text in forged:
        assert get(f"{path}?ticket={text}").status == 401, text
    assert get(f"{path}?ticket={ticket}").status == 200
    other = services.create_run(run.project, by=cast.alice, name="other")
    save(other, cast.alice)
    assert get(f"{path.replace('a.bin', 'b.bin')}?ticket={ticket}").status == 401
    assert get(f"{path.replace(str(run.pk), str(other.pk))}?ticket={ticket}").status == 401


def test_a_ticket_ends_after_five_minutes(cast: Cast, run: Run) -> None:
    now = time.time()
    url = urlsplit(tickets.link(run.pk, "a.bin", by=cast.alice, now=now))
    text = url.query.removeprefix("ticket=")
    assert tickets.read(text, run=run.pk, path="a.bin", now=now + 299).user == cast.alice.pk
    with pytest.raises(NotAuthenticated):
        tickets.read(text, run=run.pk, path="a.bin", now=now + 301)
    save(run, cast.alice)
    late = urlsplit(tickets.link(run.pk, "a.bin", by=cast.alice, now=now - 301))
    assert get(f"{late.path}?{late.query}").status == 401


def test_a_ticket_of_another_key_is_worthless(cast: Cast, run: Run, settings: Any) -> None:
    save(run, cast.alice)
    target = link(run, cast.alice)
    settings.FATHOM_DATA_KEY = "22" * 32
    assert get(target).status == 401


def test_who_may_not_view_gets_nothing_out_of_a_ticket(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    assert get(link(run, cast.charlie)).status == 404
    assert get(link(run, cast.olaf)).status == 404
    assert get(link(run, people.in_browser(cast.sre))).status == 200
    assert get(link(run, cast.sre)).status == 404  # nothing says that he still acts as an admin


def test_removed_access_ends_a_ticket(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    grants.grant(cast.dana, run, Role.VIEWER)
    dana, bob, mia = (link(run, user) for user in (cast.dana, cast.bob, cast.mia))
    assert [get(target).status for target in (dana, bob, mia)] == [200, 200, 200]
    grants.revoke(cast.dana, run)
    teams.remove_member(cast.team, cast.bob, by=cast.sre)
    User.objects.filter(pk=cast.mia.pk).update(is_active=False)
    assert [get(target).status for target in (dana, bob, mia)] == [404, 404, 401]


def test_a_ticket_ends_with_the_token_that_asked_for_it(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    value = accounts.issue_token(cast.alice, by=cast.alice, name="t")[1]
    target = link(run, accounts.authenticate_token(value))
    assert get(target).status == 200
    ApiToken.objects.update(revoked_at=timezone.now())
    assert get(target).status == 401


def test_a_bound_tokens_ticket_reaches_its_run_only(cast: Cast, run: Run) -> None:
    from tests.tracking.conftest import run_token

    other = services.create_run(run.project, by=cast.alice, name="other")
    save(run, cast.alice)
    save(other, cast.alice)
    job = accounts.authenticate_token(run_token(run))
    assert get(link(run, job)).status == 200
    assert get(link(other, job)).status == 404


def test_what_was_deleted_is_gone(cast: Cast, run: Run) -> None:
    artifact = save(run, cast.alice)
    target = link(run, cast.alice)
    services.delete_artifact(artifact, by=cast.alice)
    assert get(target).status == 404
    save(run, cast.alice)
    services.archive_run(run, by=cast.alice)
    assert get(target).status == 404


def test_lost_bytes_are_no_crash(cast: Cast, run: Run) -> None:
    blobs.path_of(save(run, cast.alice).sha256).unlink()
    assert get(link(run, cast.alice)).status == 404


@pytest.mark.parametrize(
    "path", ["/", "/artifacts/", "/artifacts/x/a", "/artifacts/%s/", "/artifacts/%s/../a", "/artifacts/%s/a%%00b"]
)
def test_other_paths_are_not_found(run: Run, path: str) -> None:
    assert get(path.replace("%s", str(run.pk)).replace("%%", "%")).status == 404


def test_parts_of_a_file(cast: Cast, run: Run) -> None:
    artifact = save(run, cast.alice)
    target, size = link(run, cast.alice), len(DATA)
    for text, start, stop in (
        ("0-9", 0, 10),
        ("100-", 100, size),
        ("-5", size - 5, size),
        ("0-999999", 0, size),
        ("7-7", 7, 8),
    ):
        answer = get(target, range=f"bytes={text}")
        assert (answer.status, answer.body) == (206, DATA[start:stop]), text
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - start)
    behind = get(target, range=f"bytes={size}-")
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{size}")
    for text in ("bytes=0-1,3-4", "bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=٣-٤"):
        encoded = text.encode().decode("latin-1")
        assert get(target, range=encoded).status == 200, text
    assert get(target, range="bytes=0-1", if_range=f'"{artifact.sha256}"').status == 206
    assert get(target, range="bytes=0-1", if_range='"old"').status == 200
    part = get(target, "HEAD", range="bytes=0-1")
    assert (part.status, part.body, part.headers["content-length"]) == (206, b"", "2")


@pytest.mark.parametrize("size", [0, 1])
def test_parts_of_next_to_nothing(size: int) -> None:
    assert requested({}, size=size, etag="") == Range(0, size)
    assert requested({"range": "bytes=0-"}, size=size, etag="") == (
        Range(0, 1, is_partial=True) if size else UNSATISFIABLE
    )
    assert requested({"range": "bytes=-0"}, size=size, etag="") is UNSATISFIABLE


def test_a_known_file_is_not_sent_again(cast: Cast, run: Run) -> None:
    artifact = save(run, cast.alice)
    target = link(run, cast.alice)
    for tag in (f'"{artifact.sha256}"', f'W/"{artifact.sha256}"', f'"x", "{artifact.sha256}"'):
        answer = get(target, if_none_match=tag)
        assert (answer.status, answer.body) == (304, b"")
    assert get(target, if_none_match='"x"').status == 200
    assert get(link(run, cast.charlie), if_none_match=f'"{artifact.sha256}"').status == 404


def test_a_long_transfer_is_judged_again(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access that is removed while a file is being sent cuts the transfer."""
    monkeypatch.setattr(content, "_JUDGED_AGAIN_SECONDS", 0)
    monkeypatch.setattr(content, "_CHUNK", 1000)
    save(run, cast.alice)
    grants.grant(cast.dana, run, Role.VIEWER)
    target = link(run, cast.dana)
    assert get(target).is_complete
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.to_thread(_without_connection, grants.revoke, cast.dana, run)

    async def receive() -> dict[str, Any]:
        raise AssertionError

    path, _, query = target.partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    asyncio.run(content.application(scope, receive, send))
    assert len(sent) == 3
    assert sent[-1]["more_body"] is True  # so the server cuts the connection


def _without_connection(work: Any, *args: Any) -> None:
    from django.db import connection

    try:
        work(*args)
    finally:
        connection.close()
