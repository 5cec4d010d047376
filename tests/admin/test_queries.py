"""A list of three rows costs as many queries as a list of one."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.compute.models import Workload
from tests.admin.rows import make_row, start, submit
from tests.admin.test_access import LABELS, url_of

MOST = 20  # of any list; most need far fewer
MOST_IN_FRONT = 30  # the front page asks a query for each of its numbers


def queries(browser: Client, url: str) -> list[str]:
    browser.get(url)  # what is remembered for the process is remembered now
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(url).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("label", LABELS)
def test_list_is_flat(label: str, browser: Client) -> None:
    make_row(1)
    one = queries(browser, url_of(label, "changelist"))
    make_row(2)
    make_row(3)
    three = queries(browser, url_of(label, "changelist"))
    assert len(three) == len(one), "\n".join(three)
    assert len(three) <= MOST


def test_front_page_is_flat(browser: Client) -> None:
    make_row(1)
    one = queries(browser, "/admin/")
    make_row(2)
    make_row(3)
    assert len(queries(browser, "/admin/")) == len(one) <= MOST_IN_FRONT


def test_page_of_a_workload_does_not_grow_with_its_history(browser: Client) -> None:
    workload = make_row(1).workload
    url = url_of("compute.workload", "change", workload.pk)
    few = queries(browser, url)
    for no in range(2, 30):
        workload.attempts.create(no=no, cluster=workload.cluster, handle=f"h-{no}")
        workload.events.create(seq=no + 10, to_state="running", actor=f"event-{no}-x")
    many = queries(browser, url)
    assert len(many) == len(few), "\n".join(many)
    page = browser.get(url).text
    assert "event-29-x" in page
    assert "event-3-x" not in page  # the newest twenty


def test_filters_cost_nothing_per_row(browser: Client) -> None:
    first = make_row(1)
    url = url_of("compute.workload", "changelist") + "?question=stuck"
    one = queries(browser, url)
    for no in range(3):
        start(submit(first.run.owner, cluster="cluster-1", name=f"more-{no}").workload)
    assert Workload.objects.count() == 4
    assert len(queries(browser, url)) == len(one)
