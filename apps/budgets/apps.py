from django.apps import AppConfig
from typing_extensions import override


class BudgetsConfig(AppConfig):
    name = "apps.budgets"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.budgets import policies  # noqa: PLC0415 -- models must be loaded first
        from apps.budgets.services import raising  # noqa: PLC0415 -- as above

        policies.declare()
        raising.register()
