from django.db.models import TextChoices


class PlatformRole(TextChoices):
    """What one is to the whole platform, beside one's teams."""

    NONE = "", "None"
    ADMIN = "admin", "Admin"  # may everything, while he acts as one
    AUDITOR = "auditor", "Auditor"  # reads everything, changes nothing


class TokenKind(TextChoices):
    PERSONAL = "pat", "Personal"
    SERVICE = "svc", "Service account"
    RUN = "run", "Run"
