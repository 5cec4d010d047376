from django.apps import AppConfig
from typing_extensions import override


class ModelsConfig(AppConfig):
    name = "apps.models"
    label = "registry"  # "models" would be the name of every app's own module
    verbose_name = "Models"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import handlers  # noqa: PLC0415 -- models must be loaded first
        from apps.lineage.registry import register_kind  # noqa: PLC0415 -- as above
        from apps.models import policies, services  # noqa: PLC0415 -- as above
        from apps.models.downloads import serve  # noqa: PLC0415 -- as above
        from apps.models.models import RegisteredModel, VersionFile  # noqa: PLC0415 -- as above
        from apps.models.nodes import VERSIONS  # noqa: PLC0415 -- as above
        from apps.storage.handlers import register_holder  # noqa: PLC0415 -- as above

        policies.declare()
        register_holder("models", VersionFile.objects.all)
        handlers.before_transfer(RegisteredModel, services.make_room_for)
        register_kind(VERSIONS)
        serve()
