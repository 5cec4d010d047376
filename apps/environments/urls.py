from django.urls import path

from apps.environments.views import making, pages, version

_VERSION = "environments/<uuid:pk>/versions/<int:number>/"

urlpatterns = [
    path("environments/", pages.EnvironmentListView.as_view(), name="environment-list"),
    path("environments/new/", making.NewEnvironmentView.as_view(), name="environment-new"),
    path("environments/<uuid:pk>/", pages.EnvironmentView.as_view(), name="environment"),
    path("environments/<uuid:pk>/history/", pages.HistoryView.as_view(), name="environment-history"),
    path("environments/<uuid:pk>/edit/", making.EditView.as_view(), name="environment-edit"),
    path("environments/<uuid:pk>/delete/", making.DeleteView.as_view(), name="environment-delete"),
    path("environments/<uuid:pk>/versions/new/", making.NewVersionView.as_view(), name="environment-add"),
    path(_VERSION, version.VersionView.as_view(), name="environment-version"),
    path(f"{_VERSION}build/", version.BuildView.as_view(), name="environment-build"),
]
