from django.apps import AppConfig
from django.core.checks import Tags, register
from typing_extensions import override


class CredentialsConfig(AppConfig):
    name = "apps.credentials"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.core import sealing  # noqa: PLC0415 -- models must be loaded first
        from apps.credentials import checks, crypto, policies  # noqa: PLC0415 -- as above

        policies.declare()
        sealing.declare(crypto.WRAPPED)
        register(checks.key_ring_is_there, Tags.security, deploy=True)
