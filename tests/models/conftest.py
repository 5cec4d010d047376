"""A team's model, a run with files, and short ways to a version."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.access.principal import SYSTEM
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.tracking.models import Run
from tests.factories import cast, committed
from tests.people import Cast

__all__ = ["cast", "committed"]

MLMODEL = """
artifact_path: model
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.pkl}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "long", "required": true}]'
  params: null
"""


@pytest.fixture(autouse=True)
def _own_store(settings: Settings, tmp_path: Path) -> None:
    settings.BLOB_ROOT = tmp_path / "blobs"


@pytest.fixture
def team_of_three(cast: Cast) -> Cast:
    """dana and charlie become members: with alice and mia four people may move, and three may approve what alice made."""
    for name in ("dana", "charlie"):
        teams.set_member(cast.team, cast.people[name], role="member", by=SYSTEM)
    return cast


@pytest.fixture
def run(cast: Cast) -> Run:
    """A run of alice's in her team, with a model folder, parameters and metrics."""
    project = tracking.create_project("vision", by=cast.alice, team=cast.team)
    made = tracking.create_run(project, by=cast.alice, name="first")
    keep(made, cast.alice, "model/MLmodel", MLMODEL.encode())
    keep(made, cast.alice, "model/model.pkl", pickle.dumps({"weights": [1, 2]}))
    keep(made, cast.alice, "model/requirements.txt", b"scikit-learn==1.5\n")
    keep(made, cast.alice, "notes.txt", b"not of the model")
    points = [{"key": "accuracy", "value": 0.93}, {"key": "loss", "value": "NaN"}]
    tracking.log_batch(made, {"metrics": points, "params": {"lr": "0.1"}}, by=cast.alice)
    return made


@pytest.fixture
def model(cast: Cast) -> RegisteredModel:
    return services.create_model("digits", by=cast.alice, team=cast.team, description="# What it is\n\nDigits.")


@pytest.fixture
def version(cast: Cast, model: RegisteredModel, run: Run) -> ModelVersion:
    return services.register_run(model, run, "model", by=cast.alice)


def keep(run: Run, by: Any, path: str, data: bytes) -> None:
    tracking.save_artifact(run, path, iter([data]), by=by)


def upload(model: RegisteredModel, by: Any, metrics: dict[str, float] | None = None, **files: bytes) -> ModelVersion:
    """Register files given by name, "__" in place of a dot."""
    given = {name.replace("__", "."): data for name, data in (files or {"model__txt": b"weights"}).items()}
    kept = services.store_files((name, iter([data])) for name, data in given.items())
    return services.register_files(model, kept, by=by, details=services.Details(metrics=metrics or {}))


def moves(model: RegisteredModel) -> list[tuple[str, str, str, str]]:
    """Return (target, name, before, after) of every move, oldest first."""
    return list(model.moves.order_by("id").values_list("target", "name", "before", "after"))
