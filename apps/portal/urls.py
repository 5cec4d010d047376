from django.urls import path

from apps.portal import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    path("usage/", views.UsageView.as_view(), name="usage"),
    path("usage/statement/", views.StatementView.as_view(), name="usage-statement"),
    path("search/", views.SearchView.as_view(), name="search"),
    path("preferences/", views.PreferencesView.as_view(), name="preferences"),
]
