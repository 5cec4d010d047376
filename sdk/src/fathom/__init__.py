"""Fathom's Python SDK.

Tracking, inside a job without any configuration:

    import fathom
    fathom.log_param("lr", 0.01)
    fathom.log_metric("loss", 0.3, step=1)
    fathom.log_artifact("model.joblib")

and the platform's client, `fathom.Client()`. Every name is loaded at its first use, so that `import fathom` costs a job
next to nothing.
"""

from importlib import import_module

from fathom.version import VERSION

__version__ = VERSION
TYPE_CHECKING = False  # type checkers take it for True; importing `typing` would cost more than all the rest here

if TYPE_CHECKING:
    from fathom import models, runs
    from fathom.autologging import autolog
    from fathom.client import Client
    from fathom.errors import (
        ApiError,
        Conflict,
        FathomError,
        Forbidden,
        Invalid,
        NotConfigured,
        NotFound,
        Unauthorized,
        Unavailable,
    )
    from fathom.models import (
        Artifact,
        Attempt,
        Cluster,
        Event,
        Experiment,
        MetricPoint,
        MetricSeries,
        Project,
        Run,
        Team,
        Token,
        Usage,
    )
    from fathom.paging import Listing, Page
    from fathom.spec import Spec
    from fathom.tracking import (
        ActiveRun,
        active_run,
        flush,
        log_artifact,
        log_artifacts,
        log_image,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_table,
        set_tag,
        set_tags,
        start_run,
    )

_HOME = {
    "autolog": "autologging",
    "Client": "client",
    "Listing": "paging",
    "Page": "paging",
    "Spec": "spec",
    **dict.fromkeys(
        (
            "ApiError",
            "Conflict",
            "FathomError",
            "Forbidden",
            "Invalid",
            "NotConfigured",
            "NotFound",
            "Unauthorized",
            "Unavailable",
        ),
        "errors",
    ),
    **dict.fromkeys(
        (
            "Artifact",
            "Attempt",
            "Cluster",
            "Event",
            "Experiment",
            "MetricPoint",
            "MetricSeries",
            "Project",
            "Run",
            "Team",
            "Token",
            "Usage",
        ),
        "models",
    ),
    **dict.fromkeys(
        (
            "ActiveRun",
            "active_run",
            "flush",
            "log_artifact",
            "log_artifacts",
            "log_image",
            "log_metric",
            "log_metrics",
            "log_param",
            "log_params",
            "log_table",
            "set_tag",
            "set_tags",
            "start_run",
        ),
        "tracking",
    ),
}

__all__ = [
    "ActiveRun",
    "ApiError",
    "Artifact",
    "Attempt",
    "Client",
    "Cluster",
    "Conflict",
    "Event",
    "Experiment",
    "FathomError",
    "Forbidden",
    "Invalid",
    "Listing",
    "MetricPoint",
    "MetricSeries",
    "NotConfigured",
    "NotFound",
    "Page",
    "Project",
    "Run",
    "Spec",
    "Team",
    "Token",
    "Unauthorized",
    "Unavailable",
    "Usage",
    "__version__",
    "active_run",
    "autolog",
    "flush",
    "log_artifact",
    "log_artifacts",
    "log_image",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_table",
    "models",
    "runs",
    "set_tag",
    "set_tags",
    "start_run",
]


def __getattr__(name: str) -> object:
    if name in {"models", "runs"}:  # modules, and not names in one
        return import_module(f"fathom.{name}")
    try:
        home = _HOME[name]
    except KeyError:
        message = f"module 'fathom' has no attribute {name!r}"
        raise AttributeError(message) from None
    value: object = getattr(import_module(f"fathom.{home}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return __all__
