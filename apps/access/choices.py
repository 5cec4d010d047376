from django.db.models import TextChoices


class Visibility(TextChoices):
    """Who may view an object beside its owner, its team's members by their role, and those it was shared with."""

    PRIVATE = "private", "Private"
    TEAM = "team", "Team"
    ORGANIZATION = "organization", "Organization"
    PUBLIC = "public", "Everyone here"
