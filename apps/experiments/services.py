"""Writes on experiments."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.decision import Role
from apps.audit import services as audit
from apps.compute import services as compute
from apps.compute.choices import RUN_FOR_MLFLOW, TERMINAL, State
from apps.compute.models import Workload
from apps.compute.services import WorkloadRequest
from apps.core import blobs, failpoints
from apps.core.announcements import announce
from apps.core.errors import Conflict, Invalid
from apps.core.inserts import insert
from apps.core.locks import lock_row
from apps.credentials import services as credentials
from apps.environments import services as environments
from apps.environments.models import Environment, EnvironmentVersion
from apps.experiments import spec as specs
from apps.experiments.models import CodeUpload, Experiment
from apps.experiments.spec import Parsed
from apps.lineage import services as lineage
from apps.lineage.choices import Relation, ThingKind
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode
from apps.sources import services as sources
from apps.sources.models import Fetch
from apps.storage import services as storage
from apps.teams.models import Team
from apps.teams.services import find_team, require_open
from apps.tracking import services as tracking
from apps.tracking.choices import RunStatus
from apps.tracking.models import Run, Tag

# What a job may: log to its run and to runs that it makes beside it, load models and register new ones. SECURITY: neither
# move an alias nor delete, share or submit.
RUN_TOKEN_SCOPES = (
    "run:view", "run:log", "run:create", "experiment:view", "project:view", "model:view", "model:create", "model:register",
)  # fmt: skip
PATCH = "patch"
CODE_FORMATS = {"application/gzip": "tar.gz", "application/zip": "zip", "text/x-diff": PATCH}

ENVIRONMENT_NODE = "environmentversion"  # what lineage calls it

_RUN_STATUS = {
    State.SUCCEEDED: RunStatus.FINISHED,
    State.FAILED: RunStatus.FAILED,
    State.LOST: RunStatus.FAILED,
    State.STOPPED: RunStatus.KILLED,
}


@transaction.atomic
def submit_experiment(
    document: Any,
    *,
    by: Any,
    cloned_from: Experiment | None = None,
    environment: EnvironmentVersion | None = None,
    source: Fetch | None = None,
) -> Experiment:
    """Accept a specification: from the commit on it will reach an end.

    `environment` is the version that is meant where the document names one, if the caller knows it; `source` the fetch of
    its code, if that was asked for already.
    Effects: run, workload (queued), experiment, audit row; compute is woken after the commit.
    Raises: Invalid with a sentence per field, NotAllowed, NeverFits.
    """
    policy.require_active(by, "experiment:create")
    parsed = specs.parse(document)
    team = find_team(parsed.get("team"), by=by)
    project = tracking.find_project(parsed.get("project", tracking.DEFAULT_PROJECT), by=by, team=team)
    visibility = parsed.get("visibility", "")
    run = tracking.open_run(project, by=by, name=parsed.name, team=team, visibility=visibility)
    payer = _payer(run, by, is_judged=team is not None)
    node = quota_node(by, payer)
    environment = environment or _environment(parsed, team, by)
    source = source or _source(parsed, run, by)
    request = _request(parsed, run, by, environment, source)
    workload = compute.request_workload(request, user=by, team=payer, node=node)
    if tags := parsed.get("tags"):
        Tag.objects.bulk_create(Tag(run=run, project=project, key=key, value=value) for key, value in tags.items())
    experiment = Experiment(
        run=run,
        workload=workload,
        kind=parsed.kind,
        spec=_resolved(parsed, environment),
        environment=environment,
        source=source,
        cloned_from=cloned_from,
    )
    insert(experiment)
    if source is not None and source.commit:  # fetched already
        _note_commit(run, source)
    lineage.link(lineage.Node("run", run.pk), _sources(parsed, environment, source))
    audit.record("submit", experiment, by=by)
    return experiment


def _source(parsed: Parsed, run: Run, by: Any) -> Fetch | None:
    """Ask for the code to be fetched; None when it was uploaded, or there is none."""
    wanted = parsed.source
    if wanted is None:
        return None
    if wanted.patch and not _uploads(by).filter(sha256=wanted.patch, format=PATCH).exists():
        raise Invalid(errors={"code.git.patch": ["You have not uploaded this patch. Upload it first."]})
    return sources.request_fetch(wanted, by=by, subject=f"run:{run.pk}")


def note_source(fetch: Fetch) -> None:
    """Write down for all work that waits for a fetch what it brought; called inside the transaction that says so."""
    for experiment in fetch.experiments.select_related("run__project").order_by("pk"):
        _note_commit(experiment.run, fetch)
        lineage.link(lineage.Node("run", experiment.pk), _of_fetch(fetch))


def _note_commit(run: Run, fetch: Fetch) -> None:
    """Tag a run as trackers do; what the specification says itself stays."""
    found = {"commit": fetch.commit, "repoURL": fetch.url if fetch.commit else "", "branch": fetch.branch}
    tags = [
        Tag(run=run, project=run.project, key=f"mlflow.source.git.{name}", value=value)
        for name, value in found.items()
        if value
    ]
    Tag.objects.bulk_create(tags, ignore_conflicts=True)


def _of_fetch(fetch: Fetch) -> list[tuple[lineage.Node, Relation]]:
    patched = f"+{fetch.patch[:12]}" if fetch.patch else ""
    known_as = f"{fetch.commit}{patched}" if fetch.commit else f"sha256:{fetch.sha256}"
    return [(lineage.thing(ThingKind.CODE, fetch.url, known_as), Relation.CODE)]


def _environment(parsed: Parsed, team: Team | None, by: Any) -> EnvironmentVersion | None:
    named = parsed.get("environment")
    return environments.find_version(named, by=by, team=team) if named else None


def _resolved(parsed: Parsed, environment: EnvironmentVersion | None) -> dict[str, Any]:
    """Return what is kept of the document: it names the version that was meant, whatever becomes the newest."""
    document = dict(parsed.document)
    return document if environment is None else {**document, "environment": str(environment)}


def _sources(
    parsed: Parsed, environment: EnvironmentVersion | None, source: Fetch | None
) -> list[tuple[lineage.Node, Relation]]:
    """Return what a run comes from."""
    found = _of_fetch(source) if source is not None and source.sha256 else []
    if parsed.code_sha256:
        found.append((lineage.thing(ThingKind.CODE, "upload", parsed.code_sha256), Relation.CODE))
    if environment is not None:
        found.append((lineage.Node(ENVIRONMENT_NODE, environment.pk), Relation.ENVIRONMENT))
    return found


def _payer(run: Run, by: Any, *, is_judged: bool) -> Team | None:
    """Return the team whose quota pays for a run, None when `by` pays himself.

    SECURITY: a project in a team lets in whom it was shared with, and its owner after he left the team; neither may use
    what the team has.
    """
    if run.team is None or is_judged or policy.role_of(by, run.team) >= Role.EDITOR:
        return run.team
    return None


def _request(
    parsed: Parsed, run: Run, by: Any, environment: EnvironmentVersion | None, source: Fetch | None
) -> WorkloadRequest:
    env = {**(environment.variables if environment else {}), **parsed.get("env", {})}
    return replace(
        request_of(parsed),
        subject=f"run:{run.pk}",
        env={**_mlflow(run, env), **env},
        environment=environments.reference(environment) if environment else {},
        source=sources.reference(source) if source else {},
        token_scopes=RUN_TOKEN_SCOPES,
        code=_code(parsed.code_sha256, by),
        credentials=_credentials(parsed, by),
    )


def _mlflow(run: Run, given: Mapping[str, str]) -> dict[str, str]:
    """Return what points MLflow's client in the job to the job's run, unless the job has a tracking server of its own."""
    if "MLFLOW_TRACKING_URI" in given:
        return {}
    return {RUN_FOR_MLFLOW: run.pk.hex, "MLFLOW_EXPERIMENT_ID": str(run.project.number)}


def request_of(parsed: Parsed) -> WorkloadRequest:
    """Return what a specification asks of compute, before it belongs to a run."""
    return WorkloadRequest(
        label=parsed.name,
        subject="",
        command=parsed.command,
        env=parsed.get("env", {}),
        cpu_milli=parsed.cpu_milli,
        memory_bytes=parsed.memory_bytes,
        gpu_milli=parsed.gpu_milli,
        disk_bytes=parsed.disk_bytes,
        timeout_seconds=parsed.timeout_seconds,
        grace_seconds=parsed.grace_seconds,
        retries=int(parsed.get("retries", 0)),  # JSON knows no integers: 2.0 is one
        priority=int(parsed.get("priority", 0)),
        priority_class=parsed.get("priority_class", ""),
        gpu_model=parsed.gpu_model,
        other=parsed.other,
        cluster=parsed.get("cluster", {}),
    )


def _credentials(parsed: Parsed, by: Any) -> list[dict[str, str]]:
    """Judge that `by` may use what the specification names. It is judged again when the work starts."""
    wanted = parsed.get("credentials", ())
    return credentials.require_usable(wanted, by=by, taken=parsed.get("env", {})) if wanted else []


def _code(sha256: str, by: Any) -> dict[str, Any] | None:
    if not sha256:
        return None
    upload = _uploads(by).filter(sha256=sha256).exclude(format=PATCH).first()
    if upload is None:
        raise Invalid(errors={"code.upload": ["You have not uploaded this code. Upload it first."]})
    return {"sha256": upload.sha256, "format": upload.format, "size_bytes": upload.size_bytes}


def _uploads(by: Any) -> QuerySet[CodeUpload]:
    rows: QuerySet[CodeUpload] = CodeUpload.objects.visible_to(by, "view")
    return rows


def quota_node(user: Any, team: Team | None) -> QuotaNode:
    """Return the leaf of the quota tree that pays for `user`'s work in `team`, or for his own."""
    return quotas.leaf_of(user, team)


