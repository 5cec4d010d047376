from django.db.models import TextChoices

ADMIN_SCOPE = "admin"  # through a token that carries it, an admin acts as one; "all" does not include it


class Visibility(TextChoices):
    """Who may view an object beside its owner, its team's members by their role, and those it was shared with."""

    PRIVATE = "private", "Private"
    TEAM = "team", "Team"
    ORGANIZATION = "organization", "Organization"
    PUBLIC = "public", "Everyone here"
