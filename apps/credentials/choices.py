from django.db.models import TextChoices


class Kind(TextChoices):
    """What a credential opens."""

    GIT_HTTPS = "git_https", "Git over https"
    GIT_SSH = "git_ssh", "Git over ssh"
    REGISTRY = "registry", "Container registry"
    S3 = "s3", "S3 keys"
    DATABASE = "database", "Database URL"
    KEYTAB = "keytab", "Kerberos keytab"
    GENERIC = "generic", "Anything else"
