from django.apps import AppConfig
from typing_extensions import override


class AccessConfig(AppConfig):
    name = "apps.access"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.access import auditing, saved_filters  # noqa: PLC0415 -- models must be loaded first

        auditing.declare()
        saved_filters.declare()
