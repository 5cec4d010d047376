"""Every path of MLflow's wire, made from the table that the subjects fill."""

from importlib import import_module
from typing import Any

from django.urls import path

from apps.mlflow import artifacts
from apps.mlflow.routing import ROUTES, Route
from apps.mlflow.views import NoEndpointView, PlainView, WireView

SPOKEN = "3.17.2"  # the newest MLflow whose client is tested against us

SUBJECTS = (
    "server",
    "experiments",
    "runs",
    "logging",
    "search",
    "metrics",
    "inputs",
    "logged_models",
    "files",
    "registry",
    "model_versions",
)
"""The modules with translators; one more is one more word here."""

for _subject in SUBJECTS:
    import_module(f"apps.mlflow.{_subject}")


def _view(routes: list[Route]) -> Any:
    actions = {route.method.lower(): f"{route.method.lower()}_answer" for route in routes}
    declared = {
        "translators": {route.method: route.translator for route in routes},
        "policy_actions": {f"{route.method.lower()}_answer": route.judged for route in routes},
    }
    return type("WirePath", (WireView,), declared).as_view(actions)  # type: ignore[attr-defined]  # a view set


def _patterns() -> list[Any]:
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    in_order = sorted(by_path.items(), key=lambda entry: "<" in entry[0])  # a word before what could be any word
    return [path(where, _view(routes), name=routes[0].name) for where, routes in in_order]


_REFUSED: dict[str, Any] = dict.fromkeys(("get", "post", "put", "patch", "delete"), "refuse")

urlpatterns = [
    *_patterns(),
    *artifacts.patterns(),
    path("health", PlainView.as_view(text="OK"), name="mlflow-health"),
    path("version", PlainView.as_view(text=SPOKEN), name="mlflow-version"),
    *(
        path(
            f"{prefix}/{version}/mlflow/<path:rest>",
            NoEndpointView.as_view(_REFUSED),
            name=f"mlflow-unserved-{prefix}-{version}",
        )
        for prefix in ("api", "ajax-api")
        for version in ("2.0", "3.0")
    ),
]
