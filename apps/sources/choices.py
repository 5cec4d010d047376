from django.db.models import TextChoices


class FetchState(TextChoices):
    QUEUED = "queued", "Queued"
    FETCHING = "fetching", "Being fetched"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class SourceKind(TextChoices):
    GIT = "git", "git"
    ARCHIVE = "archive", "Archive"
