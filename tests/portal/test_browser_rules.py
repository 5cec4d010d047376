"""What the browser is told: content security policy, no inline code, CSRF, escaping, error pages."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from apps.compute import logs
from apps.compute.models import Attempt, Cluster
from apps.core import blobs
from apps.tracking.models import Artifact, MetricSeries, Param
from tests.people import PASSWORD, Cast, submit
from tests.portal.reading import text_of

Browser = Callable[[str], Client]
STATIC = Path(__file__).resolve().parents[2] / "static"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)


def evil_pages(cast: Cast) -> list[str]:
    run = submit(cast.alice, name=EVIL, command=EVIL, env={"A": EVIL}, tags={EVIL: EVIL}, team="vision")
    Param.objects.create(run=run.run, key=EVIL, value=EVIL)
    MetricSeries.objects.create(run=run.run, key=EVIL, count=1, last_value=1.0, last_step=1)
    blob = blobs.write([EVIL.encode()], limit=1000)
    for path, kind in (
        ("a.txt", "text/plain"),
        ("a.html", "text/html"),
        ("a.csv", "text/csv"),
        ("a.svg", "image/svg+xml"),
    ):
        Artifact.objects.create(
            run=run.run, path=path, sha256=blob.sha256, size_bytes=blob.size_bytes, content_type=kind
        )
    attempt = Attempt.objects.create(workload=run.workload, no=1, cluster=run.workload.cluster, handle="fth-test-1")
    logs.append(attempt.pk, 0, f"\x1b[31m{EVIL}\n".encode())
    base = f"/experiments/{run.pk}/"
    tabs = [base + tab for tab in ("", "metrics/", "logs/", "artifacts/", "events/", "status/", "clone/")]
    files = [f"{base}artifacts/?file=a.{suffix}" for suffix in ("txt", "html", "csv", "svg")]
    others = [
        "/",
        "/experiments/",
        "/experiments/?cols=tags&params=" + EVIL,
        "/usage/",
        "/search/?q=script",
        "/teams/vision/",
    ]
    return [
        *tabs,
        *files,
        *others,
        f"/runs/compare/?id={run.pk}&id={submit(cast.alice).pk}",
        f"/search/?q={EVIL}",
    ]


def test_nothing_anybody_typed_becomes_markup(cast: Cast, cluster: Cluster, as_person: Browser) -> None:
    client = as_person("alice")
    for path in evil_pages(cast):
        response = client.get(path)
        assert response.status_code == 200, path
        page = text_of(response)
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        # What remains of it stands escaped in text; no tag of the page has code of its own.
        tags = re.findall(r"<[a-zA-Z][^>]*>", re.sub(r"\"[^\"]*\"", '""', page))
        assert not [tag for tag in tags if INLINE.search(tag)], path


def test_pages_carry_a_policy_without_unsafe_inline(as_person: Browser) -> None:
    for response in (as_person("alice").get("/"), Client().get("/login/"), as_person("alice").get("/nothing/")):
        policy = response["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert re.search(r"script-src 'self'(;|$)", policy)
        assert re.search(r"style-src 'self'(;|$)", policy)
        assert "frame-ancestors 'none'" in policy


def test_htmx_is_told_not_to_need_more_than_the_policy_allows(as_person: Browser) -> None:
    page = text_of(as_person("alice").get("/"))
    assert '"includeIndicatorStyles":false' in page
    assert '"allowEval":false' in page


@pytest.mark.parametrize("path", sorted((STATIC / "js").rglob("*.js")), ids=lambda path: path.name)
def test_our_scripts_are_small_and_write_text_only(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 150
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


@pytest.mark.parametrize(
    "path",
    [
        "/logout/",
        "/tokens/",
        "/preferences/",
        "/experiments/new/",
        "/experiments/new/preview/",
        "/experiments/bulk/",
        "/login/",
    ],
)
def test_a_post_without_the_token_is_refused_and_changes_nothing(path: str, cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice)
    response = client.post(path, {"name": "x", "command": "true", "username": "alice", "password": PASSWORD})
    assert response.status_code == 403
    assert not cast.alice.api_tokens.exists()
    assert client.session["_auth_user_id"] == str(cast.alice.pk)


def test_an_error_says_its_request_id(as_person: Browser) -> None:
    response = as_person("alice").get(
        "/experiments/0190b6b4-0000-7000-8000-000000000000/", headers={"X-Request-ID": "abcdefgh-1"}
    )
    assert response.status_code == 404
    assert "abcdefgh-1" in text_of(response)
    assert "There is no such object, or you may not see it." in text_of(response)


def test_a_page_is_light(cast: Cast, cluster: Cluster, as_person: Browser) -> None:
    """Everything the busiest page transfers without charts, uncompressed but for the page itself, stays below 150 kB."""
    for number in range(50):
        submit(cast.alice, name=f"run-{number}", tags={"a": "b"})
    client = as_person("alice")
    page = client.get("/experiments/")
    shared = sum(
        (STATIC / name).stat().st_size
        for name in ("css/tokens.css", "css/layout.css", "css/components.css", "icons.svg")
    )
    scripts = sum(path.stat().st_size for path in (STATIC / "js").glob("*.js"))
    htmx = 51_238
    assert len(page.content) < 150_000
    assert shared + scripts + htmx < 150_000
