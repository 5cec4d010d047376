from django.db.models import TextChoices


class TokenKind(TextChoices):
    PERSONAL = "pat", "Personal"
    RUN = "run", "Run"
