from django.urls import path

from apps.models.views import approvals, lists, making, model, moving, version

_VERSION = "models/<uuid:pk>/versions/<int:number>/"

urlpatterns = [
    path("models/", lists.ModelListView.as_view(), name="registeredmodel-list"),
    path("models/new/", making.NewModelView.as_view(), name="registeredmodel-new"),
    path("models/register/<uuid:run>/", making.RegisterView.as_view(), name="registeredmodel-register"),
    path("models/approvals/", approvals.ApprovalsView.as_view(), name="registeredmodel-approvals"),
    path("models/approvals/<uuid:pk>/answer/", approvals.AnswerView.as_view(), name="registeredmodel-answer"),
    path("models/approvals/<uuid:pk>/withdraw/", approvals.WithdrawView.as_view(), name="registeredmodel-withdraw"),
    path("models/<uuid:pk>/", model.OverviewView.as_view(), name="registeredmodel"),
    path("models/<uuid:pk>/moves/", model.MovesView.as_view(), name="registeredmodel-moves"),
    path("models/<uuid:pk>/rules/", model.RulesView.as_view(), name="registeredmodel-rules"),
    path("models/<uuid:pk>/history/", model.HistoryView.as_view(), name="registeredmodel-history"),
    path("models/<uuid:pk>/compare/", model.CompareView.as_view(), name="registeredmodel-compare"),
    path("models/<uuid:pk>/edit/", making.EditView.as_view(), name="registeredmodel-edit"),
    path("models/<uuid:pk>/upload/", making.UploadView.as_view(), name="registeredmodel-upload"),
    path("models/<uuid:pk>/delete/", moving.DeleteModelView.as_view(), name="registeredmodel-delete"),
    path("models/<uuid:pk>/alias/", moving.AliasView.as_view(), name="registeredmodel-alias"),
    path("models/<uuid:pk>/protect/", moving.ProtectView.as_view(), name="registeredmodel-protect"),
    path("models/<uuid:pk>/rules/<uuid:rule>/lift/", moving.LiftView.as_view(), name="registeredmodel-lift"),
    path(_VERSION, version.VersionView.as_view(), name="modelversion"),
    path(f"{_VERSION}files/", version.FilesView.as_view(), name="modelversion-files"),
    path(f"{_VERSION}archive/", version.ArchiveView.as_view(), name="modelversion-archive"),
    path(f"{_VERSION}edit/", making.EditVersionView.as_view(), name="modelversion-edit"),
    path(f"{_VERSION}stage/", moving.StageView.as_view(), name="modelversion-stage"),
    path(f"{_VERSION}delete/", moving.DeleteVersionView.as_view(), name="modelversion-delete"),
]
