from django.apps import AppConfig
from typing_extensions import override


class TeamsConfig(AppConfig):
    name = "apps.teams"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.access import memberships  # noqa: PLC0415 -- models must be loaded first
        from apps.teams import policies, services  # noqa: PLC0415 -- as above

        memberships.provide(services.memberships_of)
        policies.declare()
