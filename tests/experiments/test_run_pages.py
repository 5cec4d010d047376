"""The pages of a run that no job stands behind: who sees what, what its buttons do, and where a job's run leads."""

import json
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.tracking import services as tracking
from apps.tracking.models import Run
from tests.people import Cast, browser_of, fake_cluster, make_cast, submit
from tests.portal.reading import said

TABS = ("", "metrics/", "media/", "artifacts/", "history/")


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def run(cast: Cast) -> Run:
    """A run of alice's in her team, with something on each of its pages: bob may view it, charlie may not see it."""
    project = tracking.create_project("vision", by=cast.alice, team=cast.team)
    tags = {"family": "sesame", "mlflow.source.name": "train.py", "mlflow.note.content": "A note.\nMore."}
    made = tracking.create_run(project, by=cast.alice, name="first", tags=tags)
    batch = {"params": {"lr": "sesame-param"}, "metrics": [{"key": "sesame-loss", "value": 0.5, "step": 3}]}
    tracking.log_batch(made, batch, by=cast.alice)
    tracking.save_artifact(made, "out/sesame.txt", [b"words"], by=cast.alice, content_type="text/plain")
    dataset = tracking.DatasetInput("digits", "d1", "local", "{}", tags={"mlflow.data.context": "training"})
    tracking.log_datasets(made, [dataset], by=cast.alice)
    tracking.create_logged_model(project, by=cast.alice, name="net", run=made)
    return made


def page(cast: Cast, by: str, path: str, status: int = 200) -> str:
    answer = browser_of(cast.people[by]).get(path)
    assert answer.status_code == status
    return answer.content.decode()


@pytest.mark.parametrize("tab", TABS)
def test_it_is_shown_to_who_may_view_it_only(cast: Cast, run: Run, tab: str) -> None:
    for name in ("alice", "bob", "dana", "mia", "aud"):
        expected = 404 if name == "dana" else 200
        page(cast, name, f"/runs/{run.pk}/{tab}", expected)
    hidden = page(cast, "charlie", f"/runs/{run.pk}/{tab}", 404)
    assert "first" not in hidden
    assert "sesame" not in hidden


def test_the_overview_tells_all_that_was_logged(cast: Cast, run: Run) -> None:
    shown = page(cast, "bob", f"/runs/{run.pk}/")
    for word in (
        "sesame-param",
        "sesame-loss",
        "family=sesame",
        "train.py",
        "A note.<br>More.",
        "digits",
        "training",
        "net",
    ):
        assert word in shown, word
    assert "mlflow.source.name" not in shown
    assert "sesame.txt" in page(cast, "bob", f"/runs/{run.pk}/artifacts/?path=out")
    assert "words" in page(cast, "bob", f"/runs/{run.pk}/artifacts/?path=out&file=out/sesame.txt")
    assert 'data-key="sesame-loss"' in page(cast, "bob", f"/runs/{run.pk}/metrics/")


def test_a_jobs_run_leads_to_its_experiment(cast: Cast) -> None:
    fake_cluster()
    job = submit(cast.alice, name="job")
    for tab in TABS:
        answer = browser_of(cast.alice).get(f"/runs/{job.pk}/{tab}?file=a%20b")
        assert answer["Location"] == f"/experiments/{job.pk}/{tab}?file=a+b"
    assert browser_of(cast.charlie).get(f"/runs/{job.pk}/").status_code == 404


def test_an_id_is_read_as_mlflow_writes_it(cast: Cast, run: Run) -> None:
    assert browser_of(cast.bob).get(f"/runs/{run.pk.hex}/metrics/").status_code == 200
    assert browser_of(cast.charlie).get(f"/runs/{run.pk.hex}/").status_code == 404
    assert browser_of(cast.bob).get(f"/runs/{run.pk.hex.upper()}/").status_code == 404


def test_the_family_is_told_as_far_as_it_may_be_seen(cast: Cast, run: Run) -> None:
    own = tracking.create_project("own", by=cast.bob)
    for person, project, name in ((cast.alice, run.project, "child-seen"), (cast.bob, own, "child-of-bob")):
        tracking.create_run(project, by=person, name=name, tags={"mlflow.parentRunId": run.pk.hex})
    child = Run.objects.get(name="child-seen")
    assert "child-of-bob" not in page(cast, "alice", f"/runs/{run.pk}/")
    assert "child-seen" in page(cast, "alice", f"/runs/{run.pk}/")
    assert "Part of first" in page(cast, "alice", f"/runs/{child.pk}/")
    secret = tracking.create_run(own, by=cast.bob, name="secret-parent")
    tracking.log_batch(child, {"tags": {"mlflow.parentRunId": secret.pk.hex}}, by=cast.alice)
    shown = page(cast, "alice", f"/runs/{child.pk}/")
    assert "secret-parent" not in shown
    assert "Part of" not in shown


@pytest.mark.parametrize("value", ["", "x", "\x01", "0" * 32, "own"])
def test_a_parent_that_is_none_breaks_nothing(cast: Cast, run: Run, value: str) -> None:
    said_parent = run.pk.hex if value == "own" else value
    tracking.log_batch(run, {"tags": {"mlflow.parentRunId": said_parent}}, by=cast.alice)
    assert "Part of" not in page(cast, "alice", f"/runs/{run.pk}/")


