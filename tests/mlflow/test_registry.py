"""Registered models on MLflow's wire: who may do what, what a source may be, and that a search shows nobody else's rows."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access import grants
from apps.access.decision import Role
from apps.core.errors import Invalid
from apps.mlflow.filters.registry import filter_models, filter_versions, order_models, order_versions
from apps.models import services
from apps.models.models import Alias, ModelVersion, Move, RegisteredModel
from tests.mlflow.conftest import Wire, cast, refused
from tests.models.conftest import _own_store, keep, model, run, version
from tests.people import Cast

__all__ = ["_own_store", "cast", "model", "run", "version"]

CALLS: list[tuple[str, str, dict[str, Any], Role]] = [
    ("GET", "registered-models/get", {"name": "digits"}, Role.VIEWER),
    ("POST", "registered-models/get-latest-versions", {"name": "digits"}, Role.VIEWER),
    ("GET", "registered-models/alias", {"name": "digits", "alias": "beta"}, Role.VIEWER),
    ("GET", "model-versions/get", {"name": "digits", "version": "1"}, Role.VIEWER),
    ("GET", "model-versions/get-download-uri", {"name": "digits", "version": "1"}, Role.VIEWER),
    ("PATCH", "registered-models/update", {"name": "digits", "description": "x"}, Role.EDITOR),
    ("POST", "registered-models/rename", {"name": "digits", "new_name": "numbers"}, Role.EDITOR),
    ("POST", "registered-models/set-tag", {"name": "digits", "key": "a", "value": "b"}, Role.EDITOR),
    ("DELETE", "registered-models/delete-tag", {"name": "digits", "key": "a"}, Role.EDITOR),
    ("POST", "registered-models/alias", {"name": "digits", "alias": "gamma", "version": "1"}, Role.EDITOR),
    ("DELETE", "registered-models/alias", {"name": "digits", "alias": "beta"}, Role.EDITOR),
    ("DELETE", "registered-models/alias", {"name": "digits", "alias": "never-was"}, Role.EDITOR),
    ("PATCH", "model-versions/update", {"name": "digits", "version": "1", "description": "x"}, Role.EDITOR),
    ("POST", "model-versions/set-tag", {"name": "digits", "version": "1", "key": "a", "value": "b"}, Role.EDITOR),
    ("DELETE", "model-versions/delete-tag", {"name": "digits", "version": "1", "key": "a"}, Role.EDITOR),
    ("POST", "model-versions/transition-stage", {"name": "digits", "version": "1", "stage": "Staging"}, Role.EDITOR),
    ("DELETE", "model-versions/delete", {"name": "digits", "version": "1"}, Role.MANAGER),
    ("DELETE", "registered-models/delete", {"name": "digits"}, Role.MANAGER),
]
PEOPLE = {
    "alice": Role.MANAGER,
    "mia": Role.MANAGER,
    "bob": Role.VIEWER,
    "dana": Role.EDITOR,
    "charlie": Role.NONE,
    "aud": Role.VIEWER,
}


def ask(wire: Wire, method: str, path: str, fields: dict[str, Any]) -> Any:
    if method == "GET":
        return wire.get(path, **fields)
    return wire.post(path, fields, method=method.lower())


@pytest.mark.parametrize(("method", "path", "fields", "least"), CALLS, ids=lambda value: str(value)[:60])
def test_who_may(
    cast: Cast,
    model: RegisteredModel,
    version: ModelVersion,
    method: str,
    path: str,
    fields: dict[str, Any],
    least: Role,
) -> None:
    services.set_alias(model, "beta", version, by=cast.alice)
    grants.grant(cast.dana, model, Role.EDITOR)
    for name in sorted(PEOPLE, key=lambda one: PEOPLE[one]):  # who may do least comes first, and changes nothing
        held, answer = PEOPLE[name], ask(Wire(cast.people[name]), method, path, fields)
        if held is Role.NONE:
            refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")
        elif held < least:
            refused(answer, 403, "PERMISSION_DENIED")
        else:
            assert answer.status_code == 200, (name, answer.content)
            return


def test_a_source_is_something_of_fathoms(cast: Cast, model: RegisteredModel, version: ModelVersion, run: Any) -> None:
    alice, made = Wire(cast.alice), []
    run.project.refresh_from_db()
    for source in (
        f"runs:/{run.pk.hex}/model",
        f"runs:/{run.pk.hex}",
        f"mlflow-artifacts:/{run.project.number}/{run.pk.hex}/artifacts/model",
        "models:/digits/1",
    ):
        answer = alice.made("model-versions/create", name="digits", source=source)["model_version"]
        assert answer["source"] == source
        made.append(ModelVersion.objects.get(model=model, number=int(answer["version"])).files.count())
    assert made == [3, 4, 3, 3]
    for source in (
        "file:///etc/passwd",
        "s3://bucket/x",
        "/etc/passwd",
        "../..",
        "http://127.0.0.1/",
        "models:/",
        "runs:/x",
        "",
    ):
        refused(alice.post("model-versions/create", name="digits", source=source), 400, "INVALID_PARAMETER_VALUE")
    assert model.versions.count() == 5


def test_nobody_takes_what_he_may_not_see(cast: Cast, model: RegisteredModel, version: ModelVersion, run: Any) -> None:
    charlie = Wire(cast.charlie)
    charlie.made("registered-models/create", name="mine")
    for source in (f"runs:/{run.pk.hex}/model", "models:/digits/1", f"models:/m-{run.pk.hex}"):
        refused(charlie.post("model-versions/create", name="mine", source=source), 404, "RESOURCE_DOES_NOT_EXIST")
    assert ModelVersion.objects.count() == 1


def test_a_name_means_ones_own_first(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    bob = Wire(cast.bob)
    assert bob.read("registered-models/get", name="digits")["registered_model"]["latest_versions"][0]["version"] == "1"
    bob.made("registered-models/create", name="digits", description="bob's own")
    assert bob.read("registered-models/get", name="digits")["registered_model"]["description"] == "bob's own"
    assert (
        Wire(cast.alice)
        .read("registered-models/get", name="digits")["registered_model"]["description"]
        .startswith("# What")
    )


def test_a_team_is_a_tag(cast: Cast) -> None:
    made = [{"key": "fathom.team", "value": "vision"}, {"key": "a", "value": "b"}]
    Wire(cast.alice).made("registered-models/create", name="shared", tags=made)
    assert RegisteredModel.objects.get(name="shared").team == cast.team
    refused(Wire(cast.charlie).post("registered-models/create", name="x", tags=made), 400, "INVALID_PARAMETER_VALUE")
    refused(Wire(cast.bob).post("registered-models/create", name="x", tags=made), 403, "PERMISSION_DENIED")


def test_a_protected_alias_and_stage(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "champion", by=cast.mia, approvals=2)
    services.protect(model, "stage", "Production", by=cast.mia)
    alice = Wire(cast.alice)
    said = refused(
        alice.post("registered-models/alias", name="digits", alias="champion", version="1"), 403, "PERMISSION_DENIED"
    )
    assert "It needs the approvals of 2 others" in said
    said = refused(
        alice.post("model-versions/transition-stage", name="digits", version="1", stage="production"),
        403,
        "PERMISSION_DENIED",
    )
    assert "The stage Production is protected." in said
    assert not Alias.objects.exists()
    assert not Move.objects.exists()


def test_searches_hold_exactly_what_may_be_seen(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    own = services.create_model("digits", by=cast.charlie, tags={"a": "b"})
    kept = services.store_files([("x", iter([b"x"]))])
    services.register_files(own, kept, by=cast.charlie)
    for text in ("", "name = 'digits'", "name LIKE '%'", "name != 'x'", "tags.a IS NULL", "tags.a != 'zzz'"):
        for person, wanted in ((cast.charlie, {own.pk}), (cast.bob, {model.pk})):
            rows = filter_models(RegisteredModel.objects.visible_to(person, "view"), text)
            assert {row.pk for row in rows} <= wanted, text
            found = Wire(person).read("registered-models/search", filter=text)["registered_models"]
            assert len(found) == len(rows)
    for text in ("", "name = 'digits'", "version_number >= 1", "name LIKE '%' AND version_number = 1"):
        found = Wire(cast.charlie).read("model-versions/search", filter=text)["model_versions"]
        assert [(one["name"], one["version"], one["run_id"]) for one in found] == [("digits", "1", "")], text


@pytest.mark.parametrize("path", ["registered-models/search", "model-versions/search"])
def test_pages(cast: Cast, path: str) -> None:
    alice = Wire(cast.alice)
    for number in range(5):
        made = services.create_model(f"m{number}", by=cast.alice)
        services.register_files(made, services.store_files([("x", iter([b"x"]))]), by=cast.alice)
    seen, token = [], ""
    for _ in range(4):
        answer = alice.read(path, max_results=2, **({"page_token": token} if token else {}))
        seen += [row["name"] for row in answer[path.partition("/")[0].replace("-", "_")]]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert sorted(seen) == [f"m{number}" for number in range(5)]
    refused(alice.get(path, page_token="nonsense!"), 400, "INVALID_PARAMETER_VALUE")
    refused(alice.get(path, max_results="0"), 400, "INVALID_PARAMETER_VALUE")


WORDS = st.sampled_from(
    ["name", "tags.a", "tags.`a b`", "run_id", "version_number", "source_path", "=", "!=", "<", "LIKE", "ILIKE", "IN", "NOT",
     "IS", "NULL", "AND", "OR", "(", ")", ",", "'x'", "'%'", "'_\\\\'", "1", "-3.5e9", "1e400", "'", '"', ";--", "DROP TABLE", "\x00"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(WORDS, max_size=9).map(" ".join), st.text(max_size=40)))
def test_no_filter_breaks_or_shows_others(cast: Cast, model: RegisteredModel, version: ModelVersion, text: str) -> None:
    for rows, keep_, order in (
        (RegisteredModel.objects.visible_to(cast.charlie, "view"), filter_models, order_models),
        (ModelVersion.objects.visible_to(cast.charlie, "view"), filter_versions, order_versions),
    ):
        try:
            found = list(order(keep_(rows, text), []))  # type: ignore[operator]
        except Invalid:
            continue
        assert found == []
    for order in (order_models, order_versions):
        rows = (RegisteredModel if order is order_models else ModelVersion).objects.visible_to(cast.alice, "view")
        try:
            list(order(rows, [text]))  # type: ignore[operator]
        except Invalid:
            continue


def test_bad_input_is_told(cast: Cast, model: RegisteredModel, version: ModelVersion, run: Any) -> None:
    alice = Wire(cast.alice)
    keep(run, cast.alice, "x", b"x")
    for method, path, fields in (
        ("POST", "registered-models/create", {}),
        ("POST", "registered-models/create", {"name": 7}),
        ("POST", "registered-models/create", {"name": "a/b"}),
        ("POST", "registered-models/create", {"name": "x" * 300}),
        ("POST", "registered-models/create", {"name": "x", "tags": "a"}),
        ("POST", "registered-models/set-tag", {"name": "digits", "value": "x"}),
        ("POST", "registered-models/alias", {"name": "digits", "alias": "a b", "version": "1"}),
        ("POST", "registered-models/alias", {"name": "digits", "alias": "ok"}),
        ("POST", "model-versions/create", {"name": "digits"}),
        ("GET", "model-versions/get", {"name": "digits", "version": "99999999999999999999"}),
        ("GET", "model-versions/get", {"name": "digits", "version": "one"}),
        ("POST", "model-versions/transition-stage", {"name": "digits", "version": "1", "stage": "x"}),
        ("GET", "registered-models/search", {"filter": "name ="}),
        ("GET", "model-versions/search", {"order_by": "size"}),
    ):
        refused(ask(alice, method, path, fields), 400, "INVALID_PARAMETER_VALUE")
    assert (
        json.loads(alice.post("registered-models/create", name="again").content)["registered_model"]["name"] == "again"
    )
    refused(alice.post("registered-models/create", name="again"), 400, "RESOURCE_ALREADY_EXISTS")
