from django.apps import AppConfig
from typing_extensions import override


class SourcesConfig(AppConfig):
    name = "apps.sources"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.compute import handlers as compute  # noqa: PLC0415 -- models must be loaded first
        from apps.sources import policies, services  # noqa: PLC0415 -- as above
        from apps.sources.models import Fetch  # noqa: PLC0415 -- as above
        from apps.storage.handlers import register_holder  # noqa: PLC0415 -- as above

        policies.declare()
        register_holder("sources", Fetch.objects.ready)
        compute.provide_sources(services.Provider())
        for name in ("sources", "sources-2", "sources-3", "sources-4"):  # they mostly wait, for servers
            compute.run_loop(compute.ExtraLoop(name, services.fetch_due, every_seconds=1.0))
