"""What is done to several runs of a table at once."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from apps.core.ids import id_in
from apps.experiments import services
from apps.experiments.models import Experiment
from apps.experiments.views import several
from apps.experiments.views.projects import ProjectPage
from apps.tracking import services as tracking
from apps.tracking.models import Project, Run

_MOST_AT_ONCE = 200


def _delete(run: Any, *, by: Any) -> None:
    """Delete a run, with its experiment if it has one: that is where the deletion of a job's run is."""
    experiment = Experiment.objects.visible_to(by, "view").with_details().filter(pk=run.pk).first()
    if experiment is not None:
        services.delete_experiment(experiment, by=by)
    else:
        tracking.archive_run(run, by=by)


_BULK: several.Acts = {
    "delete": (_delete, "deleted"),
    "restore": (tracking.restore_run, "restored"),
}


class RunBulkView(ProjectPage):
    """Compare, delete or restore the chosen runs, each through its service: what is refused is counted and said."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        project = self.project(pk)
        chosen = [found for text in request.POST.getlist("id")[:_MOST_AT_ONCE] if (found := id_in(text))]
        if request.POST.get("action") == "compare":
            return redirect(f"{reverse('run-compare')}?{urlencode([('id', str(one)) for one in chosen])}")
        rows: Any = Run.objects.visible_to(self.user, "view").filter(project=project, pk__in=chosen)
        several.apply(request, list(rows.with_details().order_by("-pk")), _BULK, by=self.user, noun="run")
        return redirect(back_to(request, project))


def back_to(request: HttpRequest, project: Project, **more: str) -> str:
    """Return the table's address as the form has it. SECURITY: re-encoded, so that nothing else can ride along."""
    query = QueryDict(request.POST.get("back", "")[:6000], mutable=True)
    for name, value in more.items():
        query[name] = value
        if not value:
            del query[name]
    return f"{reverse('project', args=[project.pk])}{f'?{query.urlencode()}' if query else ''}"
