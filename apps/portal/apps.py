from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalConfig(AppConfig):
    name = "apps.portal"
    default_auto_field = "django.db.models.BigAutoField"


class OperatorAdminConfig(AdminConfig):
    """Django's admin, with the operators' site in the place of the default one."""

    default_site = "apps.portal.admin_site.OperatorAdminSite"
