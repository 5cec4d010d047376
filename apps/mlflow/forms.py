"""How our rows look on the wire."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.core.texts import wrong
from apps.tracking.choices import RunStatus
from apps.tracking.models import Project

ARTIFACTS = "mlflow-artifacts:"
TEAM_TAG = "fathom.team"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STATUSES = {
    "RUNNING": RunStatus.RUNNING,
    "SCHEDULED": RunStatus.RUNNING,  # Fathom knows no run that waits: what waits is an experiment
    "FINISHED": RunStatus.FINISHED,
    "FAILED": RunStatus.FAILED,
    "KILLED": RunStatus.KILLED,
}
_NUMBERED = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def milliseconds(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MILLISECOND


def pairs(names: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in names]


def status_of(value: Any) -> str:
    """Return our word for a status, "" for none; protobuf also allows its number. Raises: Invalid."""
    if value is None or value == "":
        return ""
    known = _STATUSES.get(_NUMBERED.get(value, "") if isinstance(value, int) else str(value))
    if known is None:
        raise wrong(name="status", sentence=f"One of {', '.join(_STATUSES)}.")
    return str(known)


def stage_of(archived_at: datetime | None) -> str:
    return "active" if archived_at is None else "deleted"


def location_of(number: int) -> str:
    return f"{ARTIFACTS}/{number}"


def artifacts_of(number: int, run_hex: str) -> str:
    return f"{ARTIFACTS}/{number}/{run_hex}/artifacts"


def experiment(project: Project, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return a project as MLflow shows an experiment; the team that it belongs to is a tag."""
    of_team = {TEAM_TAG: project.team.slug} if project.team is not None else {}
    form: dict[str, Any] = {
        "experiment_id": str(project.number),
        "name": project.name,
        "artifact_location": location_of(project.number),
        "lifecycle_stage": stage_of(project.archived_at),
        "creation_time": milliseconds(project.created_at),
        "last_update_time": milliseconds(project.updated_at),
    }
    if tags or of_team:
        form["tags"] = pairs(sorted({**tags, **of_team}.items()))
    return form
