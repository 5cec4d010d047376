"""Lineage both ways; each node is judged, and what is hidden tells nothing of itself."""

from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.core.errors import Invalid, NotFound
from apps.lineage import services as lineage
from apps.lineage.choices import Relation, ThingKind
from apps.lineage.models import LineageEdge, LineageThing
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel
from apps.tracking import services as tracking
from apps.tracking.models import Run
from tests.people import Cast, browser_of, submit
from tests.tracking.conftest import client_of

SECRET = "sesame-74b1"


@pytest.fixture
def traced(cast: Cast, model: RegisteredModel, run: Run) -> ModelVersion:
    """dataset → version ← run ← code, with a secret in every name that could leak."""
    code = lineage.thing(ThingKind.CODE, f"code {SECRET}", "c0de")
    lineage.link(lineage.Node("run", run.pk), [(code, Relation.CODE)])
    details = services.Details(datasets=[{"name": "mnist", "digest": "9a"}], environment="numpy==2")
    return services.register_run(model, run, "model", by=cast.alice, details=details)


def walked(node: tuple[str, Any], by: Any, **how: Any) -> set[tuple[str, str, int]]:
    start = lineage.find(*node, by=by)
    graph = lineage.walk(start, by=by, **how)
    return {(shown.kind, shown.label, shown.depth) for shown in graph.nodes.values()}


def test_upward(cast: Cast, traced: ModelVersion) -> None:
    node = ("modelversion", traced.pk)
    near = {
        ("modelversion", "digits 1", 0), ("run", "first", -1), ("dataset", "mnist", -1), ("environment", "packages", -1),
    }  # fmt: skip
    assert walked(node, cast.alice, depth=1) == near
    assert walked(node, cast.alice, direction="up") == near | {("code", f"code {SECRET}", -2)}
    assert walked(node, cast.alice, direction="down") == {("modelversion", "digits 1", 0)}


def test_downward(cast: Cast, traced: ModelVersion) -> None:
    dataset = LineageThing.objects.get(kind="dataset")
    assert walked(("dataset", dataset.pk), cast.bob, direction="down") == {
        ("dataset", "mnist", 0),
        ("modelversion", "digits 1", 1),
    }
    code = LineageThing.objects.get(kind="code")
    assert {label for _, label, _ in walked(("code", code.pk), cast.bob)} == {f"code {SECRET}", "first", "digits 1"}


def test_a_hidden_source_is_told_without_its_name(cast: Cast, traced: ModelVersion, run: Run) -> None:
    grants.grant(cast.charlie, traced.model, Role.VIEWER)  # the model, not the run
    start = lineage.find("modelversion", traced.pk, by=cast.charlie)
    graph = lineage.walk(start, by=cast.charlie, depth=10)
    hidden = [node for node in graph.nodes.values() if node.is_hidden]
    assert [(node.kind, node.id, node.label, node.depth) for node in hidden] == [
        ("", None, "Something you may not see", -1)
    ]
    told = repr(graph)
    assert SECRET not in told  # the code behind the run
    assert str(run.pk) not in told
    assert run.name not in {node.label for node in graph.nodes.values()}


def test_what_others_made_of_it_is_left_out(cast: Cast, traced: ModelVersion) -> None:
    """charlie uses the same dataset, in secret: alice must not learn of it, nor he of her."""
    own = services.create_model(f"his {SECRET}", by=cast.charlie)
    kept = services.store_files([("a", iter([b"x"]))])
    his = services.register_files(
        own, kept, by=cast.charlie, details=services.Details(datasets=[{"name": "mnist", "digest": "9a"}])
    )
    dataset = LineageThing.objects.get(kind="dataset")
    assert LineageEdge.objects.filter(source_id=dataset.pk).count() == 2  # there is something to leak
    assert {label for _, label, _ in walked(("dataset", dataset.pk), cast.alice)} == {"mnist", "digits 1"}
    assert {label for _, label, _ in walked(("dataset", dataset.pk), cast.charlie)} == {"mnist", f"his {SECRET} 1"}
    graph = lineage.walk(lineage.find("dataset", dataset.pk, by=cast.alice), by=cast.alice, depth=10)
    assert str(his.pk) not in repr(graph)
    assert not graph.is_cut


@pytest.mark.parametrize("kind", ["run", "modelversion", "dataset", "code", "environment"])
def test_where_one_sees_nothing_no_walk_begins(cast: Cast, traced: ModelVersion, run: Run, kind: str) -> None:
    pk = {"run": run.pk, "modelversion": traced.pk}.get(kind) or LineageThing.objects.get(kind=kind).pk
    assert lineage.find(kind, pk, by=cast.bob).id == pk
    for person, wanted in ((cast.charlie, pk), (cast.alice, uuid4())):
        with pytest.raises(NotFound):
            lineage.find(kind, wanted, by=person)
    with pytest.raises(NotFound):
        lineage.find("nothing", pk, by=cast.alice)


