"""The admin, page by page as its registry lists them: operators in, everybody else to the login."""

import re
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.access.admin import Reasoned
from apps.quotas.models import QuotaNode
from tests.architecture.routes import routes
from tests.matrix import asking
from tests.matrix.judged import OUTSIDE, PEOPLE, TOKENS
from tests.matrix.world import World, example_of

pytestmark = pytest.mark.django_db
EVERYBODY = (*OUTSIDE, *PEOPLE, *TOKENS)
MODELS = sorted(site._registry, key=lambda model: model._meta.label)
# Pages of the site itself: what an operator gets.
SITE = {"index": 200, "jsi18n": 200, "autocomplete": 403, "logout": 405, "sharing_why": 200, "budgets_statement": 200}
# Served for a model: what an operator gets. `add` and the rest of `change` depend on the model's admin.
MODEL_PAGES = {"changelist", "add", "history", "delete", "change", ""}


def _statuses(world: World, url: str, method: str = "get", data: Any = None) -> dict[str, int]:
    found = {}
    for name in EVERYBODY:
        client = asking.as_browser(world, name)
        found[name] = getattr(client, method)(url, data or {}).status_code
    return found


def _for_operators(code: int) -> dict[str, int]:
    """The operator, and the auditor, who reads; where a page changes something its caller says so of him."""
    return {name: code if name in {"sre", "aud"} else 302 for name in EVERYBODY}


def _url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_the_registry_accounts_for_every_admin_route() -> None:
    named = {
        f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
        for model in MODELS
        for page in ("changelist", "add", "history", "delete", "change")
    }
    served = {route.name for route in routes() if route.door == "admin"}
    named |= {"admin:audit_auditevent_export"}
    known = named | {f"admin:{page}" for page in (*SITE, "login", "app_list", "view_on_site", "")}
    assert named <= served
    assert {
        name
        for name in served - known
        if not re.fullmatch(r"admin:\w+_(check|password_change|offboard|import|queue|whatif|statement)", name)
    } == set()


def test_there_are_pages() -> None:
    assert len(MODELS) > 10


@pytest.mark.parametrize("page", sorted(SITE))
def test_site_page(page: str, world: World) -> None:
    assert _statuses(world, reverse(f"admin:{page}")) == _for_operators(SITE[page])


def test_app_index(world: World) -> None:
    label = MODELS[0]._meta.app_label
    assert _statuses(world, reverse("admin:app_list", args=[label])) == _for_operators(200)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list(model: Any, world: World) -> None:
    assert _statuses(world, _url(model, "changelist")) == _for_operators(200)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_export_of_the_trail(form: str, world: World) -> None:
    assert _statuses(world, reverse("admin:audit_auditevent_export", args=[form])) == _for_operators(200)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_add(model: Any, world: World) -> None:
    page = site._registry[model]
    assert _statuses(world, _url(model, "add")) == _for_operators(403) | {
        "sre": 200 if getattr(page, "can_add", False) else 403
    }


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize(("page", "code"), [("change", 200), ("history", 200), ("delete", 403)])
def test_object(model: Any, page: str, code: int, world: World) -> None:
    example = example_of(world, model)
    assert example is not None, "the world needs one, or the page would not be tried"
    assert _statuses(world, _url(model, page, example.pk)) == _for_operators(code)


@pytest.mark.parametrize(
    ("model", "name"),
    [(m, a.__name__) for m in MODELS for a in site._registry[m].actions or () if isinstance(a, Reasoned)],
    ids=str,
)
def test_action_asks_an_operator_for_a_reason(model: Any, name: str, world: World) -> None:
    """Chosen without a reason it changes nothing and asks; for everybody else there is no such action."""
    data = {"action": name, ACTION_CHECKBOX_NAME: [str(example_of(world, model).pk)], "index": 0}
    assert _statuses(world, _url(model, "changelist"), "post", data) == _for_operators(200)


def test_the_queue(world: World) -> None:
    assert _statuses(world, reverse("admin:compute_workload_queue")) == _for_operators(200)


@pytest.mark.parametrize("page", ["accounts_user_offboard", "teams_team_import", "compute_workload_whatif"])
def test_pages_of_our_own(page: str, world: World) -> None:
    objects = {"accounts_user_offboard": world.cast.alice, "compute_workload_whatif": example_of(world, QuotaNode)}
    args = [objects[page].pk] if page in objects else []
    assert _statuses(world, reverse(f"admin:{page}", args=args)) == _for_operators(403) | {"sre": 200}
