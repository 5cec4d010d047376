from django.db.models import TextChoices


class Relation(TextChoices):
    """How what was made came from its source, read from the source: "trained", "became" …"""

    INPUT = "input", "went into"
    CODE = "code", "is the code of"
    ENVIRONMENT = "environment", "is the environment of"
    PRODUCED = "produced", "produced"


class ThingKind(TextChoices):
    """What is known by its name and digest only, until it has a page of its own."""

    DATASET = "dataset", "Dataset version"
    CODE = "code", "Code"
    ENVIRONMENT = "environment", "Environment"


class Direction(TextChoices):
    UP = "up", "What it came from"
    DOWN = "down", "What became of it"
    BOTH = "both", "Both"
