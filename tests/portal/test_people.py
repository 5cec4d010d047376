"""Who may open which page, and what a refusal gives away: nothing."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.compute.models import Cluster
from tests.people import Cast, share, submit
from tests.portal.reading import text_of

TABS = ("", "metrics/", "logs/", "artifacts/", "events/", "status/")
Browser = Callable[[str], Client]


@pytest.mark.parametrize(
    "path", ["/", "/experiments/", "/experiments/new/", "/teams/", "/usage/", "/tokens/", "/search/"]
)
def test_a_stranger_is_sent_to_the_login_and_back(path: str, cast: Cast) -> None:
    response = Client().get(path)
    assert (response.status_code, response["Location"]) == (302, f"/login/?next={path}")


@pytest.mark.parametrize(
    "path", ["/", "/experiments/", "/experiments/new/", "/teams/", "/usage/", "/tokens/", "/search/"]
)
def test_every_person_has_the_general_pages(path: str, as_person: Browser) -> None:
    assert as_person("charlie").get(path).status_code == 200


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(
    ("person", "status"),
    [("alice", 200), ("bob", 200), ("dana", 200), ("mia", 200), ("sre", 200), ("charlie", 404), ("olaf", 404)],
)
def test_the_run_page(tab: str, person: str, status: int, cast: Cast, cluster: Cluster, as_person: Browser) -> None:
    run = submit(cast.alice, name="sesame", team="vision")
    share(run, cast.dana)
    response = as_person(person).get(f"/experiments/{run.pk}/{tab}")
    assert response.status_code == status
    assert ("sesame" in text_of(response)) == (status == 200)


def test_lists_and_search_show_only_what_may_be_seen(cast: Cast, cluster: Cluster, as_person: Browser) -> None:
    submit(cast.alice, name="sesame", team="vision")
    for path in ("/experiments/", "/search/?q=sesame"):
        assert "sesame</" in text_of(as_person("bob").get(path))
        assert "sesame</" not in text_of(as_person("charlie").get(path))


def test_a_disabled_person_is_out(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.ivan)
    assert client.get("/")["Location"] == "/login/?next=/"


@pytest.mark.parametrize(("person", "disabled"), [("alice", 0), ("bob", 1)])
def test_a_button_that_is_not_allowed_is_disabled_with_the_reason(
    person: str,
    disabled: int,
    cast: Cast,
    cluster: Cluster,
    as_person: Browser,
) -> None:
    run = submit(cast.alice, team="vision")
    page = text_of(as_person(person).get(f"/experiments/{run.pk}/"))
    assert page.count('title="You are viewer of this experiment; stop needs editor."') == disabled
    assert (f'action="/experiments/{run.pk}/stop/"' in page) == (not disabled)


def test_compare_leaves_out_what_may_not_be_seen(cast: Cast, cluster: Cluster, as_person: Browser) -> None:
    mine, other = submit(cast.charlie, name="mine"), submit(cast.alice, name="sesame", team="vision")
    page = text_of(as_person("charlie").get(f"/runs/compare/?id={mine.pk}&id={other.pk}&id=nonsense"))
    assert "sesame" not in page
    assert "1 left out" in page
