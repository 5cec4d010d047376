from uuid import UUID

from django.urls import path, register_converter
from django.urls.converters import UUIDConverter
from typing_extensions import override

from apps.experiments.views import actions, asking, bulk, compare, detail, lists, projects, runs, saved, submit, table


class RunIdConverter(UUIDConverter):
    """The id of a run also as MLflow's client writes it: without dashes."""

    regex = r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}"

    @override
    def to_python(self, value: str) -> UUID:
        return UUID(value)


register_converter(RunIdConverter, "run")

urlpatterns = [
    path("experiments/", lists.ExperimentListView.as_view(), name="experiment-list"),
    path("experiments/new/", submit.SubmitView.as_view(), name="experiment-new"),
    path("experiments/new/preview/", submit.PreviewView.as_view(), name="experiment-preview"),
    path("experiments/bulk/", lists.BulkView.as_view(), name="experiment-bulk"),
    path("experiments/compare/", compare.OldCompareView.as_view(), name="experiment-compare"),
    path("experiments/<uuid:pk>/", detail.OverviewView.as_view(), name="experiment"),
    path("experiments/<uuid:pk>/metrics/", detail.MetricsView.as_view(), name="experiment-metrics"),
    path("experiments/<uuid:pk>/media/", detail.MediaView.as_view(), name="experiment-media"),
    path("experiments/<uuid:pk>/logs/", detail.LogsView.as_view(), name="experiment-logs"),
    path("experiments/<uuid:pk>/artifacts/", detail.ArtifactsView.as_view(), name="experiment-artifacts"),
    path("experiments/<uuid:pk>/events/", detail.EventsView.as_view(), name="experiment-events"),
    path("experiments/<uuid:pk>/history/", detail.HistoryView.as_view(), name="experiment-history"),
    path("experiments/<uuid:pk>/status/", detail.StatusView.as_view(), name="experiment-status"),
    path("experiments/<uuid:pk>/why/", detail.WhyView.as_view(), name="experiment-why"),
    path("experiments/<uuid:pk>/stop/", actions.StopView.as_view(), name="experiment-stop"),
    path("experiments/<uuid:pk>/retry/", actions.RetryView.as_view(), name="experiment-retry"),
    path("experiments/<uuid:pk>/delete/", actions.DeleteView.as_view(), name="experiment-delete"),
    path("experiments/<uuid:pk>/clone/", submit.CloneView.as_view(), name="experiment-clone"),
    path("projects/", projects.ProjectListView.as_view(), name="project-list"),
    path("projects/<uuid:pk>/", table.ProjectView.as_view(), name="project"),
    path("projects/<uuid:pk>/keys/", asking.KeysView.as_view(), name="project-keys"),
    path("projects/<uuid:pk>/complete/", asking.CompleteView.as_view(), name="project-complete"),
    path("projects/<uuid:pk>/bulk/", bulk.RunBulkView.as_view(), name="project-bulk"),
    path("projects/<uuid:pk>/views/", saved.ViewsView.as_view(), name="project-views"),
    path("projects/<uuid:pk>/views/<uuid:view>/", saved.ViewView.as_view(), name="project-view"),
    path("runs/compare/", compare.CompareView.as_view(), name="run-compare"),
    path("runs/<run:pk>/", runs.RunView.as_view(), name="run"),
    path("runs/<run:pk>/metrics/", runs.RunMetricsView.as_view(), name="run-metrics"),
    path("runs/<run:pk>/media/", runs.RunMediaView.as_view(), name="run-media"),
    path("runs/<run:pk>/artifacts/", runs.RunArtifactsView.as_view(), name="run-artifacts"),
    path("runs/<run:pk>/history/", runs.RunHistoryView.as_view(), name="run-history"),
    path("runs/<run:pk>/status/", runs.RunStatusView.as_view(), name="run-status"),
    path("runs/<run:pk>/rename/", runs.RunRenameView.as_view(), name="run-rename"),
    path("runs/<run:pk>/finish/", runs.RunFinishView.as_view(), name="run-finish"),
    path("runs/<run:pk>/delete/", runs.RunDeleteView.as_view(), name="run-delete"),
    path("runs/<run:pk>/restore/", runs.RunRestoreView.as_view(), name="run-restore"),
]
