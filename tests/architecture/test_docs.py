"""Documents say what is there: settings, actions, backends, commands, failpoints, and the names they mention."""

import importlib
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from apps.access import policy
from apps.core import failpoints
from tests.architecture.source import ROOT, modules
from tools import permissions_doc, settings_doc

DOCS = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
_PATH = re.compile(
    r"`((?:apps|config|tests|tools|sdk|templates|static|docs|examples|benchmarks)/[\w./-]*\w/?)(?::([\w.]+))?`"
)
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def all_text() -> str:
    return "\n".join(path.read_text() for path in DOCS)


def test_settings_are_written_down() -> None:
    assert settings_doc.TARGET.read_text() == settings_doc.document()


def test_actions_are_written_down() -> None:
    page = permissions_doc.TARGET.read_text()
    assert page == permissions_doc.document(page)
    for declared in policy.registered():
        assert all(f"`{action}`" in page for action in declared.actions)


@pytest.mark.parametrize("kind", sorted(settings.COMPUTE_BACKENDS))
def test_backend_is_written_down(kind: str) -> None:
    assert f"### {kind}\n" in settings_doc.TARGET.read_text()
    assert re.search(rf"\b{kind}\b", (ROOT / "docs/contributing/BACKENDS.md").read_text())


def test_management_commands_are_written_down() -> None:
    ours = {name for name, app in get_commands().items() if app.startswith("apps.")}
    assert {name for name in ours if f"manage.py {name}" not in all_text()} == set()


def test_failpoints_are_written_down_and_passed() -> None:
    page = (ROOT / "docs/operate/failpoints.md").read_text()
    assert set(re.findall(r"`([a-z]+(?:\.[a-z_]+)+)`", page)) == failpoints.NAMES
    code = "\n".join(
        (ROOT / module.path).read_text() for module in modules("apps") if module.path != "apps/core/failpoints.py"
    )
    assert {name for name in failpoints.NAMES if f'failpoints.hit("{name}")' not in code} == set()


@pytest.mark.parametrize("page", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_and_functions_exist(page: Path) -> None:
    """`path/to/file.py:name` in a document is a promise that the reader finds it there."""
    wrong = [":".join(named) for named in _PATH.findall(page.read_text()) if not exists(*named)]
    assert wrong == []


def exists(path: str, name: str) -> bool:
    """Tell whether the file is there and, for Python, has the name (a class's member with a dot)."""
    if not (ROOT / path).exists():
        return False
    if not name or not path.endswith(".py"):
        return True
    if path.startswith("tests/"):
        return f"def {name}(" in (ROOT / path).read_text()
    dotted = path.removeprefix("sdk/src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    target: object = importlib.import_module(dotted)
    for part in name.split("."):
        if not hasattr(target, part):
            return False
        target = getattr(target, part)
    return True


def test_a_name_that_is_gone_is_seen() -> None:
    assert exists("apps/core/locks.py", "lock_rows")
    assert exists("apps/compute/reconcile/loop.py", "Reconciler.start")
    assert not exists("apps/core/locks.py", "lock_all")
    assert not exists("apps/core/lock.py", "")
    assert _PATH.findall("`apps/core/locks.py:lock_rows` and `config/urls.py`") == [
        ("apps/core/locks.py", "lock_rows"),
        ("config/urls.py", ""),
    ]
