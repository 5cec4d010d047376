"""Every page and the API. Native routes and websockets are beside it, in `config.asgi`."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v2/", include("config.api_router")),
    path("", include("apps.portal.urls")),
    path("", include("apps.mlflow.urls")),
    path("", include("apps.accounts.urls")),
    path("", include("apps.teams.urls")),
    path("", include("apps.credentials.urls")),
    path("", include("apps.directory.urls")),
    path("", include("apps.sharing.urls")),
    path("", include("apps.lineage.urls")),
    path("", include("apps.environments.urls")),
    path("", include("apps.experiments.urls")),
    path("", include("apps.models.urls")),
]

handler400 = "apps.portal.failures.bad_request"
handler403 = "apps.portal.failures.permission_denied"
handler404 = "apps.portal.failures.not_found"
handler500 = "apps.portal.failures.server_error"
