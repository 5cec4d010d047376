"""From a workload to what its backend is given."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings

from apps.accounts import services as accounts
from apps.compute import handlers
from apps.compute.choices import RUN_FOR_MLFLOW
from apps.compute.contract import CodeArchive, Observation, Resources, WorkloadSpec
from apps.compute.models import Attempt, Workload
from apps.core import blobs
from apps.credentials import services as credentials
from apps.credentials.choices import Kind

_TOKEN_OUTLIVES = timedelta(days=1)  # a job that ends while the platform is away still reports when it returns
_TOKEN_WITHOUT_LIMIT = timedelta(days=30)


# MLflow's client knows no file for its token; so it is read where the job begins, and stands in no plan and no table.
_FOR_MLFLOW = 'MLFLOW_TRACKING_TOKEN="$(cat "$FATHOM_TOKEN_FILE")"; export MLFLOW_TRACKING_TOKEN'


def build_spec(workload: Workload, attempt: Attempt) -> WorkloadSpec:
    """Return the full specification of an attempt. The same attempt always yields the same, token included.

    Judges anew whether the submitter may use the credentials it names. Raises: credentials.Refused, KeyUnavailable,
    SealBroken.
    """
    template = workload.template
    limit = None if workload.timeout_seconds is None else timedelta(seconds=workload.timeout_seconds)
    run_id = workload.subject.partition(":")[2]
    token = accounts.issue_run_token(
        workload.user,
        bound_to=workload.subject,
        purpose=f"attempt {attempt.pk}",
        scopes=template["token_scopes"],
        expires_in=limit + _TOKEN_OUTLIVES if limit else _TOKEN_WITHOUT_LIMIT,
    )
    cpu, memory, gpu, disk = template["resources"]
    given = credentials.deliver(
        template.get("credentials", ()),
        user_id=workload.user_id,
        subject=workload.subject,
        attempt=attempt.pk,
        number=attempt.no,
    )
    tracks = RUN_FOR_MLFLOW in template["env"]
    return WorkloadSpec(
        command=_after(
            "\n".join(filter(None, [given.first, _FOR_MLFLOW if tracks else ""])), tuple(template["command"])
        ),
        env={
            **({"MLFLOW_TRACKING_URI": settings.FATHOM_URL} if tracks else {}),
            **given.env,
            **template["env"],
            "FATHOM_URL": settings.FATHOM_URL,
            "FATHOM_RUN_ID": run_id,
            "FATHOM_EXPERIMENT_ID": run_id,
            "FATHOM_ATTEMPT": str(attempt.no),
        },
        secrets={**given.secrets, "FATHOM_TOKEN": token},
        resources=Resources(cpu_milli=cpu, memory_bytes=memory, gpu_milli=gpu, disk_bytes=disk),
        code=_archive(_code(template)),
        timeout=limit,
        max_log_bytes=settings.LOG_LIMIT_BYTES,
        labels={"workload": str(workload.pk), "attempt": str(attempt.no)},
    )


def _after(first: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return `command`, with a shell line before it that ends the job when it fails."""
    return ("/bin/sh", "-c", f'{first}\nexec "$@"', "fathom", *command) if first else command


def explained(workload: Workload, seen: Observation) -> Observation:
    """Return what the backend saw, in words where the exit code is one that our own line before the command gave."""
    has_keytab = any(entry["kind"] == Kind.KEYTAB for entry in workload.template.get("credentials", ()))
    if not has_keytab or seen.reason != "ExitCode" or seen.exit_code != credentials.KINIT_FAILED:
        return seen
    said = "kinit failed before the command was started: the keytab was refused, or the KDC did not answer; see the log"
    return replace(seen, reason="KinitFailed", message=said)


def _code(template: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the archive of its code, uploaded or fetched; None for work without any."""
    source = template.get("source")
    code: dict[str, Any] | None = handlers.sources().archive(source) if source else template["code"]
    return code


def _archive(code: dict[str, object] | None) -> CodeArchive | None:
    if code is None:
        return None
    sha = str(code["sha256"])
    return CodeArchive(sha, str(blobs.local_path(sha)), str(code["format"]), int(str(code["size_bytes"])))
