"""An experiment and its environment: it waits, starts, fails, is run again, over a cluster in memory."""

from typing import Any

import pytest

from apps.compute.backends.fake.world import FakePlan, FakeWorld
from apps.compute.contract import WorkloadSpec
from apps.core.errors import Invalid
from apps.environments import services
from apps.environments.models import EnvironmentBuild
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.lineage import services as lineage
from apps.lineage.models import LineageEdge
from tests.environments.conftest import build_of, make, work
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast, share


def watched(stage: Stage, **plan: Any) -> list[WorkloadSpec]:
    """Return what the cluster is given from now on, in its order."""
    given: list[WorkloadSpec] = []

    def look(_name: str, spec: WorkloadSpec) -> FakePlan:
        given.append(spec)
        return FakePlan(**plan)

    stage.world.plan = look
    return given


def test_it_waits_without_holding_anything_and_starts_when_it_is_built(cast: Cast, stage: Stage) -> None:
    version, given = make(cast.alice), watched(stage)
    experiment = stage.submit(cast.alice, environment="tools")
    stage.turn(times=3)
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("queued", "EnvironmentBuilding")
    assert workload.message == "waiting: its environment tools@1 is being built"
    assert_books_balance(live=0)
    work()
    assert (fresh(experiment).reason, fresh(experiment).message) == ("", "")
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    assert [spec.environment for spec in given] == [build_of(version).key]
    assert build_of(version).used_at is not None


def test_what_stands_is_not_waited_for(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    work()
    experiment = stage.submit(cast.alice, environment="tools@1")
    assert fresh(experiment).next_reconcile_at is not None
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    assert len(stage.world.builds) == 1


def test_it_fails_when_its_environment_does_and_says_the_line(cast: Cast, stage: Stage) -> None:
    make(cast.alice, packages="six\nbroken\n")
    experiment = stage.submit(cast.alice, environment="tools", retries=3)
    work()
    workload = fresh(experiment)
    assert (workload.state, workload.reason, workload.retries_left) == ("failed", "EnvironmentFailed", 3)
    assert workload.message == "its environment tools@1 could not be built: line 2 (broken): it is broken"
    assert experiment.run.__class__.objects.get(pk=experiment.pk).status == "failed"
    assert stage.world.starts == {}
    assert_books_balance(live=0)


def test_it_can_be_stopped_while_it_waits(cast: Cast, stage: Stage) -> None:
    make(cast.alice)
    experiment = stage.submit(cast.alice, environment="tools")
    experiments.stop_experiment(experiment, by=cast.alice)
    stage.turn()
    work()
    assert fresh(experiment).state == "stopped"
    assert stage.world.starts == {}


def test_the_newest_is_meant_at_submission_and_the_record_keeps_it(cast: Cast, stage: Stage) -> None:
    first = make(cast.alice)
    experiment = stage.submit(cast.alice, environment="tools")
    services.create_version(first.environment, services.read_contents(packages="tomli\n"), by=cast.alice)
    assert (experiment.environment, experiment.spec["environment"]) == (first, "tools@1")
    clone = experiments.clone_experiment(experiment, by=cast.alice)
    assert clone.environment == first
    later = stage.submit(cast.alice, environment="tools@latest")
    assert later.spec["environment"] == "tools@2"


def test_a_run_again_has_the_same_lock(cast: Cast, stage: Stage) -> None:
    version, given = make(cast.alice), watched(stage, exit_code=1)
    experiment = stage.submit(cast.alice, environment="tools")
    work()
    stage.finish()
    assert fresh(experiment).state == "failed"
    key = build_of(version).key
    services.remove_build(build_of(version), by=cast.alice)
    services.archive_environment(version.environment, by=cast.alice)
    work()
    assert stage.world.environments == set()
    experiments.retry_experiment(experiment, by=cast.alice)
    assert fresh(experiment).message == "waiting: its environment tools@1 is being built"
    work()
    stage.finish()
    assert fresh(experiment).attempt_no == 2
    assert [spec.environment for spec in given] == [key, key]
    assert stage.world.locks == 1


def test_what_vanished_from_the_cluster_is_built_again(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    work()
    stage.world.environments.clear()
    experiment = stage.submit(cast.alice, environment="tools")
    stage.turn()
    assert (fresh(experiment).state, "built again" in fresh(experiment).message) == ("starting", True)
    stage.turn()
    work()
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    assert stage.world.builds == [build_of(version).key] * 2


def test_its_variables_come_below_the_jobs_own(cast: Cast, stage: Stage) -> None:
    make(cast.alice, variables={"A": "environment", "B": "environment"})
    given = watched(stage)
    stage.submit(cast.alice, environment="tools", env={"B": "job"})
    work()
    stage.finish()
    env = given[0].env
    assert (env["A"], env["B"]) == ("environment", "job")


@pytest.mark.parametrize("name", ["hidden", "hidden@1", "nothing", "tools@7", "{id}"])
def test_what_one_may_not_see_is_unknown(cast: Cast, stage: Stage, name: str) -> None:
    hidden = make(cast.charlie, name="hidden", variables={"KEY": "sesame-74b1"})
    make(cast.alice)
    with pytest.raises(Invalid) as caught:
        stage.submit(cast.alice, environment=name.format(id=hidden.environment_id))
    assert list(caught.value.errors) == ["environment"]
    assert "sesame" not in str(caught.value.errors)
    assert not Experiment.objects.exists()
    assert not EnvironmentBuild.objects.exists()


def test_a_clone_of_what_ran_in_an_environment_one_may_not_see(cast: Cast, stage: Stage) -> None:
    make(cast.alice, variables={"KEY": "sesame-74b1"})
    experiment = stage.submit(cast.alice, environment="tools")
    share(experiment, cast.dana)
    with pytest.raises(Invalid, match="may not see the environment"):
        experiments.clone_experiment(experiment, by=cast.again("dana"))
    clone = experiments.clone_experiment(experiment, by=cast.again("dana"), without=["environment"])
    assert (clone.environment, "sesame" in str(clone.workload.template)) == (None, False)


@pytest.mark.parametrize("name", ["a b", "", "@1", "tools@0", "tools@-1", "x" * 200, 3, ["tools"]])
def test_what_is_no_reference(cast: Cast, stage: Stage, name: object) -> None:
    with pytest.raises(Invalid) as caught:
        stage.submit(cast.alice, environment=name)
    assert list(caught.value.errors) == ["environment"]


def test_lineage_says_what_a_run_ran_in(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    experiment = stage.submit(cast.alice, environment="tools")
    edge = LineageEdge.objects.get(target_id=experiment.pk)
    assert (edge.source_kind, edge.source_id, edge.relation) == ("environmentversion", version.pk, "environment")
    graph = lineage.walk(lineage.find("run", experiment.pk, by=cast.alice), by=cast.alice)
    assert "tools@1" in {node.label for node in graph.nodes.values()}
    share(experiment, cast.dana)
    dana = cast.again("dana")
    graph = lineage.walk(lineage.find("run", experiment.pk, by=dana), by=dana)
    assert "tools@1" not in {node.label for node in graph.nodes.values()}


def test_a_quota_message_does_not_cover_why_it_waits(cast: Cast, stage: Stage) -> None:
    make(cast.alice)
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, environment="tools")
    for _ in range(25):  # more than one may have at once
        stage.submit(cast.alice)
    stage.turn(times=2)
    assert fresh(experiment).reason == "EnvironmentBuilding"
    assert FakeWorld.named(stage.name) is stage.world
