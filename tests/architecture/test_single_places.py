"""Things that exist in one place only."""

import ast
import contextlib
from collections.abc import Iterable
from io import StringIO
from pathlib import PurePath

import pytest
from django.conf import settings
from django.core.management import call_command

from tests.architecture.source import ROOT, Module, imports, modules, parsed

NAMELESS = {"utils", "helpers", "misc", "common", "manager", "managers"}


def lockers(found: Iterable[Module]) -> set[str]:
    return {
        module.path
        for module in found
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "select_for_update"
    }


def importers(found: Iterable[Module], package: str) -> set[str]:
    return {
        module.path
        for module in found
        for _, name in imports(module)
        if name == package or name.startswith(f"{package}.")
    }


def words(module: Module) -> list[tuple[int, str]]:
    """List every string constant that is not a docstring."""
    docs = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_rows_are_locked_in_one_module() -> None:
    assert lockers(modules("apps", "config")) == {"apps/core/locks.py"}
    assert lockers([parsed("x.py", "rows.select_for_update()")]) == {"x.py"}


def test_only_access_knows_guardian() -> None:
    outside = {path for path in importers(modules("apps", "config"), "guardian") if not path.startswith("apps/access/")}
    assert outside == set()
    assert importers([parsed("x.py", "from guardian.shortcuts import assign_perm")], "guardian") == {"x.py"}


def test_a_backend_is_named_in_its_package_and_in_one_table() -> None:
    """Code asks a backend what it can do, never what it is called."""
    named = {
        f"{module.path}:{line}"
        for module in modules("apps", "config")
        for line, word in words(module)
        if word in settings.COMPUTE_BACKENDS and not module.path.startswith(f"apps/compute/backends/{word}/")
    }
    allowed = {
        "config/settings/base.py",  # the table
        "apps/compute/services.py",  # the cluster of this machine
        "apps/accounts/choices.py",  # an account that no directory vouches for
    }
    assert {place.split(":")[0] for place in named} <= allowed


@pytest.mark.parametrize("kind", sorted(settings.COMPUTE_BACKENDS))
def test_backend_packages_are_imported_by_themselves_only(kind: str) -> None:
    package = f"apps.compute.backends.{kind}"
    folder = package.replace(".", "/")
    assert {path for path in importers(modules("apps", "config"), package) if not path.startswith(folder)} == set()


def test_no_file_is_named_after_nothing() -> None:
    found = {
        module.path for module in modules("apps", "config", "sdk", "tools") if PurePath(module.path).stem in NAMELESS
    }
    assert found == set()


def test_apps_do_not_read_the_environment() -> None:
    """Settings come through config.env and are read as settings.X."""
    readers = {
        module.path
        for module in modules("apps")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    outside = {path for path in readers if not path.startswith("apps/compute/backends/")}  # they know no Django
    assert outside == {"apps/core/failpoints.py"}  # armed from outside, before anything else runs


def test_a_request_holds_no_transaction() -> None:
    """Services open transactions."""
    assert not settings.DATABASES["default"].get("ATOMIC_REQUESTS", False)


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    out = StringIO()
    with contextlib.suppress(SystemExit):  # its way to say no; what is missing stands in the output
        call_command("makemigrations", check=True, dry_run=True, stdout=out)
    assert out.getvalue() == "No changes detected\n"


def test_the_sdk_imports_nothing_of_the_platform() -> None:
    assert (ROOT / "sdk").is_dir()
    for package in ("apps", "config", "django"):
        assert importers(modules("sdk/src"), package) == set()
