"""From the ids of the wire to our rows, judged: an experiment is a project and its id the project's number; a run's id is
its own without dashes, and a logged model's too, behind "m-".
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import Invalid
from apps.core.texts import wrong
from apps.mlflow.calls import Call, absent
from apps.tracking import services as tracking
from apps.tracking.language.runs import is_hex
from apps.tracking.models import LoggedModel, Project, Run

DEFAULT_ID = "0"
DEFAULT_NAME = "Default"  # what MLflow calls the experiment that is always there
_MOST_DIGITS = 18
# What the judge and the form of a run need; the rest is loaded where it is asked for.
_OF_A_RUN = (
    "name", "status", "visibility", "started_at", "finished_at", "archived_at", "team_id",
    "owner__username", "project__number", "project__archived_at",
)  # fmt: skip
_JUDGED = ("owner_id", "team_id", "visibility")
_MODEL_PREFIX = "m-"


def project_of(call: Call, *, is_live: bool = False, field: str = "experiment_id") -> Project:
    """Return the project that a call names by its number; "0" is one's own default project.

    Raises: Invalid, NotFound; with `is_live` also Invalid for a deleted one.
    """
    text = str(call.given.get(field) or "") if isinstance(call.given.get(field), int) else call.needed(field)
    if text == DEFAULT_ID:
        policy.require_active(call.user)
        return tracking.find_project(tracking.DEFAULT_PROJECT, by=call.user, team=None)
    found: Project = _find(Project.objects.select_related("team"), call.user, text, number=_number(text))
    if is_live and found.archived_at is not None:
        msg = f"The experiment {text} must be in the 'active' state. Current state is deleted."
        raise Invalid(msg)
    return found


def projects_of(call: Call, *, field: str = "experiment_ids") -> list[UUID]:
    """Return the projects that are searched, those that there are. What may be seen in them is judged run by run."""
    texts = call.texts(field)
    numbers = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS]
    found = list(Project.objects.filter(number__in=numbers).values_list("pk", flat=True))
    if DEFAULT_ID in texts:
        mine = Project.objects.filter(owner_id=call.user.pk, team=None, name=tracking.DEFAULT_PROJECT, archived_at=None)
        found += mine.values_list("pk", flat=True)
    return found


def run_of(call: Call, *, field: str = "run_id", is_live: bool = False) -> Run:
    """Return the run that a call names, also a deleted one. Raises: Invalid, NotFound; with `is_live` Invalid for that."""
    text = call.text(field) or (call.text("run_uuid") if field == "run_id" else "") or call.needed(field)
    run = find_run(text, call.user)
    if is_live:
        require_live(run)
    return run


def find_run(text: str, user: Any, *, is_told: bool = True) -> Run:
    """Return the run of an id of the wire; without `is_told` only what the judge needs of it is loaded. Raises: NotFound."""
    if not is_hex(text):
        raise refused(user, "view", "tracking.run", absent("run", text), object_id=text)
    rows = Run.objects.select_related("project", "owner").only(*_OF_A_RUN) if is_told else Run.objects.only(*_JUDGED)
    found: Run = _find(rows, user, text, pk=UUID(text))
    return found


def require_live(run: Run) -> None:
    if run.archived_at is not None:
        msg = f"The run {run.pk.hex} must be in the 'active' state. Current state is deleted."
        raise Invalid(msg)


def model_of(call: Call) -> LoggedModel:
    """Return the logged model that a call names. Raises: Invalid, NotFound, also for a deleted one."""
    text = call.needed("model_id")
    rows = LoggedModel.objects.filter(archived_at=None).select_related("run__project", "run__owner", "run__team")
    found: LoggedModel = _find(rows, call.user, text, pk=model_pk(text, call.user))
    return found


def model_pk(text: str, user: Any = None) -> UUID:
    """Return the primary key in the id of a logged model. Raises: NotFound."""
    if not (text.startswith(_MODEL_PREFIX) and is_hex(text.removeprefix(_MODEL_PREFIX))):
        raise refused(user, "view", "tracking.loggedmodel", absent("logged model", text), object_id=text)
    return UUID(text.removeprefix(_MODEL_PREFIX))


def model_id(model: LoggedModel) -> str:
    return f"{_MODEL_PREFIX}{model.pk.hex}"


_WORDS = {"tracking.project": "experiment", "tracking.run": "run", "tracking.loggedmodel": "logged model"}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise wrong(name="experiment_id", sentence="Expected a whole number, as text.")
    return int(text)


def _find(rows: QuerySet[Any], user: Any, text: str, **lookup: Any) -> Any:
    try:
        return policy.find(rows, user, **lookup)
    except rows.model.DoesNotExist:
        label = rows.model._meta.label_lower  # noqa: SLF001 -- documented Django API
        raise refused(user, "view", label, absent(_WORDS[label], text), object_id=text) from None
