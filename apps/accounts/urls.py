from django.urls import path

from apps.accounts.views import account, elevation, entering

urlpatterns = [
    path("login/", entering.LoginView.as_view(), name="login"),
    path("logout/", entering.LogoutView.as_view(), name="logout"),
    path("setup/<str:token>/", entering.SetupView.as_view(), name="setup"),
    path("reset/<str:token>/", account.ResetView.as_view(), name="reset"),
    path("seeing/stop/", entering.SeeingStopView.as_view(), name="seeing-stop"),
    path("elevate/", elevation.ElevateView.as_view(), name="elevate"),
    path("elevate/end/", elevation.ElevationEndView.as_view(), name="elevation-end"),
    path("account/", account.AccountView.as_view(), name="account"),
    path("account/password/", account.PasswordView.as_view(), name="account-password"),
    path("account/second-factor/", account.SecondFactorView.as_view(), name="second-factor"),
    path("account/second-factor/confirm/", account.SecondFactorConfirmView.as_view(), name="second-factor-confirm"),
    path("account/second-factor/off/", account.SecondFactorOffView.as_view(), name="second-factor-off"),
    path("account/sessions/end-others/", account.OtherSessionsEndView.as_view(), name="sessions-end-others"),
    path("account/sessions/<uuid:pk>/end/", account.SessionEndView.as_view(), name="session-end"),
    path("tokens/", entering.TokenListView.as_view(), name="token-list"),
    path("tokens/<uuid:pk>/revoke/", entering.TokenRevokeView.as_view(), name="token-revoke"),
    path("tokens/<uuid:pk>/addresses/", entering.TokenAddressesView.as_view(), name="token-addresses"),
    path("register/", entering.RegisterView.as_view(), name="register"),
    path("tokens/<uuid:pk>/rotate/", entering.TokenRotateView.as_view(), name="token-rotate"),
]
