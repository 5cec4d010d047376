"""Every entry point names an action that the policy declares; a typo must not become an open or a dead door."""

import re
from collections.abc import Iterable

from django.contrib.admin import site

from apps.access import policy
from apps.access.api import GuardedViewSet
from apps.access.views import GuardedView
from tests.architecture.routes import Route, routes, sockets
from tests.architecture.test_templates import TEMPLATES

_DECISION = re.compile(r"\{%\s*decision\s+\S+\s+[\"'](\w+)[\"']")


def every_action() -> set[str]:
    return {action for declared in policy.registered() for action in declared.actions}


def undeclared(found: Iterable[Route]) -> list[str]:
    return [f"{route} ({route.target.__name__}.{route.action})" for route in found if not _is_declared(route)]


def _is_declared(route: Route) -> bool:
    target = route.target
    if route.door == "api":
        if getattr(target, "public_reason", ""):
            return True
        action = getattr(target, "policy_actions", {}).get(route.action)
        if issubclass(target, GuardedViewSet):
            return action in policy.policy_for(target.model).actions
        return action == "" or action in policy.all_scopes()
    action = getattr(target, "policy_action", None)
    return action in every_action() or (action == "" and route.door == "page")


def test_every_api_operation_names_an_action() -> None:
    named = [route for route in routes() if route.door == "api" and hasattr(route.target, "policy_actions")]
    assert named
    assert undeclared(named) == []


def test_no_view_declares_an_action_that_it_does_not_have() -> None:
    for target in {route.target for route in routes() if hasattr(route.target, "policy_actions")}:
        for action in target.policy_actions:
            assert hasattr(target, action), f"{target.__name__} has no {action}"


def test_every_page_names_an_action() -> None:
    pages = [
        r for r in routes() if r.door == "page" and isinstance(r.target, type) and issubclass(r.target, GuardedView)
    ]
    assert pages
    assert undeclared(pages) == []


def test_every_consumer_names_an_action() -> None:
    assert sockets()
    assert undeclared(sockets()) == []


def test_every_admin_names_actions_of_its_model() -> None:
    for model, page in site._registry.items():
        if type(page).get_queryset.__qualname__.startswith("RecordAdmin"):
            continue  # records of the platform about itself have no policy
        declared = policy.policy_for(model).actions
        assert page.policy_view in declared, model
        assert page.policy_change in declared or not page.can_change, model


def test_templates_ask_for_declared_actions() -> None:
    asked = {action for path in TEMPLATES for action in _DECISION.findall(path.read_text())}
    assert asked <= every_action()


def test_an_undeclared_action_is_seen() -> None:
    class Page(GuardedView):
        policy_action = "conjure"

    assert undeclared([Route("page", "GET", "/x/", "", Page)]) == ["GET /x/ (Page.)"]
