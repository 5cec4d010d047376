from django.apps import AppConfig
from typing_extensions import override


class SharingConfig(AppConfig):
    name = "apps.sharing"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.sharing import policies  # noqa: PLC0415 -- models must be loaded first

        policies.declare()