def test_it_is_renamed_ended_deleted_and_restored(cast: Cast, run: Run) -> None:
    alice, base = browser_of(cast.alice), f"/runs/{run.pk}/"
    for act, data, words in (
        ("rename", {"name": "better"}, "It is called better now."),
        ("rename", {"name": "x" * 201}, "Ensure this value has at most 200 characters"),
        ("rename", {"name": " \x00"}, "A run has a name."),
        ("finish", {"status": "running"}, "One of finished, failed, killed."),
        ("finish", {"status": "killed"}, "has ended."),
        ("delete", {}, "is deleted."),
    ):
        answer = alice.post(f"{base}{act}/", data)
        assert (answer.status_code, answer["Location"]) == (302, base)
        assert words in " ".join(said(answer))
    run.refresh_from_db()
    assert (run.name, run.status) == ("better", "killed")
    assert "It was deleted" in page(cast, "alice", base)
    assert browser_of(cast.bob).get(base).status_code == 200  # who may view it sees that it was deleted
    assert "Restore it" not in page(cast, "bob", base)
    assert alice.get(f"{base}metrics/")["Location"] == base
    alice.post(f"{base}restore/")
    run.refresh_from_db()
    assert run.archived_at is None


@pytest.mark.parametrize("act", ["rename", "finish", "delete", "restore"])
def test_who_may_not_is_told_why_and_nothing_happens(cast: Cast, run: Run, act: str) -> None:
    before = Run.objects.values().get(pk=run.pk)
    data = {"name": "stolen", "status": "failed"}
    refused = browser_of(cast.bob).post(f"/runs/{run.pk}/{act}/", data)
    assert refused.status_code == 403
    assert "You are viewer" in refused.content.decode()
    assert browser_of(cast.charlie).post(f"/runs/{run.pk}/{act}/", data).status_code == 404
    assert Run.objects.values().get(pk=run.pk) == before


@pytest.mark.parametrize("act", ["finish", "delete", "restore"])
def test_a_jobs_run_is_left_to_its_experiment(cast: Cast, act: str) -> None:
    fake_cluster()
    job = submit(cast.alice, name="job")
    answer = browser_of(cast.alice).post(f"/runs/{job.pk}/{act}/", {"status": "failed"})
    assert answer.status_code == 302
    assert "experiment" in " ".join(said(answer))
    assert Run.objects.get(pk=job.pk).archived_at is None


def test_the_status_alone_is_asked_for_until_it_ends(cast: Cast, run: Run) -> None:
    assert "hx-get" in page(cast, "bob", f"/runs/{run.pk}/status/")
    tracking.finish_run(run, "failed", by=cast.alice)
    part = page(cast, "bob", f"/runs/{run.pk}/status/")
    assert "hx-get" not in part
    assert "state-failed" in part


@pytest.mark.parametrize("tab", TABS)
def test_the_cost_does_not_grow_with_what_was_logged(cast: Cast, run: Run, tab: str) -> None:
    client = browser_of(cast.alice)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/runs/{run.pk}/{tab}").status_code == 200
        return len(queries)

    cost()
    before = cost()
    for number in range(5):
        batch = {
            "params": {f"p{number}": "1"},
            "tags": {f"t{number}": "1"},
            "metrics": [{"key": f"m{number}", "value": 1}],
        }
        tracking.log_batch(run, batch, by=cast.alice)
        tracking.save_artifact(run, f"f{number}.txt", [b"x"], by=cast.alice)
        tracking.create_logged_model(run.project, by=cast.alice, name=f"n{number}", run=run)
        tracking.create_run(run.project, by=cast.alice, name="c", tags={"mlflow.parentRunId": str(run.pk)})
    assert cost() == before <= 30


@pytest.mark.parametrize("tail", ["metrics/?x=%00", "artifacts/?path=%00&after=%00", "artifacts/?file=%00", "artifacts/?file=../x",
                                  "artifacts/?path=../..", "history/?page=-1", "history/?page=x"])  # fmt: skip
def test_no_address_breaks_it(cast: Cast, run: Run, tail: str) -> None:
    assert browser_of(cast.alice).get(f"/runs/{run.pk}/{tail}").status_code in (200, 400, 404)
    assert browser_of(cast.alice).get(f"/runs/{uuid4()}/{tail}").status_code == 404


def test_what_a_model_was_made_from_leads_to_the_run(cast: Cast, run: Run) -> None:
    from apps.models import services as models

    model = models.create_model("net", by=cast.alice, team=cast.team)
    models.register_run(model, run, "out", by=cast.alice)
    assert f'href="/runs/{run.pk}/"' in page(cast, "bob", f"/models/{model.pk}/versions/1/")
    shown = page(cast, "bob", f"/runs/{run.pk}/")
    assert f"/models/{model.pk}/versions/1/" in shown
    assert json.dumps(str(UUID(str(run.pk))))
