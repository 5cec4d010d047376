from django.apps import AppConfig


class LineageConfig(AppConfig):
    name = "apps.lineage"
    default_auto_field = "django.db.models.BigAutoField"
