from django.urls import path

from apps.directory import views

urlpatterns = [path("login/oidc/", views.OidcLoginView.as_view(), name="login-oidc")]
