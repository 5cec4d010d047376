"""Who starts first, and who waits for what."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.compute import services
from apps.compute.backends.fake.world import FakeWorld
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.reconcile import admit, turn
from apps.core.errors import Invalid, NeverFits, NotAllowed, NotFound
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast


def limit(key: str, resource: str, amount: int | None) -> None:
    quotas.set_limit(QuotaNode.objects.get(key=key), resource, amount, by=SYSTEM)


def node(cast: Cast, name: str, *, in_team: bool = False) -> str:
    return quota_node(cast.people[name], cast.team if in_team else None).key


def states(*experiments: Experiment) -> list[str]:
    return [fresh(experiment).state for experiment in experiments]


@pytest.fixture
def forever(stage: Stage) -> Stage:
    stage.plan(duration=None)
    return stage


def test_priority_first_then_time(cast: Cast, forever: Stage) -> None:
    limit(node(cast, "alice"), "experiments", 2)
    order = [forever.submit(cast.alice, priority=priority) for priority in (0, 0, 5, -5)]
    forever.turn()
    assert states(*order) == ["starting", "queued", "starting", "queued"]


def test_what_does_not_fit_waits_with_the_numbers(cast: Cast, forever: Stage) -> None:
    limit(node(cast, "alice"), "cpu", 3000)
    first, second = (forever.submit(cast.alice, resources={"cpu": 2}) for _ in range(2))
    forever.turn()
    assert states(first, second) == ["starting", "queued"]
    assert fresh(second).message == "waiting: user alice uses 2 of 3 CPUs, and this needs 2"
    assert fresh(second).reason == "QuotaFull"
    assert_books_balance(live=1)


def test_who_waits_behind_is_told_so(cast: Cast, forever: Stage) -> None:
    limit(node(cast, "alice"), "experiments", 1)
    waiting = [forever.submit(cast.alice) for _ in range(4)][1:]
    forever.turn(times=2)
    said = [fresh(experiment).message for experiment in waiting]
    assert said[0] == "waiting: user alice uses 1 of 1 running experiments, and this needs 1"
    behind = (
        "waiting behind earlier work: user alice may use 1 running experiments, and what comes first does not fit yet"
    )
    assert said[1:] == [behind, behind]
    assert {fresh(experiment).reason for experiment in waiting} == {"QuotaFull"}


def test_small_work_does_not_starve_large_work(cast: Cast, forever: Stage, settings: Any) -> None:
    limit(node(cast, "alice"), "cpu", 4000)
    running, large = (forever.submit(cast.alice, resources={"cpu": cpu}) for cpu in (3, 4))
    forever.turn()
    small = forever.submit(cast.alice, resources={"cpu": 1})
    Workload.objects.filter(pk=large.workload_id).update(queued_at=F("queued_at") - 2 * settings.QUEUE_PATIENCE)
    forever.turn()
    assert states(running, large, small) == ["running", "queued", "queued"]
    services.request_stop(fresh(running), by=SYSTEM)
    forever.turn(times=4)
    assert states(running, large, small) == ["stopped", "running", "queued"]


def test_what_needs_another_resource_goes_on(cast: Cast, forever: Stage) -> None:
    limit(node(cast, "alice"), "gpu", 1000)
    one, two, plain = (forever.submit(cast.alice, resources={"gpu": gpu}) for gpu in (1, 1, 0))
    forever.turn()
    assert states(one, two, plain) == ["starting", "queued", "starting"]


def test_other_branches_go_on(cast: Cast, forever: Stage) -> None:
    limit(node(cast, "alice"), "experiments", 1)
    a1, a2, c1 = forever.submit(cast.alice), forever.submit(cast.alice), forever.submit(cast.charlie)
    forever.turn()
    assert states(a1, a2, c1) == ["starting", "queued", "starting"]


def test_a_full_team_blocks_its_members_only(cast: Cast, forever: Stage) -> None:
    node(cast, "alice", in_team=True)
    limit(f"team:{cast.team.pk}", "experiments", 1)
    a1, m1 = (forever.submit(cast.people[name], team="vision") for name in ("alice", "mia"))
    own, olaf = forever.submit(cast.alice), forever.submit(cast.olaf, team="speech")
    forever.turn()
    assert states(a1, m1, own, olaf) == ["starting", "queued", "starting", "starting"]
    assert fresh(m1).message == "waiting: team Vision uses 1 of 1 running experiments, and this needs 1"


def test_a_full_cluster_blocks_itself_only(cast: Cast, forever: Stage) -> None:
    FakeWorld.named(f"{forever.name}-2")
    settings = {"world": f"{forever.name}-2", "live": False}
    other = services.save_cluster(Cluster(name="fake2", kind="fake", settings=settings), by=SYSTEM)
    quotas.set_capacity(services.cluster_node(forever.cluster), {"cpu": 1000})
    a, b = forever.submit(cast.alice), forever.submit(cast.charlie)
    c = forever.submit(cast.mia, cluster={"name": other.name})
    forever.turn()
    assert states(a, b, c) == ["starting", "queued", "starting"]
    assert fresh(b).message == "waiting: cluster fake has too little free of its 1 CPUs, and this needs 1"
    FakeWorld._named.pop(f"{forever.name}-2")


def test_what_is_freed_goes_to_the_next(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=10)
    limit(node(cast, "alice"), "experiments", 1)
    first, second = stage.submit(cast.alice), stage.submit(cast.alice)
    stage.turn(times=2)
    stage.pass_time(11)
    stage.turn(times=3)
    assert states(first, second) == ["succeeded", "running"]
    assert fresh(second).message == ""


def test_a_drained_cluster_takes_nothing_and_says_so(cast: Cast, forever: Stage) -> None:
    before = forever.submit(cast.alice)
    forever.turn(times=2)
    services.drain_cluster(forever.cluster, by=cast.sre, reason="maintenance")
    after = [forever.submit(cast.alice) for _ in range(2)]
    forever.turn(times=2)
    assert states(before, *after) == ["running", "queued", "queued"]
    assert {fresh(experiment).message for experiment in after} == {"waiting: the cluster fake takes no new work"}
    assert {fresh(experiment).reason for experiment in after} == {"Drained"}
    services.drain_cluster(forever.cluster, by=cast.sre, reason="done", drained=False)
    forever.turn(times=2)
    assert states(*after) == ["running", "running"]
    audit = AuditEvent.objects.filter(object_label="fake", actor=cast.sre)
    assert list(audit.order_by("pk").values_list("action", "reason")) == [("drain", "maintenance"), ("undrain", "done")]


@pytest.mark.parametrize("name", ["alice", "mia", "charlie"])
def test_only_an_operator_drains(cast: Cast, stage: Stage, name: str) -> None:
    with pytest.raises(NotAllowed):
        services.drain_cluster(stage.cluster, by=cast.people[name], reason="x")
    assert not Cluster.objects.get().is_drained


def test_what_never_fits_is_refused_and_leaves_nothing(cast: Cast, stage: Stage) -> None:
    quotas.set_capacity(services.cluster_node(stage.cluster), {"gpu": 4000})
    with pytest.raises(NeverFits, match="cluster fake may use at most 4 GPUs; this needs 5"):
        stage.submit(cast.sre, resources={"gpu": 5})
    assert not Workload.objects.exists()
    assert not Experiment.objects.exists()


def test_more_than_a_page_is_admitted(cast: Cast, forever: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "_PAGE", 3)
    limit(node(cast, "alice"), "experiments", None)
    made = [forever.submit(cast.alice) for _ in range(7)]
    forever.turn()
    assert states(*made).count("starting") == 3
    forever.turn(times=2)
    assert states(*made).count("queued") == 0


def test_another_worker_was_faster(cast: Cast, forever: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, next_one = forever.submit(cast.alice), forever.submit(cast.charlie)
    lock = admit._lock_waiting

    def late(batch: Any) -> Any:
        """Find the first one locked, as it is while another worker admits it."""
        return {pk: row for pk, row in lock(batch).items() if pk != experiment.workload_id}

    monkeypatch.setattr(admit, "_lock_waiting", late)
    forever.turn()
    assert states(experiment, next_one) == ["queued", "starting"]
    assert Attempt.objects.count() == 1
    assert_books_balance(live=1)


def test_a_requeued_workload_waits_its_turn(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1)
    limit(node(cast, "alice"), "experiments", 1)
    first, second = stage.submit(cast.alice, retries=1), stage.submit(cast.alice)
    stage.turn(times=2)
    assert states(first, second) == ["queued", "queued"]
    stage.plan(duration=None)
    stage.turn()
    assert states(first, second) == ["queued", "starting"]
    assert fresh(first).queued_at > fresh(second).queued_at


@pytest.mark.parametrize("wish", [{"name": "nowhere"}, {"kind": "yarn"}, {"labels": {"zone": "b"}}])
def test_a_cluster_that_is_not_there_is_refused(cast: Cast, stage: Stage, wish: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"No cluster matches\. There are: fake\."):
        stage.submit(cast.alice, cluster=wish)
    assert not Workload.objects.exists()


def test_labels_choose_the_cluster(cast: Cast, stage: Stage) -> None:
    Cluster.objects.update(labels={"zone": "a", "gpu": "yes"})
    assert fresh(stage.submit(cast.alice, cluster={"labels": {"zone": "a"}})).cluster == stage.cluster


def test_a_disabled_cluster_is_not_chosen(cast: Cast, stage: Stage) -> None:
    Cluster.objects.update(is_enabled=False)
    with pytest.raises(Invalid, match="There are: none"):
        stage.submit(cast.alice)


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"kind": "nonsense", "settings": {}}, Invalid),
        ({"kind": "fake", "settings": {"nonsense": 1}}, Invalid),
        ({"kind": "fake", "settings": {"cpu_milli": "many"}}, Invalid),
        ({"kind": "fake", "settings": {"cpu_milli": True}}, Invalid),
        ({"kind": "fake", "settings": {}, "labels": []}, Invalid),
    ],
)
def test_a_cluster_with_bad_settings_is_not_saved(cast: Cast, facts: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        services.save_cluster(Cluster(name="new", **facts), by=cast.sre)
    assert not Cluster.objects.exists()


def test_only_an_operator_registers_a_cluster(cast: Cast) -> None:
    with pytest.raises((NotFound, NotAllowed)):
        services.save_cluster(Cluster(name="new", kind="fake"), by=cast.mia)
    assert not Cluster.objects.exists()


def test_the_local_cluster_is_registered_once(db: None) -> None:
    first = services.ensure_local_cluster()
    assert services.ensure_local_cluster() == first
    assert (first.kind, first.isolates_tenants, first.is_open) == ("local", False, True)


def test_starts_go_on_beside_the_admissions(cast: Cast, forever: Stage) -> None:
    """With a pool, each start is handed over; here it runs at once, in this thread."""
    handed: list[str] = []

    class Here:
        def submit(self, work: Any, workload: Workload, attempt: Attempt) -> Any:
            handed.append(attempt.handle)
            turn._start(workload, attempt)
            return self

        def result(self) -> None:
            handed.append("waited for")

    made = [forever.submit(cast.alice) for _ in range(2)]
    turn.run_turn("owner", pool=Here())  # type: ignore[arg-type]
    assert [entry == "waited for" for entry in handed] == [False, False, True, True]
    assert states(*made) == ["starting", "starting"]
    assert sum(forever.world.starts.values()) == 2


def test_long_waiting_is_not_stuck(cast: Cast, forever: Stage) -> None:
    forever.submit(cast.alice)
    Workload.objects.update(state_changed_at=F("created_at") - timedelta(days=1))
    assert not Workload.objects.stuck(timedelta(minutes=15)).exists()
    forever.turn()
    Workload.objects.update(state_changed_at=F("created_at") - timedelta(days=1))
    assert Workload.objects.stuck(timedelta(minutes=15)).count() == 1
