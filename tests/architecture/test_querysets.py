"""Entry points reach rows through `visible_to` only, so that no door can show what the policy hides."""

import ast
from collections.abc import Iterable, Iterator

from tests.architecture.source import Module, modules, parsed

ENTRY_POINTS = {"views", "api", "forms", "consumers", "admin"}
HARMLESS = {"visible_to", "none", "names", "known"}  # the last two: what can be limited is no secret

# What may be read without it, and why. Key: file and model; a line here is a decision.
ALLOWED: dict[tuple[str, str], str] = {
    ("apps/experiments/api/views.py", "WorkloadEvent"): "children of an experiment that get_object has judged",
    ("apps/experiments/api/views.py", "Attempt"): "children of an experiment that get_object has judged",
    ("apps/experiments/api/views.py", "Experiment"): "the row that was just judged or made, loaded with its details",
    (
        "apps/experiments/api/queue.py",
        "Experiment",
    ): "those at the places that were counted among what the person may see",
    ("apps/experiments/api/queue.py", "Resource"): "what can be limited is no secret",
    ("apps/quotas/api/views.py", "Resource"): "what can be limited is no secret, and only admins change it",
    ("apps/quotas/api/views.py", "QuotaNode"): "the names on the way to a place that may be seen",
    ("apps/quotas/forms.py", "Resource"): "what can be limited is no secret",
    (
        "apps/quotas/admin/nodes.py",
        "QuotaLimit",
    ): "what the service has just written, for the operator who moves the node",
    ("apps/quotas/admin/requests.py", "QuotaLimit"): "what a request that was judged is about, and the limits above it",
    ("apps/access/admin/questions.py", "model"): "records of the platform about itself, for who may open the admin",
    ("apps/access/admin/reasons.py", "AuditEvent"): "what this very request did to the row it has just judged",
}


def reads(module: Module) -> Iterator[tuple[int, str, str]]:
    """Yield line, model and method of every `Model.objects.method` that no `self.find(…)` wraps: that one guards."""
    guarded = {id(node) for call in ast.walk(module.tree) if _is_find(call) for node in ast.walk(call)}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or id(node) in guarded:
            continue
        inner = node.value
        if isinstance(inner, ast.Attribute) and inner.attr in {"objects", "_default_manager", "_base_manager"}:
            yield node.lineno, ast.unparse(inner.value), node.attr


def _is_find(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "find"


def violations(found: Iterable[Module]) -> list[tuple[str, str, str]]:
    return [
        (f"{module.path}:{line}", model, method)
        for module in found
        if module.part in ENTRY_POINTS
        for line, model, method in reads(module)
        if method not in HARMLESS and (module.path, model) not in ALLOWED
    ]


def test_entry_points_ask_visible_to() -> None:
    assert violations(modules("apps")) == []


def test_no_exception_is_left_over() -> None:
    entered = [module for module in modules("apps") if module.part in ENTRY_POINTS]
    used = {(module.path, model) for module in entered for _, model, _ in reads(module)}
    assert set(ALLOWED) <= used


def test_the_rule_sees_an_unguarded_read() -> None:
    text = "Run.objects.filter(pk=1)\nself.find(Run.objects.all(), pk=1)\nRun.objects.visible_to(me, 'view')\n"
    assert violations([parsed("apps/tracking/views.py", text)]) == [("apps/tracking/views.py:1", "Run", "filter")]
