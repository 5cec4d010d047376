from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.teams.api import joining, views

router = SimpleRouter()
router.register("teams", views.TeamViewSet, basename="api-team")
router.register("organizations", views.OrganizationViewSet, basename="api-organization")
router.register("invitations", joining.InvitationViewSet, basename="api-invitation")

_accounts = joining.ServiceAccountViewSet
_BASE = "teams/<slug:slug>/service-accounts/"

urlpatterns = [
    path("users/import/", views.ImportView.as_view({"post": "create"}), name="api-user-import"),
    path(_BASE, _accounts.as_view({"get": "list", "post": "create"}), name="api-service-account-list"),
    path(
        f"{_BASE}<str:name>/",
        _accounts.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="api-service-account-detail",
    ),
    path(f"{_BASE}<str:name>/tokens/", _accounts.as_view({"post": "create_token"}), name="api-service-account-token"),
    *router.urls,
]
