"""Lists and single objects are judged alike: every person, token, row and action there is."""

from typing import Any

import pytest
from django.db.models import Case, Model, Value, When

from apps.access import policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.experiments.models import Experiment
from apps.tracking.models import Project, Run
from tests.access.judged import judged_models, people, token_holders
from tests.people import Cast

pytestmark = pytest.mark.django_db  # so that the test database is made even for this file alone


def test_every_guarded_model_has_objects(everything: Cast) -> None:
    empty = {model.__name__ for model in judged_models() if not model._default_manager.exists()}
    assert empty == {"LogChunk"}


def disagreements(principal: Any, model: type[Model], step: int = 1) -> list[str]:
    """Return each row and action on which list and single judgement differ for `principal`; of every `step`-th row."""
    manager: Any = model._default_manager
    rows = list(manager.order_by("pk")[::step])
    wrong = []
    least = policy.policy_for(model).actions
    # Without a token only the least role of an action matters: one action of each will do.
    has_token = getattr(principal, "token", None) is not None
    for action in least if has_token else {role: name for name, role in least.items()}.values():
        listed = set(policy.visible(manager.all(), principal, action)) & set(rows)
        allowed = {row for row in rows if policy.decide(principal, action, row).allowed}
        wrong += [f"{principal} {action} {row!r}" for row in listed ^ allowed]
    return wrong


@pytest.mark.parametrize("model", judged_models(), ids=lambda model: model.__name__)
def test_a_list_holds_exactly_what_is_allowed(everything: Cast, model: type[Model]) -> None:
    for name, principal in people(everything):
        assert disagreements(principal, model) == [], name
    for name, principal in token_holders(everything):
        assert disagreements(principal, model, step=6) == [], name


def test_roles_by_columns_equal_roles_by_condition(everything: Cast) -> None:
    for model in (Project, Run, Experiment):
        judged = policy.policy_for(model)
        for name, person in people(everything):
            if person.is_superuser or person is SYSTEM or getattr(person, "is_auditor", False):
                continue
            rows: list[Any] = list(model.objects.annotate(held=ladder(judged, person)))
            assert {row.pk: row.held for row in rows} == {
                row.pk: policy.role_of(person, row, judged) for row in rows
            }, name


def ladder(judged: policy.Policy, person: Any) -> Case:
    """Compute the role by the condition in SQL."""
    steps = [
        When(policy._condition(judged, person, role), then=Value(role.value))
        for role in (Role.MANAGER, Role.EDITOR, Role.VIEWER)
    ]
    return Case(*steps, default=Value(0))
