"""Named actions of operators: chosen on a list or a page, shown with what they will do, confirmed with a reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from typing_extensions import override

from apps.access.forms import reason_field
from apps.audit import denials
from apps.audit.models import AuditEvent
from apps.core.errors import DomainError
from apps.core.middleware import current_request

MOST_ROWS = 500  # at a time: what is confirmed is a list that a person can look through


class ReasonForm(forms.Form):
    """Why an operator does this; it goes into the audit trail.

    Subclasses ask for what else the service wants to know: each further field is passed to it under its name. `rows` are
    those chosen, `page` is the admin page, `by` who asks.
    """

    def __init__(self, *args: Any, rows: Sequence[Any] = (), page: Any = None, by: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows
        self.page = page
        self.by = by

    reason = reason_field(autofocus=True)

    @property
    def asks_more(self) -> bool:
        return len(self.fields) > 1

    @property
    def asks_first(self) -> bool:
        """Whether nothing can be foreseen before something is filled in."""
        return any(field.required for name, field in self.fields.items() if name != "reason")

    def told(self) -> dict[str, Any]:
        """Return what was filled in for the service, beside the reason; what was left as it was is not told."""
        given = getattr(self, "cleaned_data", {})
        return {name: value for name, value in given.items() if name in self.changed_data and name != "reason"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became, or would become, of one row: `done`, `refused` with the reason, or `idle`: nothing to do."""

    row: Any
    verdict: str
    words: str


class Reasoned:
    """An admin action that calls a service with `by` and the `reason` that was asked for on a page in between.

    `work(row, by=…, reason=…)` is the service. `label` is the button ("Force stop"), `effect` the sentence above the
    reason, `done` follows the count in the message. `applies` hides the button on pages where it would do nothing.
    `form` asks for more than the reason. `tell(row, result)` says what came of it better than the trail does, and
    before it is confirmed what would: it reads what the service has just written.
    """

    do_not_call_in_templates = True
    most = MOST_ROWS

    def __init__(
        self,
        name: str,
        work: Callable[..., Any],
        *,
        label: str,
        effect: str,
        done: str,
        applies: Callable[[Any], bool] = lambda _row: True,
        form: type[ReasonForm] = ReasonForm,
        tell: Callable[[Any, Any], str] = lambda _row, _result: "",
    ) -> None:
        self.name = self.__name__ = name
        self.short_description = label
        self.work = work
        self.effect = effect
        self.done = done
        self.applies = applies
        self.form = form
        self.tell = tell

    def __call__(self, page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        most = min(self.most, MOST_ROWS)
        rows = list(queryset[: most + 1])
        if len(rows) > most:
            messages.error(request, f"Choose at most {most} at a time. Nothing was done.")
            return HttpResponseRedirect(request.get_full_path())
        form = self._form(page, request, rows)
        if "_confirmed" in request.POST and form.is_valid():
            return self._carry_out(page, request, rows, form)
        return self._ask(page, request, rows, form)

    def _form(self, page: Any, request: HttpRequest, rows: list[Any]) -> ReasonForm:
        """Fill in what was sent: to be done, or only to be looked at, which needs no reason."""
        is_sent = "_confirmed" in request.POST or "_look" in request.POST
        form = self.form(request.POST if is_sent else None, rows=rows, page=page, by=request.user)
        form.fields["reason"].required = "_look" not in request.POST
        return form

    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], form: ReasonForm) -> HttpResponse:
        """Do it, row by row: what one row refuses does not keep the others."""
        outcomes = [self._try(row, request.user, form.cleaned_data["reason"], form.told()) for row in rows]
        done = [outcome for outcome in outcomes if outcome.verdict != "refused"]
        if done:
            messages.success(request, f"{len(done)} {self.done}.")
        if len(rows) > 1:
            return self._page(page, request, {"rows": rows, "outcomes": outcomes, "is_done": True})
        for outcome in outcomes:
            if outcome.verdict == "refused":
                messages.error(request, f"{outcome.row}: {outcome.words}")
        return HttpResponseRedirect(_back(page, request, rows))

    def foresee(
        self, request: HttpRequest, rows: Iterable[Any], told: Mapping[str, Any] | None = None
    ) -> list[Outcome]:
        """Say what would become of each row, by the very service, in transactions that are rolled back."""
        with denials.collecting():  # what only would be refused was not attempted
            return [self._try(row, request.user, "preview", told or {}, is_rehearsal=True) for row in rows]

    def _ask(self, page: Any, request: HttpRequest, rows: list[Any], form: ReasonForm) -> HttpResponse:
        is_open = form.asks_first and not form.is_bound
        is_wrong = form.is_bound and bool(set(form.errors) - {"reason"})
        outcomes = [] if is_open or is_wrong else self.foresee(request, rows, form.told())
        willing = [outcome for outcome in outcomes if outcome.verdict == "done"]
        shown = {"rows": rows, "outcomes": outcomes, "willing": len(willing), "form": form}
        return self._page(page, request, {**shown, "is_open": is_open or is_wrong})

    def _try(self, row: Any, by: Any, reason: str, told: Mapping[str, Any], *, is_rehearsal: bool = False) -> Outcome:
        pk = row.pk
        try:
            with transaction.atomic():
                before = _newest_event()
                result = self.work(row, by=by, reason=reason, **told)
                words = self.tell(row, result) or _told(row, pk, before)
                if is_rehearsal:
                    transaction.set_rollback(True)
                    row.pk = pk  # it was not deleted after all
        except DomainError as error:
            return Outcome(row, "refused", error.detail)
        return Outcome(row, "done" if words else "idle", words or "nothing to do")

    def _page(self, page: Any, request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
        context = {
            **page.admin_site.each_context(request),
            "title": f"{self.short_description}{'' if shown.get('is_done') else '?'}",
            "opts": page.opts,
            "action": self,
            "action_name": self.__name__,
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "from_page": "_from_page" in request.POST,
            "back_url": _back(page, request, shown["rows"]),
            **shown,
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)


class ShownOnce(Reasoned):
    """An action whose results are secrets: they stand in its answer, this once, and are kept nowhere."""

    @override
    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], form: ReasonForm) -> HttpResponse:
        results: dict[str, str] = {}

        def step(row: Any) -> None:
            results[str(row)] = self.work(row, by=request.user, reason=form.cleaned_data["reason"])

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


def _newest_event() -> int:
    newest: int | None = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first()
    return newest or 0


def _told(row: Any, pk: Any, after: int) -> str:
    """Write what the audit trail says this request did to `row`, whose key is or was `pk`, since the event `after`.

    Nothing: "".

    What is given to everybody who reads the trail may be shown here.
    """
    events = AuditEvent.objects.filter(
        pk__gt=after,
        object_type=row._meta.label_lower,  # noqa: SLF001 -- documented Django API
        object_id=str(pk),
        request_id=current_request.get().request_id,
    )
    return "; ".join(_sentence(event) for event in events.order_by("id"))


def _sentence(event: AuditEvent) -> str:
    details = ", ".join(_details(event.data))
    words = event.action.replace("_", " ")
    return f"{words} ({details})" if details else words


def _details(data: dict[str, Any]) -> Iterable[str]:
    """Write facts as words, those within facts, too."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _details(value)
        else:
            yield f"{name.replace('_', ' ')} {value}"


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
