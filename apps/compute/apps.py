from django.apps import AppConfig
from typing_extensions import override


class ComputeConfig(AppConfig):
    name = "apps.compute"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import handlers  # noqa: PLC0415 -- models must be loaded first
        from apps.compute import offboarding, policies, services  # noqa: PLC0415 -- as above
        from apps.quotas import services as quotas  # noqa: PLC0415 -- as above

        policies.declare()
        handlers.on_offboard(offboarding.settle_jobs)
        quotas.register_use(services.use_of)
