from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.sharing.api import views

router = SimpleRouter()
router.register("access/requests", views.AccessRequestViewSet, basename="api-access-request")

_OBJECT = "access/<slug:kind>/<uuid:id>"

urlpatterns = [
    *router.urls,
    path(f"{_OBJECT}/", views.AccessView.as_view({"get": "retrieve", "patch": "partial_update"}), name="api-access"),
    path(f"{_OBJECT}/why/", views.WhyView.as_view({"get": "retrieve"}), name="api-access-why"),
    path(f"{_OBJECT}/owner/", views.OwnerView.as_view({"post": "create"}), name="api-access-owner"),
    path(f"{_OBJECT}/requests/", views.AskView.as_view({"post": "create"}), name="api-access-ask"),
    path(
        f"{_OBJECT}/shares/<slug:subject_kind>/<str:name>/",
        views.ShareView.as_view({"put": "update", "delete": "destroy"}),
        name="api-share",
    ),
]
