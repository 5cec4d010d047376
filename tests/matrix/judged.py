"""What is expected of a person at a row: computed from the declared policies and the roles in `world`."""

from apps.access import policy
from apps.access.decision import Role
from apps.experiments.models import Experiment
from apps.experiments.services import RUN_TOKEN_SCOPES
from apps.models.models import ModelVersion, MoveRequest, RegisteredModel, VersionFile
from apps.tracking.models import Artifact, LoggedModel, Project, Run, Upload
from tests.matrix.table import Row
from tests.matrix.world import ROLES

PEOPLE = ("alice", "bob", "charlie", "dana", "mia", "olaf", "tom", "vera", "gus", "sre", "aud")
OUTSIDE = ("anonymous", "ivan")
TOKENS = ("reader", "job", "stray")  # alice, reading only; the ended experiment's own; another run's
OF_A_RUN = (Experiment, Run, Artifact, LoggedModel, Upload)
OPEN_TO_JOBS = (Project, RegisteredModel, ModelVersion, VersionFile, MoveRequest)  # both jobs run in the one project


def expected_page(row: Row) -> dict[str, int]:
    """A page knows sessions only: to it a token is nobody."""
    if row.public:
        return {**dict.fromkeys((*OUTSIDE, *TOKENS), row.ok), **dict.fromkeys(PEOPLE, row.inside or row.ok)}
    inside = {name: _by_role(row, name) for name in PEOPLE} if row.model else _without_object(row)
    if row.admin_only:
        inside = {name: row.ok if name == "sre" else 403 for name in PEOPLE}
    return {**dict.fromkeys((*OUTSIDE, *TOKENS), 302), **inside, **row.but}


def expected_api(row: Row) -> dict[str, int]:
    if row.public:
        return dict.fromkeys((*OUTSIDE, *PEOPLE, *TOKENS), row.ok)
    if row.operators:
        inside = {name: row.ok if _operates(row, name) else 403 for name in PEOPLE}
        return {**dict.fromkeys(OUTSIDE, 401), **inside, **dict.fromkeys(TOKENS, 403), **row.but}
    if row.model is None:
        inside = _without_object(row)
        if row.admin_only:
            inside = {name: row.ok if name == "sre" else 403 for name in PEOPLE}
        tokens = dict.fromkeys(TOKENS, 403 if row.scope or row.admin_only else row.ok)
        if row.scope == "model:create":
            tokens |= {"job": row.ok, "stray": row.ok}
    else:
        inside = {name: _by_role(row, name) for name in PEOPLE}
        if row.admin_only:
            inside = {name: code if name == "sre" or code == 404 else 403 for name, code in inside.items()}
        tokens = {
            "reader": _reading(row),
            "job": _own_job(row),
            "stray": _as_job(row) if row.model in OPEN_TO_JOBS else 404,
        }
    return {**dict.fromkeys(OUTSIDE, 401), **inside, **tokens, **row.but}


def _operates(row: Row, name: str) -> bool:
    return name == "sre" or (name == "aud" and row.method == "GET")


def _without_object(row: Row) -> dict[str, int]:
    aud = 403 if row.scope and not _is_own_account(row) else row.ok
    return {**dict.fromkeys(PEOPLE, row.ok), "aud": aud, "sre": row.acting or row.ok}


def _is_own_account(row: Row) -> bool:
    return row.scope.partition(":")[0] in {"apitoken", "user"}


def _by_role(row: Row, name: str) -> int:
    assert row.model is not None
    held = ROLES[row.role][name]
    if held is Role.NONE:
        return 404
    declared = policy.policy_for(row.model)
    if (name == "aud" and not declared.is_read(row.action)) or (row.only and name != row.only):
        return 403
    return row.ok if held >= declared.minimum(row.action) else 403


def _reading(row: Row) -> int:
    assert row.model is not None
    can_read = policy.policy_for(row.model).is_read(row.action)
    held = _by_role(row, "alice")
    return held if held == 404 or (can_read and not row.scope) else 403


def _own_job(row: Row) -> int:
    """The token of the very run: it reaches that run, its project and models, and there only what its scopes name."""
    if row.model in OPEN_TO_JOBS or (row.model in OF_A_RUN and row.role == "ended"):
        return _as_job(row)
    return 404


def _as_job(row: Row) -> int:
    assert row.model is not None
    if ROLES[row.role]["alice"] is Role.NONE:
        return 404
    if row.people_only:
        return 403
    return row.ok if policy.policy_for(row.model).scope_of(row.action) in RUN_TOKEN_SCOPES else 403
