"""States, and the only transitions between them."""

from django.db.models import TextChoices


class State(TextChoices):
    QUEUED = "queued", "Queued"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    STOPPED = "stopped", "Stopped"
    LOST = "lost", "Lost"


class DesiredState(TextChoices):
    RUN = "run", "Run"
    STOP = "stop", "Stop"


class OpenTo(TextChoices):
    """Who may give a priority class to his work."""

    EVERYONE = "everyone", "Everyone"
    MAINTAINERS = "maintainers", "Maintainers of the team"
    ADMINS = "admins", "Admins"


class ClusterState(TextChoices):
    OK = "ok", "OK"
    DOWN = "down", "Down"
    UNKNOWN = "unknown", "Not checked yet"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.STOPPED, State.LOST})
ON_BACKEND = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
ACTIVE = frozenset({State.QUEUED, *ON_BACKEND})

_ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.STOPPED, State.LOST})

# A finished workload leaves its state in one way only: somebody asks for a new attempt. An attempt never does.
TRANSITIONS: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.STARTING, State.STOPPED, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.QUEUED, *_ENDED}),
    State.RUNNING: frozenset({State.STOPPING, State.QUEUED, *_ENDED}),
    State.STOPPING: frozenset({State.QUEUED, *_ENDED}),  # queued again: it was preempted
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.STOPPED: frozenset({State.QUEUED}),
    State.LOST: frozenset({State.QUEUED}),
}

# Which loop looks at a state, and how often when no hint comes (seconds).
POLL_SECONDS: dict[str, float] = {
    State.QUEUED: 1.0,
    State.STARTING: 0.25,
    State.RUNNING: 1.0,
    State.STOPPING: 0.25,
}

RUN_FOR_MLFLOW = (
    "MLFLOW_RUN_ID"  # a job with this variable is given what MLflow's client needs besides to log to its run
)
