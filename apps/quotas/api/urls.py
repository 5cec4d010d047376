from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.quotas.api import views

router = SimpleRouter()
router.register("quotas", views.QuotaViewSet, basename="api-quota")
router.register("allocation-requests", views.AllocationRequestViewSet, basename="api-allocation-request")

urlpatterns = [
    *router.urls,
    path("resources/", views.ResourceView.as_view({"get": "list", "post": "create"}), name="api-resource-list"),
    path(
        "resources/<str:name>/",
        views.ResourceView.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="api-resource-detail",
    ),
]
