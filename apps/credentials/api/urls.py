from rest_framework.routers import SimpleRouter

from apps.credentials.api import views

router = SimpleRouter()
router.register("credentials", views.CredentialViewSet, basename="api-credential")

urlpatterns = router.urls
