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


class IdentitySource(TextChoices):
    """Who vouches for a person. An account has one source for ever."""

    LOCAL = "local", "Fathom"
    LDAP = "ldap", "LDAP"
    OIDC = "oidc", "OpenID Connect"


class Assets(TextChoices):
    """What becomes of what a leaver owns."""

    KEEP = "keep", "Keep: they stay his, and the teams' stay visible to the teams"
    TRANSFER = "transfer", "Transfer to somebody else"


class Jobs(TextChoices):
    """What becomes of a leaver's running jobs; those that wait are always cancelled."""

    STOP = "stop", "Stop them"
    LET_FINISH = "let_finish", "Let those that run finish"


class Belonging(TextChoices):
    """What becomes of a leaver's memberships."""

    KEEP = "keep", "Keep: who comes back is where he was"
    END = "end", "End"
