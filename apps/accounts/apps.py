from django.apps import AppConfig
from typing_extensions import override

from apps.core import sealing


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import policies  # noqa: PLC0415 -- models must be loaded first

        policies.declare()
        sealing.declare(
            sealing.Column("accounts.SecondFactor", "seed", lambda row: f"totp|{row.user_id}"),
        )