def test_a_deleted_version_is_not_walked_to(cast: Cast, traced: ModelVersion, run: Run) -> None:
    services.archive_version(traced, by=cast.alice)
    assert walked(("run", run.pk), cast.alice) == {("run", "first", 0), ("code", f"code {SECRET}", -1)}
    with pytest.raises(NotFound):
        lineage.find("dataset", LineageThing.objects.get(kind="dataset").pk, by=cast.alice)


def test_depth_and_size_are_bounded(cast: Cast, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tracking.create_project("p", by=cast.alice)
    runs = [tracking.create_run(project, by=cast.alice, name=f"r{n}") for n in range(6)]
    for earlier, later in pairwise(runs):
        lineage.link(lineage.Node("run", later.pk), [(lineage.Node("run", earlier.pk), Relation.PRODUCED)])
    start = lineage.find("run", runs[0].pk, by=cast.alice)
    short = lineage.walk(start, by=cast.alice, depth=2)
    assert ([node.label for node in short.nodes.values()], short.is_cut) == (["r0", "r1", "r2"], True)
    assert not lineage.walk(start, by=cast.alice, depth=5).is_cut
    monkeypatch.setattr(lineage, "MOST_NODES", 3)
    assert len(lineage.walk(start, by=cast.alice, depth=10).nodes) == 3
    for depth in (0, 11):
        with pytest.raises(Invalid):
            lineage.walk(start, by=cast.alice, depth=depth)
    with pytest.raises(Invalid):
        lineage.walk(start, by=cast.alice, direction="sideways")


def test_a_walk_in_a_circle_ends(cast: Cast) -> None:
    project = tracking.create_project("p", by=cast.alice)
    one, other = (tracking.create_run(project, by=cast.alice, name=name) for name in "ab")
    for source, target in ((one, other), (other, one)):
        lineage.link(lineage.Node("run", target.pk), [(lineage.Node("run", source.pk), Relation.PRODUCED)])
    assert {label for _, label, _ in walked(("run", one.pk), cast.alice, depth=10)} == {"a", "b"}


def test_what_is_written_stays(cast: Cast, traced: ModelVersion) -> None:
    for table in ("lineage_lineageedge", "lineage_lineagething"):
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
            with (
                pytest.raises(IntegrityError, match="append-only"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(statement)


def test_the_same_is_written_once(cast: Cast, run: Run) -> None:
    for _ in range(3):
        code = lineage.thing(ThingKind.CODE, "upload", "aa")
        lineage.link(lineage.Node("run", run.pk), [(code, Relation.CODE)])
    assert (LineageThing.objects.count(), LineageEdge.objects.count()) == (1, 1)


def test_it_is_taken_back_with_what_it_tells_of(cast: Cast, model: RegisteredModel, run: Run) -> None:
    with transaction.atomic():
        services.register_run(model, run, "model", by=cast.alice)
        transaction.set_rollback(True)
    assert not LineageEdge.objects.exists()


def test_an_experiments_code_is_its_source(cast: Cast) -> None:
    from apps.experiments.models import CodeUpload
    from tests.people import fake_cluster

    fake_cluster()
    sha = "ab" * 32
    CodeUpload.objects.create(owner=cast.alice, sha256=sha, format="tar.gz", size_bytes=1)
    job = submit(cast.alice, code={"upload": f"sha256:{sha}"}, name="job")
    assert walked(("run", job.pk), cast.alice) == {("run", "job", 0), ("code", "upload", -1)}


def test_the_api_and_the_page(cast: Cast, traced: ModelVersion) -> None:
    answer = client_of(cast.alice).get(f"/api/v2/lineage/modelversion/{traced.pk}/?depth=2")
    assert answer.status_code == 200
    assert {(edge["relation"]) for edge in answer.json()["edges"]} == {"produced", "input", "environment", "code"}
    assert len(answer.json()["nodes"]) == 5
    page = browser_of(cast.alice).get(f"/lineage/modelversion/{traced.pk}/")
    assert page.status_code == 200
    assert SECRET in page.content.decode()
    for client in (client_of(cast.charlie), Client()):
        assert client.get(f"/api/v2/lineage/modelversion/{traced.pk}/").status_code in {401, 404}
    assert browser_of(cast.charlie).get(f"/lineage/modelversion/{traced.pk}/").status_code == 404
    for query in ("?depth=x", "?depth=99", "?direction=x"):
        assert client_of(cast.alice).get(f"/api/v2/lineage/modelversion/{traced.pk}/{query}").status_code == 400


def test_a_walk_asks_no_more_for_more_nodes(cast: Cast, django_assert_max_num_queries: Any) -> None:
    project = tracking.create_project("p", by=cast.alice)
    code = lineage.thing(ThingKind.CODE, "upload", "aa")
    for number in range(20):
        run = tracking.create_run(project, by=SYSTEM if number < 0 else cast.alice, name=f"r{number}")
        lineage.link(lineage.Node("run", run.pk), [(code, Relation.CODE)])
    person = cast.again("alice")
    start = lineage.find("code", code.id, by=person)
    with django_assert_max_num_queries(12):
        assert len(lineage.walk(start, by=person, depth=1).nodes) == 21