@transaction.atomic
def stop_experiment(experiment: Experiment, *, by: Any, reason: str = "") -> bool:
    """Ask for the experiment to stop; false when that was asked before. Audited. Raises: NotAllowed, Conflict."""
    policy.require(by, "stop", experiment)
    news = compute.request_stop(experiment.workload, by=by, reason=reason)
    if news:
        audit.record("stop", experiment, by=by, reason=reason)
    return news


@transaction.atomic
def retry_experiment(experiment: Experiment, *, by: Any) -> Experiment:
    """Run it once more, as a new attempt of the same experiment. Audited.

    Raises: NotAllowed, NeverFits, Conflict, also when whose job it is has left the platform or the team that pays.
    """
    policy.require(by, "retry", experiment)
    # LOCKING: a concurrent delete comes first, or not at all.
    workload = lock_row(Workload.objects.filter(pk=experiment.workload_id))
    _require_live(experiment)
    _require_still_there(workload, by)
    require_open(experiment.run.team)
    compute.request_retry(experiment.workload, by=by)
    audit.record("retry", experiment, by=by)
    return experiment


@transaction.atomic
def clone_experiment(
    experiment: Experiment, *, by: Any, overrides: Mapping[str, Any] | None = None, without: Iterable[str] = ()
) -> Experiment:
    """Submit a copy, as one's own, with some fields replaced and those in `without` left to their defaults.

    Raises: NotAllowed, Invalid, NeverFits.
    """
    policy.require(by, "clone", experiment)
    document = {key: value for key, value in experiment.spec.items() if key not in without} | dict(overrides or {})
    source = None
    if "code" in document and "code" not in (overrides or {}):  # also of one's own: it may have come from who left
        source = _share_code(experiment, by)
    same = document.get("environment") == experiment.spec.get("environment")
    version = _same_environment(experiment, by) if same else None
    return submit_experiment(document, by=by, cloned_from=experiment, environment=version, source=source)


