from django.urls import path

from apps.accounts import views

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("setup/<str:token>/", views.SetupView.as_view(), name="setup"),
    path("seeing/stop/", views.SeeingStopView.as_view(), name="seeing-stop"),
    path("tokens/", views.TokenListView.as_view(), name="token-list"),
    path("tokens/<uuid:pk>/revoke/", views.TokenRevokeView.as_view(), name="token-revoke"),
]
