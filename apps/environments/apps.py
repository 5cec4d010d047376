from django.apps import AppConfig
from typing_extensions import override


class EnvironmentsConfig(AppConfig):
    name = "apps.environments"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import handlers as people  # noqa: PLC0415 -- models must be loaded first
        from apps.compute import handlers as compute  # noqa: PLC0415 -- as above
        from apps.environments import policies, services  # noqa: PLC0415 -- as above
        from apps.environments.models import Environment  # noqa: PLC0415 -- as above
        from apps.environments.nodes import VERSIONS  # noqa: PLC0415 -- as above
        from apps.lineage.registry import register_kind  # noqa: PLC0415 -- as above

        policies.declare()
        people.before_transfer(Environment, services.make_room_for)
        register_kind(VERSIONS)
        compute.provide_environments(services.Provider())
        for name in ("builds", "builds-2"):  # two at a time: a long build does not keep all others waiting
            compute.run_loop(compute.ExtraLoop(name, services.build_due, every_seconds=1.0))
        compute.run_loop(compute.ExtraLoop("unused-builds", services.remove_unused, every_seconds=3600.0))
