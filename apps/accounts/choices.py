from django.db.models import TextChoices

GUESSES = 5  # so many wrong passwords of one name, or from one address, within an hour look like guessing


class PlatformRole(TextChoices):
    """What one is to the whole platform, beside one's teams."""

    NONE = "", "None"
    ADMIN = "admin", "Admin"  # may everything, while he acts as one
    AUDITOR = "auditor", "Auditor"  # reads everything, changes nothing


class TokenKind(TextChoices):
    PERSONAL = "pat", "Personal"
    SERVICE = "svc", "Service account"
    RUN = "run", "Run"
