"""The worker's loop: leases, deaths, several at once."""

import threading
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.sources import services
from apps.sources.models import Fetch
from apps.storage.models import Blob
from tests.factories import Stage, fresh
from tests.people import Cast, make_cast
from tests.sources.conftest import TOKEN, fetch_of, https_credential, work
from tests.sources.servers import Web, repository


@pytest.fixture(scope="module", autouse=True)
def _plain(root: Any) -> None:
    repository(root, "plain", {"a.txt": "a"})


def _code(web: Web, **facts: Any) -> dict[str, Any]:
    return {"git": {"url": web.url("git/plain.git"), **facts}}


def test_what_a_dead_worker_left_is_taken_up(cast: Cast, stage: Stage, web: Web) -> None:
    experiment = stage.submit(cast.alice, code=_code(web))
    dead = {"state": "fetching", "lease_epoch": 7, "lease_until": "2001-01-01T00:00:00Z"}
    Fetch.objects.update(**dead)
    work()
    fetch = fetch_of(experiment)
    assert (fetch.state, fetch.lease_epoch, fetch.tries) == ("ready", 8, 0)


def test_what_is_cut_off_again_and_again_is_given_up(cast: Cast, stage: Stage, web: Web) -> None:
    experiment = stage.submit(cast.alice, code=_code(web))
    Fetch.objects.update(state="fetching", lease_until="2001-01-01T00:00:00Z", tries=4)
    work()
    assert (fetch_of(experiment).state, fetch_of(experiment).message) == ("failed", "it was cut off 5 times")
    assert fresh(experiment).state == "failed"


def test_what_another_worker_holds_is_his(cast: Cast, stage: Stage, web: Web) -> None:
    stage.submit(cast.alice, code=_code(web))
    Fetch.objects.update(state="fetching", lease_until="2999-01-01T00:00:00Z")
    services.fetch_due()
    assert web.asked == []


def test_who_lost_his_lease_writes_nothing(cast: Cast, stage: Stage, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.core import failpoints

    experiment = stage.submit(cast.alice, code=_code(web))
    monkeypatch.setattr(
        failpoints, "hit", lambda name: Fetch.objects.update(lease_epoch=99) if "source" in name else None
    )
    services.fetch_due()
    fetch = fetch_of(experiment)
    assert (fetch.state, fetch.sha256, fetch.lease_epoch) == ("fetching", "", 99)
    assert not AuditEvent.objects.filter(action="fetched").exists()
    assert Blob.objects.exists()  # nobody refers to it: it is collected one day


def test_one_person_does_not_keep_all_workers(cast: Cast, stage: Stage, web: Web) -> None:
    for _ in range(3):
        stage.submit(cast.alice, code=_code(web))
    busy = list(Fetch.objects.order_by("pk")[:2])
    Fetch.objects.filter(pk__in=[one.pk for one in busy]).update(state="fetching", lease_until="2999-01-01T00:00:00Z")
    mine = stage.submit(cast.charlie, code=_code(web))
    services.fetch_due()
    assert fetch_of(mine).state == "ready"
    assert Fetch.objects.filter(state="queued").count() == 1


@pytest.mark.usefixtures("committed")
def test_several_workers_fetch_each_once(web: Web) -> None:
    cast, stage = make_cast(), Stage()
    waiting = [
        stage.submit(person, code=_code(web)) for person in (cast.alice, cast.bob, cast.charlie) for _ in range(2)
    ]

    def loop() -> None:
        services.fetch_due()
        connections.close_all()

    threads = [threading.Thread(target=loop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    services.fetch_due()  # what waited because its owner had enough at work
    assert [fetch_of(one).state for one in waiting] == ["ready"] * 6
    assert Fetch.objects.filter(lease_epoch=1).count() == 6
    assert AuditEvent.objects.filter(action="fetched").count() == 6
    compute.settle_held()
    stage.finish(turns=40)
    assert {fresh(one).state for one in waiting} == {"succeeded"}


def test_it_is_in_the_trail_and_the_use_of_the_credential_too(cast: Cast, stage: Stage, web: Web) -> None:
    web.who = f"ada:{TOKEN}"
    credential = https_credential(cast.alice, web)
    experiment = stage.submit(cast.alice, code=_code(web, credential="my-git"))
    work()
    told = AuditEvent.objects.get(action="fetched")
    assert (told.data["subject"], told.data["commit"]) == (f"run:{experiment.pk}", fetch_of(experiment).commit)
    use = AuditEvent.objects.get(action="use", object_id=str(credential.pk))
    assert use.data["subject"] == f"run:{experiment.pk}"
    assert credential.uses.count() == 1


def test_work_that_waits_for_code_and_an_environment(cast: Cast, stage: Stage, web: Web) -> None:
    from apps.environments import services as environments

    contents = environments.read_contents(packages="six==1.16.0\n")
    environments.create_environment("tools", contents, by=cast.alice)
    experiment = stage.submit(cast.alice, code=_code(web), environment="tools")
    assert fresh(experiment).reason == "CodeFetching"
    work()
    assert fresh(experiment).reason == "EnvironmentBuilding"
    environments.build_due()
    compute.settle_held()
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    other = stage.submit(cast.alice, code=_code(web, ref="none"), environment="tools")
    work()
    assert (fresh(other).state, fresh(other).reason) == ("failed", "CodeFailed")


def test_it_can_be_stopped_while_it_waits(cast: Cast, stage: Stage, web: Web) -> None:
    from apps.experiments import services as experiments

    experiment = stage.submit(cast.alice, code=_code(web))
    experiments.stop_experiment(experiment, by=cast.alice)
    stage.turn()
    work()
    assert fresh(experiment).state == "stopped"
    assert stage.world.starts == {}


def test_an_operator_who_pushes_it_on_starts_nothing_without_its_code(cast: Cast, stage: Stage, web: Web) -> None:
    experiment = stage.submit(cast.alice, code=_code(web))
    compute.requeue_now(experiment.workload, by=cast.again("sre"), reason="hurry")
    stage.turn(times=2)
    assert (fresh(experiment).state, "is being fetched" in fresh(experiment).message) == ("starting", True)
    work()
    stage.finish()
    assert fresh(experiment).state == "succeeded"


def test_collecting_leaves_what_was_fetched(cast: Cast, stage: Stage, web: Web) -> None:
    experiment = stage.submit(cast.alice, code=_code(web))
    work()
    assert Blob.objects.markable().count() == 0
    Blob.objects.update(touched_at="2001-01-01T00:00:00Z")
    assert Blob.objects.markable().count() == 0
    Fetch.objects.filter(pk=fetch_of(experiment).pk).update(sha256="0" * 64, finished_at=Now())
    assert Blob.objects.markable().count() == 1
