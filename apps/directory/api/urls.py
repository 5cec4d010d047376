from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.directory.api import views

router = SimpleRouter()
router.register("directory/rules", views.RuleViewSet, basename="api-directory-rule")
router.register("directory/sync", views.SyncViewSet, basename="api-directory-sync")

urlpatterns = [
    path("directory/preview/", views.PreviewView.as_view({"get": "retrieve"}), name="api-directory-preview"),
    *router.urls,
]
