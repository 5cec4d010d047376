"""Limits from a file: first shown, then all or nothing, each on the record."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.core.errors import Invalid, NotAllowed
from apps.experiments.services import quota_node
from apps.quotas import services
from apps.quotas.models import QuotaLimit, QuotaNode
from tests import people
from tests.admin.rows import make_row, write_limits

URL = "/admin/quotas/quotanode/import/"
GIB = 1 << 30


@pytest.fixture
def node(alice: User) -> QuotaNode:
    node = quota_node(alice, None)
    write_limits(QuotaLimit.objects.filter(node=node), limit=None)
    return node


def limits(node: QuotaNode) -> dict[str, int | None]:
    return dict(QuotaLimit.objects.filter(node=node).values_list("resource", "limit"))


def rehearse(browser: Client, text: str | bytes) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return browser.post(URL, {"file": SimpleUploadedFile("limits.csv", data)})


def confirm(browser: Client, text: str, reason: str = "new budget") -> Any:
    return browser.post(URL, {"text": text, "_confirmed": "1", "reason": reason})


def test_shown_first_then_done(browser: Client, node: QuotaNode, sre: User) -> None:
    write_limits(QuotaLimit.objects.filter(node=node, resource="cpu"), limit=8000)
    text = f"key,resource,limit\r\n{node.key},cpu,0.5\r\n{node.key},memory, 32Gi\r\n{node.key},gpu,\r\n"
    before = limits(node)
    page = rehearse(browser, text)
    assert [(c.line, c.before_words, c.after_words) for c in page.context["draft"].news] == [
        (2, "8", "0.5"),
        (3, "no limit", "32Gi"),
    ]
    assert "<b>2</b> of 3 limits will change" in page.text
    assert limits(node) == before
    assert not AuditEvent.objects.filter(action="set_limit").exists()
    carried = page.context["form"].initial["text"]
    assert confirm(browser, carried)["Location"] == "/admin/quotas/quotanode/"
    assert limits(node) == {**before, "cpu": 500, "memory": 32 * GIB}
    events = AuditEvent.objects.filter(action="set_limit")
    assert {(event.actor_label, event.reason, event.data["resource"]) for event in events} == {
        ("sre", "new budget", "cpu"),
        ("sre", "new budget", "memory"),
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nobody:1,cpu,8", "There is no place &#x27;nobody:1&#x27; in the quota tree."),
        ("{key},tpu,8", "&#x27;tpu&#x27; is not one of cpu, memory, gpu, disk, experiments, "),
        ("{key},cpu,lots", "is not an amount of CPUs. Write 8, 0.5 or 500m"),
        ("{key},cpu,-1", "is not an amount"),
        ("{key},cpu", "Expected 3 cells, found 2."),
        ("{key},cpu,8,9", "Expected 3 cells, found 4."),
        ("{key},memory,1Gi", "stands in an earlier line as well."),
        ("{cluster},cpu,8", "reports its cpu itself."),
    ],
)
def test_one_wrong_line_and_nothing_is_done(line: str, sentence: str, browser: Client, node: QuotaNode) -> None:
    cluster = compute.cluster_node(make_row(1).workload.cluster)
    text = f"key,resource,limit\n{node.key},memory,32Gi\n{line.format(key=node.key, cluster=cluster.key)}\n"
    before = limits(node)
    page = rehearse(browser, text)
    assert [number for number, _ in page.context["draft"].errors] == [3]
    assert sentence in page.text
    assert "nothing will be" in page.text
    assert confirm(browser, text).status_code == 200  # forced all the same
    assert limits(node) == before
    assert not AuditEvent.objects.filter(action="set_limit", reason="new budget").exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"a,b\n", "The first line must be: key,resource,limit"),
        (b"key,resource,limit\n", "There is no line below the first."),
        (b"key,resource,limit\nx\x00,cpu,8\n", "The first line must be"),
        (b"\xff\xfe\x00", "This is not UTF-8 text."),
        (b"key,resource,limit\n" + b"user:1,cpu,8\n" * 60_000, "At most 500 kB at a time."),
        (b"key,resource,limit\n" + b"u,cpu,8\n" * 5001, "At most 5000 lines at a time."),
    ],
)
def test_what_is_no_such_file(data: bytes, sentence: str, browser: Client) -> None:
    page = rehearse(browser, data)
    assert page.status_code == 200
    assert sentence in page.text


def test_needs_a_reason(browser: Client, node: QuotaNode) -> None:
    text = f"key,resource,limit\n{node.key},cpu,8\n"
    page = confirm(browser, text, " ")
    assert "Say why." in page.text
    assert text.splitlines()[1] in page.text
    assert limits(node)["cpu"] is None
    with pytest.raises(Invalid):
        services.set_limits([(node, "cpu", 1)], by=SYSTEM, reason="")


def test_the_limits_as_they_are_go_in_again_unchanged(browser: Client, node: QuotaNode) -> None:
    write_limits(QuotaLimit.objects.filter(node=node, resource="memory"), limit=3 * GIB + 1)
    text = browser.get(URL, {"_template": "csv"}).text
    assert f"{node.key},memory,{3 * GIB + 1}" in text
    draft = rehearse(browser, text).context["draft"]
    assert (draft.errors, draft.news) == ([], [])
    assert len(draft.changes) == QuotaLimit.objects.count()


def test_others_import_nothing(node: QuotaNode, alice: User) -> None:
    aud = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(aud, "auditor", by=SYSTEM)
    text = f"key,resource,limit\n{node.key},cpu,8\n"
    for person, code in ((alice, 302), (aud, 403), (None, 302)):
        browser = people.browser_of(person)
        assert browser.get(URL).status_code == code
        assert confirm(browser, text).status_code == code
    with pytest.raises(NotAllowed):
        services.set_limits([(node, "cpu", 1)], by=aud, reason="x")
    assert limits(node)["cpu"] is None
