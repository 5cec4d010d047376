from rest_framework.routers import SimpleRouter

from apps.compute.api.views import ClusterViewSet, PriorityClassViewSet

router = SimpleRouter()
router.register("clusters", ClusterViewSet, basename="api-cluster")
router.register("priority-classes", PriorityClassViewSet, basename="api-priority-class")
urlpatterns = router.urls
