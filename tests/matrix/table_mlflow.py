"""The rows of MLflow's wire: who may do what with which object, which here is mostly named in the body.

A job stands behind the run, so some of what is allowed ends in a conflict, or in "not found" where a tag or a deletion is
meant that there is not.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from apps.models.models import RegisteredModel
from apps.tracking.models import LoggedModel, Project, Run, Upload
from tests.matrix.table import NOT_HIS, Row
from tests.matrix.world import World

_NOTHING = {
    "run_id": "f" * 32,
    "run_ids": "f" * 32,
    "experiment_id": "999999999",
    "experiment_name": "nothing of that name",
    "model_id": f"m-{'f' * 32}",
    "source_run_id": "f" * 32,
    "name": "nothing of that name",
}
T0 = 1_700_000_000_000


@dataclass(frozen=True)
class WireRow(Row):
    """A row that knows how to ask the same about what is not there."""

    def of_nothing(self) -> "WireRow":
        return replace(
            self, names=lambda world: _without(self.names(world)), data=lambda world: _without(self.data(world))
        )

    def without_names(self, body: bytes, world: World) -> bytes:
        """Take out of an answer what the question named."""
        for given in (self.names(world), self.data(world)):
            for name in given.keys() & _NOTHING.keys():
                body = re.sub(rb"\b" + re.escape(str(given[name]).encode()) + rb"\b", b"", body)
        return body


@dataclass(frozen=True)
class FileRow(WireRow):
    """A row whose run is named within a path."""

    def of_nothing(self) -> "FileRow":
        return replace(self, names=lambda world: _elsewhere(self.names(world), world), data=self._data_of_nothing)

    def _data_of_nothing(self, world: World) -> dict[str, Any]:
        return _elsewhere(self.data(world), world)

    def without_names(self, body: bytes, world: World) -> bytes:
        return body.replace(world.ended.pk.hex.encode(), b"").replace(str(_NOTHING["run_id"]).encode(), b"")


def _elsewhere(given: dict[str, Any], world: World) -> dict[str, Any]:
    changed = {name: str(value).replace(world.ended.pk.hex, str(_NOTHING["run_id"])) for name, value in given.items()}
    return {name: changed[name] if isinstance(value, str) else value for name, value in given.items()}


def _place(world: World, name: str) -> dict[str, Any]:
    number = Project.objects.get(pk=world.ended.run.project_id).number
    return {"path": f"{number}/{world.ended.pk.hex}/artifacts/{name}"}


def _file(prefix: str, method: str, page: str, action: str, code: int = 200, name: str = "out/report.txt") -> WireRow:
    def names(world: World) -> dict[str, Any]:
        return _place(world, name)

    return FileRow(method, f"mlflow-{prefix}-{page}", code, Run, action, "ended", names, token_only=True)


def _sent(world: World) -> dict[str, Any]:
    return {"path": "report.txt", "upload_id": str(world.sending.pk)}


def _files(prefix: str) -> list[WireRow]:
    listing = _file(prefix, "GET", "bytes-folder", "view")
    end = {"model": Upload, "data": _sent, "but": NOT_HIS}
    return [
        replace(listing, names=lambda _world: {}, data=lambda world: _place(world, "out")),
        _file(prefix, "GET", "bytes", "view", 302),
        _file(prefix, "PUT", "bytes", "log"),
        _file(prefix, "DELETE", "bytes", "delete"),
        _file(prefix, "GET", "link", "view"),
        replace(
            _file(prefix, "POST", "parts-create", "log", name="out"),
            data=lambda _world: {"path": "new", "num_parts": 1},
        ),
        replace(_file(prefix, "POST", "parts-complete", "log", name="out"), **end),
        replace(_file(prefix, "POST", "parts-abort", "log", name="out"), **end),
    ]


def _without(given: dict[str, Any]) -> dict[str, Any]:
    return {name: _NOTHING.get(name, value) for name, value in given.items()}


def _named(path: str) -> str:
    return f"mlflow-{path.replace('/', '-')}"


def _any(method: str, path: str, code: int = 200, scope: str = "", **data: Any) -> Row:
    return WireRow(method, _named(path), code, scope=scope, data=lambda _world: data, token_only=True)


def _project(method: str, path: str, action: str, code: int = 200, **data: Any) -> WireRow:
    def fields(world: World) -> dict[str, Any]:
        return {"experiment_id": str(Project.objects.get(pk=world.project.pk).number), **data}

    return WireRow(method, _named(path), code, Project, action, "project", data=fields, token_only=True)


def _run(method: str, path: str, action: str, code: int = 200, field: str = "run_id", **data: Any) -> WireRow:
    def fields(world: World) -> dict[str, Any]:
        return {field: world.ended.pk.hex, **data}

    return WireRow(method, _named(path), code, Run, action, "ended", data=fields, token_only=True)


def _model(method: str, rest: str, action: str, code: int = 200, key: str = "", **data: Any) -> WireRow:
    def names(world: World) -> dict[str, Any]:
        found = LoggedModel.objects.get(run_id=world.ended.pk)
        return {"model_id": f"m-{found.pk.hex}", **({"tag_key": key} if key else {})}

    name = f"mlflow-logged-models-model_id{rest}"
    return WireRow(method, name, code, LoggedModel, action, "ended", names, lambda _world: data, token_only=True)


def _registry(method: str, path: str, action: str = "view", **data: Any) -> WireRow:
    def fields(world: World) -> dict[str, Any]:
        return {"name": world.model.name, **data}

    return WireRow(method, _named(path), 200, RegisteredModel, action, "model", data=fields, token_only=True)


def _new_version(world: World) -> dict[str, Any]:
    return {"name": world.model.name, "source": f"runs:/{world.ended.pk.hex}/out"}


_ONE: dict[str, Any] = {"version": "1"}
REGISTRY = [
    _any("POST", "registered-models/create", scope="model:create", name="new"),
    _any("GET", "registered-models/search"),
    _any("POST", "registered-models/search"),
    _registry("GET", "registered-models/get"),
    _registry("POST", "registered-models/rename", "edit", new_name="other"),
    _registry("PATCH", "registered-models/update", "edit", description="x"),
    _registry("DELETE", "registered-models/delete", "delete"),
    _registry("GET", "registered-models/get-latest-versions"),
    _registry("POST", "registered-models/get-latest-versions"),
    _registry("POST", "registered-models/set-tag", "edit", key="k", value="v"),
    _registry("DELETE", "registered-models/delete-tag", "edit", key="k"),
    _registry("POST", "registered-models/alias", "move", alias="beta", version="2"),
    _registry("DELETE", "registered-models/alias", "move", alias="beta"),
    _registry("GET", "registered-models/alias", alias="beta"),
    WireRow(
        "POST", _named("model-versions/create"), 200, RegisteredModel, "register", "model", data=_new_version,
        token_only=True, but={"stray": 404},  # who may register, from a run that he does not see
    ),
    _any("GET", "model-versions/search"),
    _any("POST", "model-versions/search"),
    _registry("GET", "model-versions/get", **_ONE),
    _registry("PATCH", "model-versions/update", "edit", **_ONE, description="x"),
    _registry("DELETE", "model-versions/delete", "delete", **_ONE),
    _registry("POST", "model-versions/transition-stage", "move", **_ONE, stage="Staging"),
    _registry("GET", "model-versions/get-download-uri", **_ONE),
    _registry("POST", "model-versions/set-tag", "edit", **_ONE, key="k", value="v"),
    _registry("DELETE", "model-versions/delete-tag", "edit", **_ONE, key="k"),
]  # fmt: skip


def _new_model(world: World) -> dict[str, Any]:
    number = Project.objects.get(pk=world.project.pk).number
    return {"experiment_id": str(number), "source_run_id": world.ended.pk.hex, "name": "net"}


def _by_name(world: World) -> dict[str, Any]:
    # A name that is hers alone: "default" would be everybody's own.
    Project.objects.filter(pk=world.project.pk).update(name="work of the team")
    return {"experiment_name": "work of the team"}


_NO_WRITER = {"reader": 403}  # told before it is looked whether there is what is meant
_HISTORY = "metrics/get-history-bulk"

MLFLOW = [
    _any("GET", "server-info"),
    _any("POST", "experiments/create", scope="project:create", name="new"),
    WireRow("GET", _named("experiments/get-by-name"), 200, Project, "view", "project", data=_by_name, token_only=True),
    _project("GET", "experiments/get", "view"),
    _any("POST", "experiments/search"),
    _any("GET", "experiments/search"),
    _project("POST", "experiments/update", "edit", new_name="renamed"),
    _project("POST", "experiments/delete", "delete", 409),
    replace(_project("POST", "experiments/restore", "delete", 404), but=_NO_WRITER),
    _project("POST", "experiments/set-experiment-tag", "edit", key="k", value="v"),
    replace(_project("POST", "experiments/delete-experiment-tag", "edit", 404, key="none"), but=_NO_WRITER),
    _any("POST", "experiments/search-datasets", experiment_ids=["1"]),
    _any("POST", "ajax-api/experiments/search-datasets", experiment_ids=["1"]),
    # A job makes runs beside its own, which is judged by that.
    replace(_project("POST", "runs/create", "submit"), but={"job": 200, "stray": 200}),
    _run("GET", "runs/get", "view"),
    _run("POST", "runs/update", "log", status="FINISHED"),
    _run("POST", "runs/delete", "delete", 409),
    _run("POST", "runs/restore", "delete", 409),
    _run("POST", "runs/log-metric", "log", key="m", value=1, timestamp=T0),
    _run("POST", "runs/log-parameter", "log", key="p", value="1"),
    _run("POST", "runs/set-tag", "log", key="t", value="1"),
    replace(_run("POST", "runs/delete-tag", "log", 404, key="none"), but=_NO_WRITER),
    _run("POST", "runs/log-batch", "log", tags=[{"key": "t", "value": "1"}]),
    _run("POST", "runs/log-model", "log", model_json='{"a": 1}'),
    _run("POST", "runs/log-inputs", "log"),
    _run("POST", "runs/outputs", "log"),
    _any("POST", "runs/search", experiment_ids=["1"]),
    _run("GET", "metrics/get-history", "view", metric_key="loss"),
    _run("GET", _HISTORY, "view", metric_key="loss"),
    _run("GET", f"ajax-api/{_HISTORY}", "view", metric_key="loss"),
    _run("GET", f"{_HISTORY}-interval", "view", field="run_ids", metric_key="loss"),
    _run("GET", f"ajax-api/{_HISTORY}-interval", "view", field="run_ids", metric_key="loss"),
    _run("GET", "artifacts/list", "view"),
    *REGISTRY,
    _any("POST", "logged-models/search", experiment_ids=["1"]),
    WireRow("POST", _named("logged-models"), 200, Run, "log", "ended", data=_new_model, token_only=True),
    _model("GET", "", "view"),
    _model("PATCH", "", "log", status="LOGGED_MODEL_READY"),
    _model("DELETE", "", "delete"),
    _model("PATCH", "-tags", "log", tags=[{"key": "k", "value": "v"}]),
    replace(_model("DELETE", "-tags-tag_key", "log", 404, key="none"), but=_NO_WRITER),
    _model("POST", "-params", "log", params=[{"key": "k", "value": "v"}]),
    _model("GET", "-artifacts-directories", "view"),
    *_files("api"),
    *_files("ajax-api"),
    *(
        replace(_any(method, f"unserved/{prefix}/{version}", 404), names=lambda _world: {"rest": "x"})
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for prefix in ("api", "ajax-api")
        for version in ("2.0", "3.0")
    ),
]
