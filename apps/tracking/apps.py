from django.apps import AppConfig
from typing_extensions import override


class TrackingConfig(AppConfig):
    name = "apps.tracking"
    default_auto_field = "django.db.models.BigAutoField"

    @override
    def ready(self) -> None:
        from apps.accounts import handlers  # noqa: PLC0415 -- models must be loaded first
        from apps.budgets.handlers import name_subjects  # noqa: PLC0415 -- as above
        from apps.storage.handlers import register_expiry, register_holder  # noqa: PLC0415 -- as above
        from apps.tracking import policies  # noqa: PLC0415 -- as above
        from apps.tracking.charged import projects_of  # noqa: PLC0415 -- as above
        from apps.tracking.models import Artifact, Project  # noqa: PLC0415 -- as above
        from apps.tracking.querysets import HOLDER  # noqa: PLC0415 -- as above
        from apps.tracking.services import make_room_for, retention, uploads  # noqa: PLC0415 -- as above

        policies.declare()
        handlers.before_transfer(Project, make_room_for)
        name_subjects(projects_of)
        register_holder(HOLDER, Artifact.objects.all)
        register_expiry(uploads.Expiry())
        register_expiry(retention.Expiry())