def _same_environment(experiment: Experiment, by: Any) -> EnvironmentVersion | None:
    """Return the version the original ran in, also of an environment that was deleted since.

    Raises: Invalid when `by` may not see it: whose variables a job gets is more than its specification tells.
    """
    version = experiment.environment
    if version is None or Environment.objects.visible_to(by, "view").filter(pk=version.environment_id).exists():
        return version
    raise Invalid(errors={"environment": ["You may not see the environment it ran in. Choose another, or none."]})


def _share_code(experiment: Experiment, by: Any) -> Fetch | None:
    """Who may view an experiment may run its code: he gets the right to refer to the blob, or the fetch that brought it.

    What could not be fetched is fetched anew, as `by`, and with what he may use.
    """
    if experiment.source is not None:
        if experiment.source.patch:
            facts = {"format": PATCH, "size_bytes": 0}
            CodeUpload.objects.get_or_create(owner=by, sha256=experiment.source.patch, defaults=facts)
        return sources.find_again(experiment.source)
    code = experiment.workload.template["code"]
    CodeUpload.objects.get_or_create(
        owner=by, sha256=code["sha256"], defaults={"format": code["format"], "size_bytes": code["size_bytes"]}
    )
    return None


@transaction.atomic
def delete_experiment(experiment: Experiment, *, by: Any) -> None:
    """Take an ended experiment out of sight; its run, log and artifacts stay in the records. Idempotent. Audited.

    Raises: NotAllowed, Conflict while it is active.
    """
    policy.require(by, "delete", experiment)
    state = lock_row(Workload.objects.filter(pk=experiment.workload_id)).state
    if state not in TERMINAL:
        msg = f"It is {state}. Stop it first."
        raise Conflict(msg, state=state)
    if Experiment.objects.filter(pk=experiment.pk, archived_at=None).update(archived_at=Now()):
        Run.objects.filter(pk=experiment.pk).update(archived_at=Now())
        audit.record("delete", experiment, by=by)


