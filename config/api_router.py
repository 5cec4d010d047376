"""Every route of /api/v2/, by app."""

from django.urls import include, path
from drf_spectacular.views import SpectacularJSONAPIView

urlpatterns = [
    path("schema/", SpectacularJSONAPIView.as_view(authentication_classes=[]), name="api-schema"),
    path("", include("apps.teams.api.urls")),  # before accounts: users/import/ is a word there, and no name
    path("", include("apps.accounts.api.urls")),
    path("", include("apps.credentials.api.urls")),
    path("", include("apps.directory.api.urls")),
    path("", include("apps.sharing.api.urls")),
    path("", include("apps.budgets.api.urls")),
    path("", include("apps.quotas.api.urls")),
    path("", include("apps.compute.api.urls")),
    path("", include("apps.tracking.api.urls")),
    path("", include("apps.lineage.api.urls")),
    path("", include("apps.environments.api.urls")),
    path("", include("apps.experiments.api.urls")),
    path("", include("apps.models.api.urls")),
    path("", include("apps.portal.api.urls")),
]
