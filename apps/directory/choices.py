from django.db.models import TextChoices

from apps.accounts.choices import IdentitySource

DIRECTORIES = [(source.value, str(source.label)) for source in (IdentitySource.LDAP, IdentitySource.OIDC)]


class Outcome(TextChoices):
    """How a sync ended."""

    DONE = "done", "Done"
    HELD = "held", "Held back"  # it would have shut out too many: nothing was changed
    FAILED = "failed", "Failed"  # the directory did not answer: nothing was changed
