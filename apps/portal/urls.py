from django.urls import path

from apps.portal.views import allocations, home, usage

urlpatterns = [
    path("", home.HomeView.as_view(), name="home"),
    path("usage/", usage.UsageView.as_view(), name="usage"),
    path("usage/statement/", usage.StatementView.as_view(), name="usage-statement"),
    path("usage/queue/", usage.QueueView.as_view(), name="usage-queue"),
    path("usage/teams/<slug:slug>/<str:username>/", usage.MemberView.as_view(), name="usage-member"),
    path("usage/ask/", allocations.AskView.as_view(), name="usage-ask"),
    path("usage/requests/", allocations.AllocationsView.as_view(), name="usage-requests"),
    path("usage/requests/<uuid:pk>/decide/", allocations.AllocationDecideView.as_view(), name="usage-request-decide"),
    path(
        "usage/requests/<uuid:pk>/withdraw/",
        allocations.AllocationWithdrawView.as_view(),
        name="usage-request-withdraw",
    ),
    path("search/", home.SearchView.as_view(), name="search"),
    path("preferences/", home.PreferencesView.as_view(), name="preferences"),
]
