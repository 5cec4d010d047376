from django.apps import AppConfig
from django.urls import reverse
from typing_extensions import override


class DirectoryConfig(AppConfig):
    name = "apps.directory"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import proof, providers  # noqa: PLC0415 -- models must be loaded first
        from apps.accounts.choices import IdentitySource  # noqa: PLC0415 -- as above
        from apps.directory import checks, policies, registry, services  # noqa: F401, PLC0415 -- as above; the checks register themselves
        from apps.directory.config import ldap_config, oidc_config  # noqa: PLC0415 -- as above
        from apps.directory.ldap.provider import LdapProvider  # noqa: PLC0415 -- as above
        from apps.directory.person import Person  # noqa: PLC0415 -- as above

        def button() -> providers.Button | None:
            config = oidc_config()
            return providers.Button(config.name, reverse("login-oidc")) if config else None

        def everybody() -> list[Person] | None:
            if (config := ldap_config()) is None:
                return None
            from apps.directory.ldap.reading import read_people  # noqa: PLC0415 -- needs python-ldap

            return read_people(config)

        def anew(wanted: str) -> str:
            return reverse("login-oidc", query={"anew": "1", "next": wanted})

        policies.declare()
        proof.register(proof.Elsewhere(lambda user: user.identity_source == IdentitySource.LDAP))
        proof.register(proof.Elsewhere(lambda user: user.identity_source == IdentitySource.OIDC, anew))
        registry.register_reader(IdentitySource.LDAP, everybody)
        providers.register_passwords(LdapProvider(services.enter))
        providers.register_redirect(IdentitySource.OIDC, button)
