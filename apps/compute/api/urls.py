from rest_framework.routers import SimpleRouter

from apps.compute.api.views import ClusterViewSet

router = SimpleRouter()
router.register("clusters", ClusterViewSet, basename="api-cluster")
urlpatterns = router.urls
