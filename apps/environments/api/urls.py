from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.environments.api import versions, views

router = SimpleRouter()
router.register("environments", views.EnvironmentViewSet, basename="api-environment")

_VERSION = "environments/<str:id>/versions/<str:number>/"

urlpatterns = [
    *router.urls,
    path(
        "environments/<str:id>/versions/",
        versions.EnvironmentVersionViewSet.as_view({"get": "list", "post": "create"}),
        name="api-environment-version-list",
    ),
    path(_VERSION, versions.EnvironmentVersionViewSet.as_view({"get": "retrieve"}), name="api-environment-version"),
    path(f"{_VERSION}builds/", versions.BuildsAPI.as_view({"post": "create"}), name="api-environment-build"),
    path(
        f"{_VERSION}builds/<str:cluster>/",
        versions.BuildsAPI.as_view({"get": "retrieve"}),
        name="api-environment-build-log",
    ),
]