def _require_live(experiment: Experiment) -> None:
    if not Experiment.objects.live().filter(pk=experiment.pk).exists():
        msg = "It was deleted."
        raise Conflict(msg)


def _require_still_there(workload: Workload, by: Any) -> None:
    """SECURITY: a job runs as whose it is, whoever retries it: with his token, and on the quota that paid before."""
    whose = workload.user
    if not whose.is_active:
        msg = f"{whose}, whose job it is, has left. Clone it to run it as your own."
        raise Conflict(msg)
    if workload.team is None or by.is_superuser or policy.role_of(whose, workload.team) >= Role.EDITOR:
        return
    msg = f"{whose}, whose job it is, may not submit for the team {workload.team} any more. Clone it instead."
    raise Conflict(msg)


def upload_code(chunks: Iterable[bytes], *, by: Any, sha256: str, content_type: str) -> tuple[CodeUpload, bool]:
    """Keep an archive of code, or a patch, under its hash; the second result says whether it is new to `by`.

    Raises: NotAllowed, Invalid for another format or hash, TooLarge.
    """
    policy.require_active(by, "code:create")
    if content_type not in CODE_FORMATS:
        raise Invalid(errors={"Content-Type": [f"One of {', '.join(CODE_FORMATS)}."]})
    blob = blobs.write(chunks, limit=settings.CODE_LIMIT_BYTES, expected_sha256=sha256)
    failpoints.hit("code.after_write_before_row")
    facts = {"format": CODE_FORMATS[content_type], "size_bytes": blob.size_bytes}
    with transaction.atomic():
        storage.require_kept(blob.sha256)
        return CodeUpload.objects.get_or_create(owner=by, sha256=blob.sha256, defaults=facts)


def follow_workload(workload: Workload, from_state: str) -> None:
    """Keep the run's status in step with its workload; called inside the transition's transaction."""
    if not workload.subject.startswith("run:"):
        return
    run_id = workload.subject.removeprefix("run:")
    transaction.on_commit(partial(announce, workload.subject, {"type": "state"}), robust=True)
    status = _RUN_STATUS.get(State(workload.state))
    if status is not None:
        ended = Q(pk=run_id) | Q(made_in=run_id, status=RunStatus.RUNNING)  # nothing else can end what a job left open
        Run.objects.filter(ended).update(status=status, finished_at=workload.finished_at or Now())
    elif from_state in TERMINAL:
        Run.objects.filter(pk=run_id).update(status=RunStatus.RUNNING, finished_at=None)
