"""Pages beside the list of workloads: the queue in its order, and what would start with other limits."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.access.admin import GuardedAdmin, page_link
from apps.access.admin.guarded import may_operate
from apps.access.admin.reasons import refusals
from apps.compute.forms import WhatIfForm
from apps.compute.models import Workload
from apps.compute.standing import MOST_SHOWN, places
from apps.compute.whatif import WhatIf, what_if
from apps.core.errors import DomainError
from apps.quotas import services as quotas
from apps.quotas.choices import RequestState
from apps.quotas.forms import field_name, write_amount
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode


class QueuePages(GuardedAdmin):
    """Adds the two pages to the admin of workloads."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path("queue/", self.own_page(self.queue_view), name="compute_workload_queue"),
            path("what-if/<int:node_id>/", self.own_page(self.what_if_view), name="compute_workload_whatif"),
            *super().get_urls(),
        ]

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """Show what waits, in the order in which admission tries it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Workload.objects.visible_to(request.user, "view").select_related("user", "team", "cluster", "quota_node")
        context = {**self._shown(request, "The queue"), "places": places(rows), "most": MOST_SHOWN}
        return TemplateResponse(request, "admin/compute/workload/queue.html", context)

    def what_if_view(self, request: HttpRequest, node_id: int) -> HttpResponse:
        """Say what would start if a node's limits were others; with a reason, set them."""
        if not may_operate(request):
            raise PermissionDenied
        limits = QuotaLimit.objects.visible_to(request.user, "view").order_by("resource")
        node = QuotaNode.objects.visible_to(request.user, "view").filter(pk=node_id).first()
        if node is None:
            raise Http404
        form = WhatIfForm(_asked(request, limits.filter(node=node)), instance=node)
        found = None
        if form.is_bound:
            if form.is_valid() and "_confirmed" in request.POST and self._set(request, node, form):
                return redirect("admin:quotas_quotanode_change", node.pk)
            found = None if set(form.errors) - {"reason"} else _look(node, form)
        context = {**self._shown(request, f"What if: {node}"), "node": node, "form": form, "found": found}
        return TemplateResponse(request, "admin/compute/workload/what_if.html", context)

    def _set(self, request: HttpRequest, node: QuotaNode, form: WhatIfForm) -> bool:
        """Set the limits; what is refused is said in the form."""
        changes = [(node, resource, *changed) for resource, changed in form.changed_limits().items()]
        by: Any = request.user
        try:
            quotas.set_limits(changes, by=by, reason=form.cleaned_data["reason"])
        except DomainError as error:
            for field, sentences in refusals(error, form.fields).items():
                form.add_error(field, sentences)
            return False
        messages.success(request, f"{len(changes)} limits set.")
        return True

    def _shown(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "title": title, "opts": self.opts}


def _asked(request: HttpRequest, rows: Any) -> Any:
    """Return what is asked: what was sent; or the limits as they are, with those that the address names instead."""
    if request.method == "POST":
        return request.POST
    named = {name: value for name, value in request.GET.items() if name.startswith("limit_")}
    return {**WhatIfForm.as_it_is(rows), **named} if named else None


def _look(node: QuotaNode, form: WhatIfForm) -> WhatIf:
    changed = form.changed_limits()
    limits = {(node.pk, resource): limit for resource, (limit, _) in changed.items()}
    return what_if(limits, {(node.pk, resource): borrow for resource, (_, borrow) in changed.items()})


@page_link("quotas.quotanode")
def _what_if_there(node: QuotaNode) -> tuple[str, str]:
    return reverse("admin:compute_workload_whatif", args=[node.pk]), "What if…"


@page_link("quotas.allocationrequest")
def _what_if_given(row: AllocationRequest) -> tuple[str, str] | None:
    """Lead to what would start if it were given."""
    if row.state != RequestState.OPEN:
        return None
    query = {field_name(row.resource): write_amount(row.resource, row.amount)}
    return reverse("admin:compute_workload_whatif", args=[row.node_id], query=query), "What would start…"
