from django.db.models import TextChoices


class BuildState(TextChoices):
    QUEUED = "queued", "Queued"
    BUILDING = "building", "Building"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    REMOVING = "removing", "Being removed"
    REMOVED = "removed", "Removed"


LEASED = frozenset({BuildState.BUILDING, BuildState.REMOVING})  # a worker is at it
ON_ITS_WAY = frozenset({BuildState.QUEUED, BuildState.BUILDING})
