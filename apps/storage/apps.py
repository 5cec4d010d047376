from django.apps import AppConfig
from typing_extensions import override


class StorageConfig(AppConfig):
    name = "apps.storage"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.core import blobs  # noqa: PLC0415 -- models must be loaded first
        from apps.storage import policies, services  # noqa: PLC0415 -- as above

        policies.declare()
        blobs.before_publishing(services.note_blob)
