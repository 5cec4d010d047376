"""Named actions of operators: chosen on a list or a page, confirmed with a reason on a page of their own."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from typing_extensions import override

from apps.core.errors import DomainError

MOST_ROWS = 200  # at a time: what is confirmed is a list that a person can read


class ReasonForm(forms.Form):
    """Why an operator does this; it goes into the audit trail."""

    reason = forms.CharField(
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True, "size": 80}),
        help_text="Written to the audit trail, with your name.",
        error_messages={"required": "Say why."},
    )


class Reasoned:
    """An admin action that calls a service with `by` and the `reason` that was asked for on a page in between.

    `work(row, by=…, reason=…)` is the service. `label` is the button ("Force stop"), `effect` the sentence above the
    reason, `done` follows the count in the message. `applies` hides the button on pages where it would do nothing.
    """

    do_not_call_in_templates = True

    def __init__(
        self,
        name: str,
        work: Callable[..., Any],
        *,
        label: str,
        effect: str,
        done: str,
        applies: Callable[[Any], bool] = lambda _row: True,
    ) -> None:
        self.name = self.__name__ = name
        self.short_description = label
        self.work = work
        self.effect = effect
        self.done = done
        self.applies = applies

    def __call__(self, page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        rows = list(queryset[: MOST_ROWS + 1])
        if len(rows) > MOST_ROWS:
            messages.error(request, f"Choose at most {MOST_ROWS} at a time. Nothing was done.")
            return HttpResponseRedirect(request.get_full_path())
        form = ReasonForm(request.POST if "_confirmed" in request.POST else None)
        if not form.is_valid():
            return self._ask(page, request, rows, form)
        return self._carry_out(page, request, rows, form.cleaned_data["reason"])

    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], reason: str) -> HttpResponse:
        def step(row: Any) -> None:
            self.work(row, by=request.user, reason=reason)

        done, failures = page.each(rows, step)
        page.report(request, done, self.done, failures)
        return HttpResponseRedirect(_back(page, request, rows))

    def _ask(self, page: Any, request: HttpRequest, rows: list[Any], form: ReasonForm) -> HttpResponse:
        context = {
            **page.admin_site.each_context(request),
            "title": f"{self.short_description}?",
            "opts": page.opts,
            "action": self,
            "action_name": self.__name__,
            "rows": rows,
            "form": form,
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "from_page": "_from_page" in request.POST,
            "back_url": _back(page, request, rows),
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)


class ShownOnce(Reasoned):
    """An action whose results are secrets: they stand in its answer, this once, and are kept nowhere."""

    @override
    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], reason: str) -> HttpResponse:
        results: dict[str, str] = {}

        def step(row: Any) -> None:
            results[str(row)] = self.work(row, by=request.user, reason=reason)

        _, failures = page.each(rows, step)
        context = {
            **page.admin_site.each_context(request),
            "title": self.short_description,
            "opts": page.opts,
            "results": results,
            "failures": failures,
            "back_url": _back(page, request, rows),
        }
        response = TemplateResponse(request, "admin/shown_once.html", context)
        add_never_cache_headers(response)
        return response


def _back(page: Any, request: HttpRequest, rows: list[Any]) -> str:
    """Return where the operator came from: the object's page, or the list as it was filtered."""
    if "_from_page" in request.POST and len(rows) == 1 and rows[0].pk is not None:  # a deleted row has no page
        name = f"{page.admin_site.name}:{page.opts.app_label}_{page.opts.model_name}_change"
        return reverse(name, args=[rows[0].pk])
    return request.get_full_path()


def refusals(error: DomainError, known: Any) -> dict[str | None, list[str]]:
    """Sort the sentences of a refusal by the form's fields; what belongs to none goes under None."""
    found: dict[str | None, list[str]] = {}
    for field, sentences in getattr(error, "errors", {}).items():
        shown = sentences if field in known else [f"{field}: {sentence}" for sentence in sentences]
        found.setdefault(field if field in known else None, []).extend(shown)
    return found or {None: [error.detail]}
