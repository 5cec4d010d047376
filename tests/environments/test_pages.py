"""The pages of environments."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.environments import services
from apps.environments.models import Environment
from apps.experiments.models import Experiment
from tests.environments.conftest import build_of, make, work
from tests.factories import Stage
from tests.people import Cast, browser_of


@pytest.fixture
def alice(cast: Cast) -> Client:
    return browser_of(cast.alice)


def test_from_the_form_to_a_build(cast: Cast, stage: Stage, alice: Client) -> None:
    typed = {
        "name": "tools", "packages": "six==1.16.0\r\nbroken\r\n", "variables": "A=1\r\nB=x=y", "team": "vision", "python": "3.11",
        "r_packages": "", "image": "", "description": "about", "visibility": "",
    }  # fmt: skip
    made = alice.post("/environments/new/", typed, follow=True)
    assert "tools@1" in made.text
    assert "Not built yet" in made.text
    environment = Environment.objects.get()
    version = services.version_numbered(environment, "1")
    assert version is not None
    assert (version.packages, version.variables, environment.team) == (
        ["six==1.16.0", "broken"],
        {"A": "1", "B": "x=y"},
        cast.team,
    )
    address = f"/environments/{environment.pk}/versions/1/"
    assert "Queued" in alice.post(f"{address}build/", follow=True).text or build_of(version).state == "queued"
    assert 'hx-trigger="every 2s"' in alice.get(address).text
    work()
    page = alice.get(address).text
    assert "line 2 (broken): it is broken" in page
    assert "broke the build" in page
    assert "$ lock" in page
    part = alice.get(address, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert 'hx-trigger="every 2s"' not in part


def test_the_next_version_starts_with_the_newest(cast: Cast, stage: Stage, alice: Client) -> None:
    version = make(cast.alice, variables={"A": "1"})
    address = f"/environments/{version.environment_id}/versions/new/"
    form = alice.get(address).text
    assert "six==1.16.0" in form
    assert "A=1" in form
    answer = alice.post(address, {"packages": "tomli", "variables": "", "r_packages": "", "python": "", "image": ""})
    assert answer.url.endswith("/versions/2/")  # type: ignore[attr-defined]
    page = alice.get(f"/environments/{version.environment_id}/").text
    assert page.index("tools@2") < page.index("tools@1")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": ""}, "Give it a name."),
        ({"name": "a b"}, "Letters, digits"),
        ({"name": "x", "packages": "six\n-e ."}, "line 2 (-e .)"),
        ({"name": "x", "variables": "A"}, "Line 1 should look like NAME=value."),
        ({"name": "x", "variables": "PATH=1"}, "cannot be set"),
        ({"name": "x", "python": "2.7"}, "A version like 3.11"),
        ({"name": "tools"}, "An environment of this name exists."),
        ({"name": "x", "team": "far"}, "valid choice"),
    ],
)
def test_what_is_refused_stands_beside_its_field(cast: Cast, alice: Client, typed: dict[str, str], said: str) -> None:
    make(cast.alice)
    answer = alice.post("/environments/new/", typed)
    assert answer.status_code == 400
    assert said in answer.text.replace("&#x27;", "'")
    assert Environment.objects.count() == 1


def test_the_list_is_narrowed_and_shows_no_stranger_anything(cast: Cast, alice: Client) -> None:
    make(cast.alice, name="mine")
    make(cast.mia, name="ours", team=cast.team)
    make(cast.charlie, name="sesame-74b1")
    page = alice.get("/environments/").text
    assert "mine" in page
    assert "ours" in page
    assert "sesame" not in page
    assert "ours" not in alice.get("/environments/?q=min").text
    assert "Nothing matches" in alice.get("/environments/?q=sesame").text
    assert alice.get("/environments/?q=%00").status_code == 200
    assert "74b1" not in alice.get("/search/?q=sesame").text
    assert "74b1" in browser_of(cast.charlie).get("/search/?q=sesame").text


def test_a_viewer_builds_and_changes_nothing_else(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice, team=cast.team)
    bob = browser_of(cast.bob)
    address = f"/environments/{version.environment_id}/"
    assert bob.post(f"{address}versions/1/build/").status_code == 302
    assert build_of(version).state == "queued"
    for path in ("edit/", "versions/new/", "delete/"):
        assert bob.post(f"{address}{path}", {"name": "x"}).status_code == 403
    assert "disabled" in bob.get(address).text
    assert browser_of(cast.charlie).get(address).status_code == 404


def test_edit_and_delete(cast: Cast, alice: Client) -> None:
    version = make(cast.alice)
    address = f"/environments/{version.environment_id}/"
    assert alice.post(f"{address}edit/", {"name": "a/b"}).status_code == 400
    assert alice.post(f"{address}edit/", {"name": "better", "description": "x"}).status_code == 302
    assert "better" in alice.get(f"{address}history/").text
    assert alice.post(f"{address}delete/").status_code == 302
    assert alice.get(address).status_code == 404


def test_an_experiment_is_submitted_in_one_and_says_so(cast: Cast, stage: Stage, alice: Client) -> None:
    version = make(cast.alice)
    form = alice.get("/experiments/new/?environment=tools@1").text
    assert '<option value="tools@1" selected>' in form
    assert '<option value="tools">tools · version 1</option>' in form
    typed = {"command": "true", "environment": "tools", "cluster": "fake", "kind": "shell"}
    assert "environment: tools" in alice.post(reverse("experiment-preview"), typed).text
    answer = alice.post("/experiments/new/", typed)
    assert answer.status_code == 302, answer.text
    experiment = Experiment.objects.get()
    assert experiment.environment == version
    page = alice.get(f"/experiments/{experiment.pk}/").text
    assert f"/environments/{version.environment_id}/versions/1/" in page
    assert "aiting: its environment tools@1 is being built" in page
    clone = alice.get(f"/experiments/{experiment.pk}/clone/").text
    assert '<option value="tools@1" selected>' in clone


def test_an_environment_that_is_not_there_is_said_beside_its_field(cast: Cast, stage: Stage, alice: Client) -> None:
    hidden = make(cast.charlie, name="sesame-74b1")
    for name in ("nothing", "sesame-74b1", f"{hidden.environment_id}@1", "a b", "x\x00"):
        answer = alice.post("/experiments/new/", {"command": "true", "environment": name, "cluster": "fake"})
        assert answer.status_code == 400
        assert not Experiment.objects.exists()
