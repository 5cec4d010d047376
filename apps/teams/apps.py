from django.apps import AppConfig
from typing_extensions import override


class TeamsConfig(AppConfig):
    name = "apps.teams"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.access import memberships  # noqa: PLC0415 -- models must be loaded first
        from apps.accounts import handlers  # noqa: PLC0415 -- as above
        from apps.audit import organizations  # noqa: PLC0415 -- as above
        from apps.teams import policies, services, tenancy  # noqa: PLC0415 -- as above
        from apps.teams.services import leaving  # noqa: PLC0415 -- as above

        organizations.provide(tenancy.directory())
        memberships.provide(services.memberships_of)
        policies.declare()
        # Assets before memberships: these say whose the assets could be.
        for handler in (leaving.settle_assets, leaving.settle_invitations, leaving.settle_memberships):
            handlers.on_offboard(handler)
