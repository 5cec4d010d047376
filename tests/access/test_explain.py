"""What is told agrees with what is decided: every person, token, object and action there is."""

from typing import Any

import pytest

from apps.access import grants, policy
from apps.access.decision import Role
from apps.access.explain import explain
from apps.tracking.models import Run
from tests.access.judged import judged_models, people, token_holders
from tests.people import Cast

pytestmark = pytest.mark.django_db


def disagreements(principal: Any, rows: list[Any]) -> list[str]:
    wrong = []
    for row in rows:
        for action in policy.policy_for(type(row)).actions:
            told = explain(principal, row, action)
            decided = policy.decide(principal, action, row)
            best = max((path.role for path in told.paths), default=Role.NONE)
            held = best if getattr(principal, "is_system", False) else policy.role_of(principal, row)
            if (told.decision, told.role, best) != (decided, held, held) or bool(told.missing) == decided.allowed:
                wrong.append(f"{principal} {action} {row!r}: {told} but {decided}")
    return wrong


@pytest.mark.parametrize("model", judged_models(), ids=lambda model: model.__name__)
def test_the_best_path_is_the_role(everything: Cast, model: Any) -> None:
    rows = list(model._default_manager.order_by("pk")[::9])
    for name, principal in people(everything):
        assert disagreements(principal, rows) == [], name
    for name, principal in token_holders(everything):
        assert disagreements(principal, rows[::3]) == [], name


def test_the_test_sees_a_path_that_is_not_told(everything: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault."""
    monkeypatch.setattr(grants, "held_on", lambda _row, _principal: [])
    assert disagreements(everything.again("dana"), list(Run.objects.order_by("pk")[1::8])) != []
