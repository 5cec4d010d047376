"""Limits are edited as people write them, with a reason, through the service."""

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.experiments.services import quota_node
from apps.quotas.forms import parse_amount, write_amount
from apps.quotas.models import QuotaLimit, QuotaNode
from tests.admin.rows import make_row, write_limits
from tests.admin.test_access import url_of

GIB = 1 << 30


def limits(node: QuotaNode) -> dict[str, int | None]:
    return dict(QuotaLimit.objects.filter(node=node).values_list("resource", "limit"))


@pytest.fixture
def node(alice: User) -> QuotaNode:
    node = quota_node(alice, None)
    write_limits(QuotaLimit.objects.filter(node=node), limit=None)
    return node


def test_limits_are_set_in_human_units(browser: Client, node: QuotaNode) -> None:
    asked = {
        "limit_cpu": "1.5",
        "limit_memory": "32Gi",
        "limit_gpu": "500m",
        "limit_experiments": "7",
        "limit_disk": "",
    }
    answer = browser.post(url_of("quotas.quotanode", "change", node.pk), {**asked, "reason": "a big deadline"})
    assert answer.status_code == 302
    given = {resource: amount for resource, amount in limits(node).items() if amount is not None}
    assert given == {"cpu": 1500, "memory": 32 * GIB, "gpu": 500, "experiments": 7}
    events = AuditEvent.objects.filter(action="set_limit", object_id=str(node.pk))
    assert {(event.actor_label, event.origin, event.reason) for event in events} == {("sre", "admin", "a big deadline")}
    assert events.get(data__resource="memory").data == {"resource": "memory", "before": None, "after": 32 * GIB}
    assert events.count() == 4  # one for each that changed


def test_what_is_not_touched_is_not_written(browser: Client, node: QuotaNode) -> None:
    write_limits(QuotaLimit.objects.filter(node=node, resource="memory"), limit=3 * GIB + 1)
    page = browser.get(url_of("quotas.quotanode", "change", node.pk)).text
    assert f'value="{3 * GIB + 1}"' in page
    asked = {"limit_memory": str(3 * GIB + 1), "limit_cpu": "2"}
    browser.post(url_of("quotas.quotanode", "change", node.pk), {**asked, "reason": "x"})
    assert list(AuditEvent.objects.filter(action="set_limit").values_list("data__resource", flat=True)) == ["cpu"]


def test_limit_is_taken_away(browser: Client, node: QuotaNode) -> None:
    write_limits(QuotaLimit.objects.filter(node=node, resource="cpu"), limit=8000)
    browser.post(url_of("quotas.quotanode", "change", node.pk), {"limit_cpu": "", "reason": "no more"})
    assert limits(node)["cpu"] is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"limit_cpu": "8", "reason": ""}, "Say why."),
        ({"limit_cpu": "lots", "reason": "x"}, "is not an amount of CPUs. Write 8, 0.5 or 500m"),
        ({"limit_memory": "32GB", "reason": "x"}, "Write 512Mi or 32Gi"),
        ({"limit_cpu": "-1", "reason": "x"}, "is not an amount"),
        ({"limit_cpu": "1e3", "reason": "x"}, "is not an amount"),
        ({"limit_experiments": "1.5", "reason": "x"}, "a whole number"),
        ({"limit_experiments": "2k", "reason": "x"}, "a whole number"),
        ({"limit_memory": "9999999Pi", "reason": "x"}, "too large"),
    ],
)
def test_refused_limit_changes_nothing(asked: dict[str, str], sentence: str, browser: Client, node: QuotaNode) -> None:
    before = limits(node)
    answer = browser.post(url_of("quotas.quotanode", "change", node.pk), {"limit_gpu": "4", **asked})
    assert answer.status_code == 200
    assert sentence in answer.text
    assert 'value="4"' in answer.text  # what was typed is kept
    assert limits(node) == before
    assert not AuditEvent.objects.filter(action="set_limit").exists()


def test_what_a_cluster_reports_is_not_edited(browser: Client) -> None:
    cluster = make_row(1).workload.cluster
    node = compute.cluster_node(cluster)
    write_limits(QuotaLimit.objects.filter(node=node, resource="cpu"), limit=4000)
    asked = {"limit_cpu": "64", "limit_experiments": "9", "reason": "x"}
    browser.post(url_of("quotas.quotanode", "change", node.pk), asked)
    assert limits(node)["cpu"] == 4000
    assert limits(node)["experiments"] == 9


@pytest.mark.parametrize(
    ("resource", "text", "amount"),
    [
        ("cpu", "8", 8000), ("cpu", "0.5", 500), ("cpu", "250m", 250), ("cpu", "0.0001", 1), ("gpu", "2", 2000),
        ("memory", "1Gi", GIB), ("memory", "1.5Gi", GIB + GIB // 2), ("memory", "1G", 10**9), ("memory", "17", 17),
        ("disk", "2Ti", 2 << 40), ("experiments", "20", 20), ("cpu", "", None), ("cpu", "0", 0),
    ],
)  # fmt: skip
def test_amounts_are_read_exactly(resource: str, text: str, amount: int | None) -> None:
    assert parse_amount(resource, text) == amount


@pytest.mark.parametrize("resource", ["cpu", "memory", "experiments"])
@pytest.mark.parametrize("amount", [None, 0, 1, 999, 1000, 1500, 1 << 20, 3 * GIB, 3 * GIB + 1, (1 << 53) - 1])
def test_what_is_written_reads_back_as_it_was(resource: str, amount: int | None) -> None:
    assert parse_amount(resource, write_amount(resource, amount)) == amount


def test_pressure_filter_shows_who_presses(browser: Client, node: QuotaNode) -> None:
    url = url_of("quotas.quotanode", "changelist")
    rows = QuotaLimit.objects.filter(node=node, resource="cpu")
    for used, limit, at_90, at_100 in [
        (90, 100, 0, 0),
        (91, 100, 1, 0),
        (100, 100, 1, 1),
        (0, 0, 0, 1),
        (5, None, 0, 0),
    ]:
        write_limits(rows, used=used, limit=limit)
        shown = [len(browser.get(f"{url}?pressure={level}").context["cl"].result_list) for level in ("90", "100")]
        assert shown == [at_90, at_100], (used, limit)
