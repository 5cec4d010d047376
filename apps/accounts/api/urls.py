from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.accounts.api import people, schema, views

__all__ = ["schema", "urlpatterns"]  # importing the schema extension registers it

router = SimpleRouter()
router.register("tokens", views.TokenViewSet, basename="api-token")
router.register("users", people.UserViewSet, basename="api-user")
router.register("registrations", people.RegistrationViewSet, basename="api-registration")
router.register("sessions", views.SessionViewSet, basename="api-session")

urlpatterns = [
    path("me/", views.MeView.as_view({"get": "retrieve"}), name="api-me"),
    path("auth/login/", views.LoginView.as_view({"post": "create"}), name="api-login"),
    path("auth/elevate/", views.ElevationView.as_view({"post": "create"}), name="api-elevate"),
    path("auth/password/", views.PasswordView.as_view({"post": "create"}), name="api-password"),
    *router.urls,
]
