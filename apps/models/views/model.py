"""The pages of one model: card, aliases and versions; the history of moves; rules; what was done to it; comparison."""

from typing import Any, ClassVar
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from typing_extensions import override

from apps.access import policy
from apps.access.history import lines_of
from apps.core.errors import Invalid
from apps.models import cards, comparing, services
from apps.models.choices import Stage, Target
from apps.models.forms import AliasForm, RuleForm
from apps.models.models import ModelVersion, MoveRequest, RegisteredModel
from apps.models.views.finding import ModelPage
from apps.models.views.paging import Page

_MOVES = 100


class Tab(ModelPage):
    """What the tabs share."""

    policy_action: ClassVar[str] = "view"
    tab: ClassVar[str]
    template: ClassVar[str]

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.page(request, self.the_model(pk))

    def page(self, request: HttpRequest, model: RegisteredModel, status: int = 200, **more: Any) -> HttpResponse:
        return render(
            request, self.template, page_context(self, model, self.tab) | self.context(model) | more, status=status
        )

    def context(self, model: RegisteredModel) -> dict[str, Any]:
        raise NotImplementedError


def page_context(view: ModelPage, model: RegisteredModel, tab: str) -> dict[str, Any]:
    """Return what the header shows."""
    waiting: Any = MoveRequest.objects.visible_to(view.user, "view").open().filter(model=model)
    return {"model": model, "tab": tab, "waiting": waiting.with_people()[:20], "tags": model.tags.order_by("key")[:200]}


class OverviewView(Tab):
    tab: ClassVar[str] = "registeredmodel"
    template: ClassVar[str] = "models/model.html"

    @override
    def context(self, model: RegisteredModel) -> dict[str, Any]:
        rows: Any = ModelVersion.objects.visible_to(self.user, "view").live().filter(model=model).with_details()
        rules = {rule.name: rule for rule in model.protections.filter(target=Target.ALIAS)}
        aliases = model.aliases.select_related("version").order_by("name")[:200]
        return {
            "page": Page(rows, self.request.GET),
            "aliases": [(alias, rules.get(alias.name) or rules.get("")) for alias in aliases],
            "card": cards.render(model.description),
            "form": AliasForm(),
            "may_move": policy.decide(policy.in_person(self.user), "move", model),
        }


class MovesView(Tab):
    tab: ClassVar[str] = "registeredmodel-moves"
    template: ClassVar[str] = "models/moves.html"

    @override
    def context(self, model: RegisteredModel) -> dict[str, Any]:
        rows = model.moves.select_related("version", "by", "request").prefetch_related("request__decisions__by")
        page = Paginator(rows.order_by("-id"), _MOVES).get_page(self.request.GET.get("page", "1"))
        return {"moves": page, "page": page, **self._asked(model)}

    def _asked(self, model: RegisteredModel) -> dict[str, Any]:
        """Answer what an alias pointed to on a date."""
        alias, text = self.request.GET.get("alias", "").replace("\x00", ""), self.request.GET.get("at", "")
        if not alias or not text:
            return {"alias": alias, "at": text}
        try:
            moment = parse_datetime(text)
        except ValueError:
            moment = None
        if moment is None:
            return {"alias": alias, "at": text, "problem": "Not a date and time."}
        moment = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
        return {"alias": alias, "at": text, "was": services.pointed_to(model, alias, moment), "is_answered": True}


class RulesView(Tab):
    tab: ClassVar[str] = "registeredmodel-rules"
    template: ClassVar[str] = "models/rules.html"

    @override
    def context(self, model: RegisteredModel) -> dict[str, Any]:
        return {
            "rules": model.protections.order_by("target", "name"),
            "form": RuleForm(initial={"target": Target.ALIAS}),
            "stages": Stage.values,
        }


class HistoryView(Tab):
    tab: ClassVar[str] = "registeredmodel-history"
    template: ClassVar[str] = "models/history.html"

    @override
    def context(self, model: RegisteredModel) -> dict[str, Any]:
        lines, page = lines_of(model, by=self.user, page=self.request.GET.get("page", "1"))
        return {"lines": lines, "page": page}


class CompareView(Tab):
    """Versions side by side; by default only what differs."""

    tab: ClassVar[str] = "registeredmodel"
    template: ClassVar[str] = "models/compare.html"

    @override
    def context(self, model: RegisteredModel) -> dict[str, Any]:
        named = list(dict.fromkeys(self.request.GET.getlist("version")))[: comparing.MOST + 1]
        numbers = [int(text) for text in named if text.isascii() and text.isdigit() and len(text) <= 9]  # noqa: PLR2004 -- digits
        rows: Any = (
            ModelVersion.objects.visible_to(self.user, "view")
            .live()
            .filter(model=model, number__in=numbers)
            .select_related("created_by")
        )
        versions = list(rows.order_by("number"))
        shows_all = bool(self.request.GET.get("all"))
        try:
            found = comparing.compare(versions)
        except Invalid as refusal:
            return {"problem": refusal.detail, "sections": [], "versions": versions}
        sections = [(title, [line for line in lines if shows_all or line.differs]) for title, lines in found.sections()]
        return {
            "versions": versions,
            "sections": [(title, lines) for title, lines in sections if lines],
            "shows_all": shows_all,
        }
