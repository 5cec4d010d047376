"""Saved views of a run table: made, changed and forgotten by forms on the table's page."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.core.errors import Conflict, Invalid
from apps.experiments.views.bulk import back_to
from apps.experiments.views.projects import ProjectPage
from apps.tracking import services as tracking
from apps.tracking.models import SavedView


class ViewsView(ProjectPage):
    """Keep what the table shows under a name."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        project = self.project(pk)
        name = request.POST.get("name", "")
        query, shared = request.POST.get("query", ""), bool(request.POST.get("shared"))
        try:
            view = tracking.save_view(project, name, query, by=self.user, is_shared=shared)
        except (Invalid, Conflict) as refusal:
            messages.error(request, _said(refusal))
            return redirect(back_to(request, project, view_name=name[:100]))
        messages.success(request, f"Kept as {view}.")
        return redirect(back_to(request, project, view=str(view.pk), view_name=""))


class ViewView(ProjectPage):
    """Change a view to what the table shows now, or forget it."""

    def post(self, request: HttpRequest, pk: UUID, view: UUID) -> HttpResponse:
        project = self.project(pk)
        saved = self.find(SavedView.objects.with_details().filter(project=project), pk=view)
        if request.POST.get("action") == "delete":
            tracking.delete_view(saved, by=self.user)
            messages.success(request, f"{saved} is forgotten.")
            return redirect(back_to(request, project, view=""))
        changes = {"name": request.POST.get("name", ""), "query": request.POST.get("query", "")}
        try:
            tracking.update_view(saved, by=self.user, is_shared=bool(request.POST.get("shared")), **changes)
            messages.success(request, f"{saved} is changed.")
        except Invalid as refusal:
            messages.error(request, _said(refusal))
        return redirect(back_to(request, project))


def _said(refusal: Invalid | Conflict) -> str:
    if isinstance(refusal, Invalid) and refusal.errors:
        return " ".join(text for texts in refusal.errors.values() for text in texts)
    return refusal.detail
