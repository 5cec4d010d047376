"""From a workload to what its backend is given."""

from datetime import timedelta

from django.conf import settings

from apps.accounts import services as accounts
from apps.compute.contract import CodeArchive, Resources, WorkloadSpec
from apps.compute.models import Attempt, Workload
from apps.core import blobs

_TOKEN_OUTLIVES = timedelta(days=1)  # a job that ends while the platform is away still reports when it returns
_TOKEN_WITHOUT_LIMIT = timedelta(days=30)


def build_spec(workload: Workload, attempt: Attempt) -> WorkloadSpec:
    """Return the full specification of an attempt. The same attempt always yields the same, token included."""
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
    return WorkloadSpec(
        command=tuple(template["command"]),
        env={
            **template["env"],
            "FATHOM_URL": settings.FATHOM_URL,
            "FATHOM_RUN_ID": run_id,
            "FATHOM_EXPERIMENT_ID": run_id,
            "FATHOM_ATTEMPT": str(attempt.no),
        },
        secrets={"FATHOM_TOKEN": token},
        resources=Resources(cpu_milli=cpu, memory_bytes=memory, gpu_milli=gpu, disk_bytes=disk),
        code=_archive(template["code"]),
        timeout=limit,
        max_log_bytes=settings.LOG_LIMIT_BYTES,
        labels={"workload": str(workload.pk), "attempt": str(attempt.no)},
    )


def _archive(code: dict[str, object] | None) -> CodeArchive | None:
    if code is None:
        return None
    sha = str(code["sha256"])
    return CodeArchive(sha, str(blobs.path_of(sha)), str(code["format"]), int(str(code["size_bytes"])))
