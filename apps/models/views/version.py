"""The pages of one version: what it is, its files, and the way to download them."""

from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access import policy
from apps.core.errors import DomainError, NotFound
from apps.lineage import services as lineage
from apps.lineage.drawing import draw
from apps.models import cards, downloads
from apps.models.forms import StageForm
from apps.models.models import ModelVersion, VersionFile
from apps.models.services import rule_for
from apps.models.views.finding import ModelPage
from apps.tracking import services as tracking
from apps.tracking.models import Run

_MOST = 1000


class VersionView(ModelPage):
    """Card, metrics, parameters, signature, environment, scan, and where it came from."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        context = {**version_context(self, version, "modelversion"), **_lineage(version, self.user)}
        return render(request, "models/version.html", context)


class FilesView(ModelPage):
    """The files, and the beginning of one of them as text, never as markup."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        context = version_context(self, version, "modelversion-files")
        wanted = request.GET.get("file", "").replace("\x00", "")
        files = list(version.files.order_by("path")[:_MOST])
        context |= {"files": files, "more": version.files_count - len(files), **self._shown(version, wanted)}
        return render(request, "models/files.html", context)

    def _shown(self, version: ModelVersion, path: str) -> dict[str, Any]:
        if not path:
            return {}
        file = VersionFile.objects.visible_to(self.user, "view").filter(version=version, path=path).first()
        if file is None:
            raise NotFound
        # SECURITY: what a user made is only linked, on the content origin; here its text is escaped like any other.
        link = downloads.file_link(version.pk, file.path, by=self.user)
        try:
            preview = tracking.read_preview(cast("Any", file))
        except DomainError:
            return {"file": file, "link": link, "is_lost": True}
        return {"file": file, "link": link, "preview": preview}


class ArchiveView(ModelPage):
    """To all files as a zip, on the content origin."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return redirect(downloads.archive_link(self.the_version(pk, number), by=self.user))


def version_context(view: ModelPage, version: ModelVersion, tab: str) -> dict[str, Any]:
    """Return what the tabs of a version share."""
    runs: Any = Run.objects.visible_to(view.user, "view")
    run = runs.filter(pk=version.run_id).first()
    return {
        "version": version,
        "model": version.model,
        "tab": tab,
        "run": run,
        "aliases": version.aliases.order_by("name"),
        "tags": version.tags.order_by("key")[:200],
        "card": cards.render(version.description),
        "stage_form": StageForm(initial={"stage": version.stage}),
        "stage_rule": rule_for(version.model, "stage", "Production"),
        "may_move": policy.decide(policy.in_person(view.user), "move", version),
        "scan_lines": sorted(version.scan.get("files", {}).items()),
    }


def _lineage(version: ModelVersion, by: Any) -> dict[str, Any]:
    try:
        start = lineage.find("modelversion", version.pk, by=by)
    except NotFound:  # a token's scope, or a race: the page goes without
        return {}
    graph = lineage.walk(start, by=by, depth=2)
    return {"graph": graph, "drawing": draw(graph), "start": start} if graph.edges else {}
