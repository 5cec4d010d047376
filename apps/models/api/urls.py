from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.models.api import versions, views

router = SimpleRouter()
router.register("models", views.ModelViewSet, basename="api-model")
router.register("model-requests", views.MoveRequestViewSet, basename="api-model-request")

_VERSION = "models/<str:id>/versions/<str:version>/"

urlpatterns = [
    *router.urls,
    path(
        "models/<str:id>/aliases/<str:alias>/",
        views.AliasAPI.as_view({"put": "update", "delete": "destroy"}),
        name="api-model-alias",
    ),
    path(
        "models/<str:id>/protections/",
        views.ProtectionsAPI.as_view({"get": "list", "post": "create"}),
        name="api-model-protections",
    ),
    path(
        "models/<str:id>/protections/<str:rule>/",
        views.ProtectionsAPI.as_view({"delete": "destroy"}),
        name="api-model-protection",
    ),
    path("models/<str:id>/requests/", views.AskAPI.as_view({"post": "create"}), name="api-model-ask"),
    path(
        "models/<str:id>/versions/",
        versions.VersionViewSet.as_view({"get": "list", "post": "create"}),
        name="api-version-list",
    ),
    path("models/<str:id>/uploads/", versions.UploadAPI.as_view({"post": "create"}), name="api-version-upload"),
    path(
        _VERSION,
        versions.VersionViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="api-version",
    ),
    path(f"{_VERSION}stage/", versions.VersionViewSet.as_view({"post": "stage"}), name="api-version-stage"),
    path(f"{_VERSION}files/", versions.FilesAPI.as_view({"get": "list"}), name="api-version-files"),
    path(f"{_VERSION}archive/", versions.FilesAPI.as_view({"get": "archive"}), name="api-version-archive"),
    re_path(
        r"^models/(?P<id>[^/]+)/versions/(?P<version>[^/]+)/files/(?P<path>.+)$",
        versions.FilesAPI.as_view({"get": "retrieve"}),
        name="api-version-file",
    ),
]
