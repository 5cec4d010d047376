from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.tracking.api import views

router = SimpleRouter()
router.register("projects", views.ProjectViewSet, basename="api-project")
router.register("runs", views.RunViewSet, basename="api-run")

urlpatterns = [
    *router.urls,
    path("runs/<str:id>/artifacts/", views.FolderView.as_view({"get": "list"}), name="api-artifacts"),
    re_path(
        r"^runs/(?P<id>[^/]+)/artifacts/(?P<path>.+)$",
        views.ArtifactView.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="api-artifact",
    ),
]
