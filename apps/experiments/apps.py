from django.apps import AppConfig
from typing_extensions import override


class ExperimentsConfig(AppConfig):
    name = "apps.experiments"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.compute import handlers  # noqa: PLC0415 -- models must be loaded first
        from apps.experiments import policies, samples, services  # noqa: PLC0415 -- as above
        from apps.experiments.models import CodeUpload  # noqa: PLC0415 -- as above
        from apps.experiments.nodes import RUNS  # noqa: PLC0415 -- as above
        from apps.lineage.registry import register_kind  # noqa: PLC0415 -- as above
        from apps.sources.handlers import on_fetched  # noqa: PLC0415 -- as above
        from apps.storage.handlers import register_holder  # noqa: PLC0415 -- as above

        policies.declare()
        register_holder("code", CodeUpload.objects.all)
        handlers.on_workload_change(services.follow_workload)
        handlers.on_samples(samples.keep_samples)
        on_fetched(services.note_source)
        register_kind(RUNS)
