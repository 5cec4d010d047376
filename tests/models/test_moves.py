"""Aliases and stages: the history of every move, and what a protected one needs."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.models import services
from apps.models.models import Alias, Decision, ModelVersion, Move, MoveRequest, RegisteredModel
from apps.teams import services as teams
from tests.models.conftest import moves, upload
from tests.people import Cast

RULE = {"metric": "accuracy", "operator": ">=", "value": 0.9}


@pytest.fixture
def second(cast: Cast, model: RegisteredModel, version: ModelVersion) -> ModelVersion:
    return upload(model, cast.alice, metrics={"accuracy": 0.95})


def champion(model: RegisteredModel) -> int | None:
    alias = Alias.objects.filter(model=model, name="champion").select_related("version").first()
    return alias and alias.version.number


def test_every_move_is_kept(cast: Cast, model: RegisteredModel, version: ModelVersion, second: ModelVersion) -> None:
    services.set_alias(model, "champion", version, by=cast.alice, reason="the first")
    services.set_alias(model, "champion", version, by=cast.alice)  # no move
    services.set_alias(model, "champion", second, by=cast.mia)
    services.move_stage(second, "Production", by=cast.alice)
    services.drop_alias(model, "champion", by=cast.alice, reason="none is good")
    assert moves(model) == [
        ("alias", "champion", "", "1"),
        ("alias", "champion", "1", "2"),
        ("stage", "", "None", "Production"),
        ("alias", "champion", "2", ""),
    ]
    told = Move.objects.order_by("id").values_list("by__username", "reason")
    assert list(told) == [("alice", "the first"), ("mia", ""), ("alice", ""), ("alice", "none is good")]
    assert AuditEvent.objects.filter(action="move", object_id=str(model.pk)).count() == 4


def test_the_history_refuses_to_be_changed(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.set_alias(model, "champion", version, by=cast.alice)
    for statement in ("UPDATE registry_move SET by_id = NULL", "DELETE FROM registry_move"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert moves(model) == [("alias", "champion", "", "1")]


def test_what_was_champion_on_a_date(
    cast: Cast, model: RegisteredModel, version: ModelVersion, second: ModelVersion
) -> None:
    for days, before, after, of in ((3, "", "1", version), (2, "1", "2", second), (1, "2", "", second)):
        at = timezone.now() - timedelta(days=days)
        Move.objects.create(model=model, version=of, target="alias", name="champion", before=before, after=after, at=at)

    def was(days: float) -> int | None:
        move = services.pointed_to(model, "champion", timezone.now() - timedelta(days=days))
        return move and move.version.number

    assert [was(3.5), was(2.5), was(1.5), was(0.5)] == [None, 1, 2, None]
    assert services.pointed_to(model, "other", timezone.now()) is None


def test_stages_give_way(cast: Cast, model: RegisteredModel, version: ModelVersion, second: ModelVersion) -> None:
    services.move_stage(version, "Production", by=cast.alice)
    services.move_stage(second, "Production", by=cast.alice, archive_others=True)
    assert list(model.versions.order_by("number").values_list("stage", flat=True)) == ["Archived", "Production"]
    assert moves(model)[-2:] == [("stage", "", "None", "Production"), ("stage", "", "Production", "Archived")]
    with pytest.raises(Invalid):
        services.move_stage(second, "production", by=cast.alice)


@pytest.mark.parametrize("name", ["", "a b", "latest", "v3", "V12", "é/", "x" * 300, "a\x00"])
def test_what_is_no_alias(cast: Cast, model: RegisteredModel, version: ModelVersion, name: str) -> None:
    with pytest.raises(Invalid):
        services.set_alias(model, name, version, by=cast.alice)
    assert not Alias.objects.exists()


def test_a_version_of_another_model_is_none(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    other = services.create_model("other", by=cast.alice)
    with pytest.raises(NotFound):
        services.set_alias(other, "champion", version, by=cast.alice)
    assert not Move.objects.exists()


@pytest.mark.parametrize(("name", "error"), [("bob", NotAllowed), ("olaf", NotFound)])
def test_who_may_not_move(
    cast: Cast, model: RegisteredModel, version: ModelVersion, name: str, error: type[Exception]
) -> None:
    person = cast.people[name]
    for move in (
        lambda: services.set_alias(model, "champion", version, by=person),
        lambda: services.move_stage(version, "Production", by=person),
        lambda: services.request_move(model, "alias", "champion", version, by=person, reason="x"),
        lambda: services.protect(model, "alias", "champion", by=person),
    ):
        with pytest.raises(error):
            move()
    assert not Move.objects.exists()


def test_a_protected_alias_says_what_is_missing(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "champion", by=cast.mia, approvals=2, thresholds=[{**RULE, "value": 0.99}])
    with pytest.raises(NotAllowed) as refusal:
        services.set_alias(model, "champion", version, by=cast.alice)
    assert refusal.value.detail == (
        "The alias champion is protected. accuracy must be at least 0.99; it is 0.93. It needs the approvals of 2 others:"
        " ask for them with a request on the model's page, or by the API."
    )
    assert champion(model) is None
    services.set_alias(model, "challenger", version, by=cast.alice)  # another is free
    assert moves(model) == [("alias", "challenger", "", "1")]


def test_two_others_approve(team_of_three: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    cast = team_of_three
    services.protect(model, "alias", "champion", by=cast.mia, approvals=2, thresholds=[RULE])
    asked = services.request_move(model, "alias", "champion", version, by=cast.dana, reason="it is better")
    with pytest.raises(NotAllowed, match="asked for it yourself"):
        services.decide_move(asked, by=cast.dana, approve=True)
    with pytest.raises(NotAllowed, match="You made version 1"):
        services.decide_move(asked, by=cast.alice, approve=True)
    with pytest.raises(NotAllowed):
        services.decide_move(asked, by=cast.bob, approve=True)
    services.decide_move(asked, by=cast.charlie, approve=True)
    with pytest.raises(Conflict, match="approved it already"):
        services.decide_move(asked, by=cast.charlie, approve=True)
    assert champion(model) is None
    done = services.decide_move(asked, by=cast.mia, approve=True, reason="I looked")
    assert (done.state, champion(model)) == ("done", 1)
    move = Move.objects.get()
    assert (move.by, move.reason, move.request) == (cast.dana, "it is better", asked)
    assert set(Decision.objects.values_list("by__username", "is_approval")) == {("charlie", True), ("mia", True)}
    with pytest.raises(Conflict):
        services.decide_move(asked, by=cast.sre, approve=True)


def test_an_approval_of_who_left_counts_no_more(
    team_of_three: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    cast = team_of_three
    services.protect(model, "alias", "champion", by=cast.mia, approvals=2)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="please")
    services.decide_move(asked, by=cast.charlie, approve=True)
    teams.remove_member(cast.team, cast.charlie, by=SYSTEM)
    services.decide_move(asked, by=cast.mia, approve=True)
    assert champion(model) is None
    services.decide_move(asked, by=cast.dana, approve=True)
    assert champion(model) == 1


def test_an_approval_of_who_is_disabled_counts_no_more(
    team_of_three: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    cast = team_of_three
    services.protect(model, "alias", "champion", by=cast.mia, approvals=2)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="please")
    services.decide_move(asked, by=cast.charlie, approve=True)
    accounts.disable_user(cast.charlie, by=cast.sre, reason="gone")
    services.decide_move(asked, by=cast.mia, approve=True)
    assert champion(model) is None


def test_a_refusal_ends_it_and_says_why(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "champion", by=cast.mia)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="please")
    with pytest.raises(Conflict, match="asked for already"):
        services.request_move(model, "alias", "champion", version, by=cast.sre, reason="please")
    with pytest.raises(Invalid):
        services.decide_move(asked, by=cast.mia, approve=False)
    refused = services.decide_move(asked, by=cast.mia, approve=False, reason="not yet")
    assert (refused.state, champion(model)) == ("refused", None)
    with pytest.raises(Conflict):
        services.decide_move(asked, by=cast.sre, approve=True)
    services.request_move(model, "alias", "champion", version, by=cast.alice, reason="now?")


def test_what_was_asked_for_is_taken_back(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "champion", by=cast.mia)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="please")
    with pytest.raises(NotAllowed):
        services.withdraw_request(asked, by=cast.mia)
    services.withdraw_request(asked, by=cast.alice)
    services.withdraw_request(asked, by=cast.alice)
    with pytest.raises(Conflict):
        services.decide_move(MoveRequest.objects.get(), by=cast.mia, approve=True)
    assert champion(model) is None


def test_thresholds_forbid_a_request_for_good(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    for metric, operator, value, said in (
        ("accuracy", ">=", 0.94, "accuracy must be at least 0.94; it is 0.93."),
        ("accuracy", "<", 0.93, "accuracy must be below 0.93; it is 0.93."),
        ("loss", "<=", 5.0, "loss must be at most 5; it is nan."),
        ("f1", ">", 0.0, "f1 must be above 0; the version has no such metric."),
    ):
        rule = {"metric": metric, "operator": operator, "value": value}
        services.protect(model, "alias", "champion", by=cast.mia, approvals=1, thresholds=[rule])
        with pytest.raises(NotAllowed, match="is protected") as refusal:
            services.request_move(model, "alias", "champion", version, by=cast.alice, reason="x")
        assert refusal.value.extra == {"missing": [said]}
    assert not MoveRequest.objects.exists()


def test_without_approvals_only_the_maker_is_kept_from_it(
    cast: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    services.protect(model, "alias", "champion", by=cast.mia, approvals=0, thresholds=[RULE])
    with pytest.raises(NotAllowed, match="its maker may not move it"):
        services.set_alias(model, "champion", version, by=cast.alice)
    services.set_alias(model, "champion", version, by=cast.mia)
    assert champion(model) == 1


def test_a_rule_for_all_and_one_for_one(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "", by=cast.mia, approvals=2)
    services.protect(model, "alias", "beta", by=cast.mia, approvals=0, separate_duties=False)
    services.set_alias(model, "beta", version, by=cast.alice)
    with pytest.raises(NotAllowed):
        services.set_alias(model, "anything", version, by=cast.alice)
    assert moves(model) == [("alias", "beta", "", "1")]


def test_taking_a_protected_alias_away_needs_the_same(
    cast: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    services.set_alias(model, "champion", version, by=cast.alice)
    services.protect(model, "alias", "champion", by=cast.mia, thresholds=[{**RULE, "value": 5.0}])
    with pytest.raises(NotAllowed, match="approval of somebody else"):
        services.drop_alias(model, "champion", by=cast.alice)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="bad", removes=True)
    services.decide_move(asked, by=cast.mia, approve=True)
    assert (champion(model), moves(model)[-1]) == (None, ("alias", "champion", "1", ""))


def test_a_protected_stage_is_neither_entered_nor_left(
    cast: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    services.protect(model, "stage", "Production", by=cast.mia)
    with pytest.raises(NotAllowed):
        services.move_stage(version, "Production", by=cast.alice)
    asked = services.request_move(model, "stage", "Production", version, by=cast.alice, reason="good")
    services.decide_move(asked, by=cast.mia, approve=True)
    version.refresh_from_db()
    assert version.stage == "Production"
    with pytest.raises(NotAllowed):
        services.move_stage(version, "Archived", by=cast.alice)
    services.move_stage(upload(model, cast.alice), "Staging", by=cast.alice)


def test_a_rule_that_got_harder_meanwhile_holds(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    services.protect(model, "alias", "champion", by=cast.mia)
    asked = services.request_move(model, "alias", "champion", version, by=cast.alice, reason="good")
    services.protect(model, "alias", "champion", by=cast.mia, thresholds=[{**RULE, "value": 0.99}])
    with pytest.raises(Conflict, match=r"at least 0\.99"):
        services.decide_move(asked, by=cast.mia, approve=True)
    assert champion(model) is None


def test_a_lifted_rule_frees(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    rule = services.protect(model, "alias", "champion", by=cast.mia)
    with pytest.raises(NotAllowed):
        services.unprotect(rule, by=cast.bob)
    services.unprotect(rule, by=cast.mia, reason="nobody is left to approve")
    services.set_alias(model, "champion", version, by=cast.alice)
    assert champion(model) == 1
    with pytest.raises(Conflict, match="needs no approval"):
        services.request_move(model, "alias", "champion", version, by=cast.alice, reason="x")


@pytest.mark.parametrize(
    "rule",
    [
        {"approvals": -1},
        {"approvals": 11},
        {"thresholds": [{"metric": "", "operator": ">", "value": 1}]},
        {"thresholds": [{"metric": "a", "operator": "~", "value": 1}]},
        {"thresholds": [{"metric": "a", "operator": ">", "value": float("nan")}]},
        {"thresholds": [{"metric": "a", "operator": ">", "value": True}]},
        {"target": "folder"},
        {"name": "v1"},
        {"target": "stage", "name": "production"},
    ],
)
def test_what_is_no_rule(cast: Cast, model: RegisteredModel, rule: dict[str, object]) -> None:
    given = {"target": "alias", "name": "champion", **rule}
    with pytest.raises(Invalid):
        services.protect(model, by=cast.mia, **given)  # type: ignore[arg-type]  # wrong on purpose
    assert not model.protections.exists()
