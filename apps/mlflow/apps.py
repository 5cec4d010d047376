from django.apps import AppConfig


class MlflowConfig(AppConfig):
    """MLflow's wire: translators onto the services of the other apps. It has no models and writes nothing itself."""

    name = "apps.mlflow"
    default_auto_field = "django.db.models.BigAutoField"
