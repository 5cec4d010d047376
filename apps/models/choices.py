from django.db.models import TextChoices


class Stage(TextChoices):
    """MLflow's words, so that its clients read them as they are."""

    NONE = "None", "None"
    STAGING = "Staging", "Staging"
    PRODUCTION = "Production", "Production"
    ARCHIVED = "Archived", "Archived"


class Target(TextChoices):
    """What is moved from version to version, and what a rule protects."""

    ALIAS = "alias", "Alias"
    STAGE = "stage", "Stage"


class RequestState(TextChoices):
    OPEN = "open", "Waiting"
    DONE = "done", "Moved"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Operator(TextChoices):
    AT_LEAST = ">=", "at least"
    AT_MOST = "<=", "at most"
    ABOVE = ">", "above"
    BELOW = "<", "below"
    EQUAL = "==", "exactly"
