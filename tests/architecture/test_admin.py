"""The admin reads; services write; nothing is deleted."""

import ast
import inspect
import textwrap
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from apps.access.admin import GuardedAdmin
from apps.accounts.models import User
from tests.architecture.source import modules
from tests.people import as_admin

PAGES = sorted(site._registry.values(), key=lambda page: page.opts.label)


def _request(user: Any) -> HttpRequest:
    request = HttpRequest()
    request.user = user
    return request


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.opts.label)
def test_admin_is_guarded_and_deletes_nothing(page: Any) -> None:
    operator = _request(as_admin(User(username="o", is_active=True, platform_role="admin")))
    assert isinstance(page, GuardedAdmin)
    assert not page.has_delete_permission(operator)
    assert "delete_selected" not in page.get_actions(operator)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.opts.label)
def test_admin_is_closed_to_everybody_else(page: Any) -> None:
    people: list[Any] = [
        AnonymousUser(),
        User(username="u"),
        User(username="resting", platform_role="admin"),
        as_admin(User(username="gone", is_active=False, platform_role="admin")),
    ]
    for person in people:
        request = _request(person)
        assert not page.has_module_permission(request)
        assert not page.has_view_permission(request)
        assert not page.has_add_permission(request)
        assert not page.has_change_permission(request)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.opts.label)
def test_what_can_be_saved_is_saved_by_a_service(page: Any) -> None:
    saved_here = type(page).save_model is not GuardedAdmin.save_model
    assert saved_here == bool(page.can_add or page.can_change)
    if saved_here:
        source = ast.parse(textwrap.dedent(inspect.getsource(type(page).save_model)))
        called = {ast.unparse(node.func) for node in ast.walk(source) if isinstance(node, ast.Call)}
        assert "super().save_model" not in called
        assert "obj.save" not in called


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.opts.label)
def test_inlines_only_show(page: Any) -> None:
    for inline in page.inlines:
        assert not inline.can_delete
        assert inline.max_num == 0


def test_admin_modules_write_nothing_themselves() -> None:
    """No save, create, update or delete on rows in admin modules: that is what services are for."""
    writes = {"save", "create", "update", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
    found = [
        f"{module.path}:{node.lineno} {ast.unparse(node.func)}"
        for module in modules("apps")
        if module.part == "admin"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in writes
        if "objects" in ast.unparse(node.func) or ast.unparse(node.func.value) in {"obj", "queryset"}
    ]
    assert found == []
