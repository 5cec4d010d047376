from typing import Any

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.tracking.api import views
from apps.tracking.api.retention import RetentionView
from apps.tracking.api.saved_views import SavedViewViewSet
from apps.tracking.api.uploads import UploadsView, UploadView

_RETENTION: dict[str, Any] = {"get": "retrieve", "put": "update", "delete": "destroy"}

router = SimpleRouter()
router.register("projects", views.ProjectViewSet, basename="api-project")
router.register("runs", views.RunViewSet, basename="api-run")
router.register("saved-views", SavedViewViewSet, basename="api-saved-view")

urlpatterns = [
    *router.urls,
    path("projects/<str:id>/retention/", RetentionView.as_view(_RETENTION), name="api-retention"),
    path("runs/<str:id>/uploads/", UploadsView.as_view({"post": "create"}), name="api-uploads"),
    path("uploads/<str:id>/", UploadView.as_view({"get": "retrieve", "delete": "destroy"}), name="api-upload"),
    path("uploads/<str:id>/links/", UploadView.as_view({"post": "links"}), name="api-upload-links"),
    path("uploads/<str:id>/complete/", UploadView.as_view({"post": "complete"}), name="api-upload-complete"),
    path("runs/<str:id>/artifacts/", views.FolderView.as_view({"get": "list"}), name="api-artifacts"),
    re_path(
        r"^runs/(?P<id>[^/]+)/artifacts/(?P<path>.+)$",
        views.ArtifactView.as_view(
            {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
        ),
        name="api-artifact",
    ),
]
