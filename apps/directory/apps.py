from django.apps import AppConfig
from django.urls import reverse
from typing_extensions import override


class DirectoryConfig(AppConfig):
    name = "apps.directory"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import providers  # noqa: PLC0415 -- models must be loaded first
        from apps.accounts.choices import IdentitySource  # noqa: PLC0415 -- as above
        from apps.directory import checks, policies  # noqa: F401, PLC0415 -- as above; importing the checks registers them
        from apps.directory.config import oidc_config  # noqa: PLC0415 -- as above
        from apps.directory.ldap.provider import LdapProvider  # noqa: PLC0415 -- as above

        def button() -> providers.Button | None:
            config = oidc_config()
            return providers.Button(config.name, reverse("login-oidc")) if config else None

        policies.declare()
        providers.register_passwords(LdapProvider())
        providers.register_redirect(IdentitySource.OIDC, button)
