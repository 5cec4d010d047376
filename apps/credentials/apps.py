from django.apps import AppConfig
from django.core.checks import Tags, register
from typing_extensions import override


class CredentialsConfig(AppConfig):
    name = "apps.credentials"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import handlers  # noqa: PLC0415 -- models must be loaded first
        from apps.core import sealing  # noqa: PLC0415 -- as above
        from apps.credentials import checks, crypto, policies, services  # noqa: PLC0415 -- as above
        from apps.credentials.models import Credential  # noqa: PLC0415 -- as above

        policies.declare()
        handlers.before_transfer(Credential, services.fit_for_heir)
        sealing.declare(crypto.WRAPPED)
        register(checks.key_ring_is_there, Tags.security, deploy=True)
