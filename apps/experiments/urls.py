from django.urls import path

from apps.experiments.views import actions, artifacts, compare, detail, lists, submit

urlpatterns = [
    path("experiments/", lists.ExperimentListView.as_view(), name="experiment-list"),
    path("experiments/new/", submit.SubmitView.as_view(), name="experiment-new"),
    path("experiments/new/preview/", submit.PreviewView.as_view(), name="experiment-preview"),
    path("experiments/bulk/", lists.BulkView.as_view(), name="experiment-bulk"),
    path("experiments/compare/", compare.CompareView.as_view(), name="experiment-compare"),
    path("experiments/<uuid:pk>/", detail.OverviewView.as_view(), name="experiment"),
    path("experiments/<uuid:pk>/metrics/", detail.MetricsView.as_view(), name="experiment-metrics"),
    path("experiments/<uuid:pk>/logs/", detail.LogsView.as_view(), name="experiment-logs"),
    path("experiments/<uuid:pk>/artifacts/", artifacts.ArtifactsView.as_view(), name="experiment-artifacts"),
    path("experiments/<uuid:pk>/events/", detail.EventsView.as_view(), name="experiment-events"),
    path("experiments/<uuid:pk>/history/", detail.HistoryView.as_view(), name="experiment-history"),
    path("experiments/<uuid:pk>/status/", detail.StatusView.as_view(), name="experiment-status"),
    path("experiments/<uuid:pk>/why/", detail.WhyView.as_view(), name="experiment-why"),
    path("experiments/<uuid:pk>/stop/", actions.StopView.as_view(), name="experiment-stop"),
    path("experiments/<uuid:pk>/retry/", actions.RetryView.as_view(), name="experiment-retry"),
    path("experiments/<uuid:pk>/delete/", actions.DeleteView.as_view(), name="experiment-delete"),
    path("experiments/<uuid:pk>/clone/", submit.CloneView.as_view(), name="experiment-clone"),
]
