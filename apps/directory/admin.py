"""Who is let in by which directory rule, and what the syncs did."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Question, Reasoned, question_filter
from apps.access.admin.display import NOTHING, chip, duration, lines, time_of
from apps.access.admin.filters import one_of
from apps.core.errors import DomainError
from apps.directory import services
from apps.directory.choices import DIRECTORIES, Outcome
from apps.directory.models import DirectoryRule, DirectorySync

if TYPE_CHECKING:
    SyncModelForm = forms.ModelForm[DirectorySync]
else:
    SyncModelForm = forms.ModelForm

_LOOKS = {Outcome.DONE: "ok", Outcome.HELD: "late", Outcome.FAILED: "down"}


_RULES = question_filter(
    DirectoryRule,
    [
        Question("platform", "Gives a role on the platform", lambda rows: rows.exclude(platform_role="")),
        Question("off", "Switched off", lambda rows: rows.filter(enabled=False)),
        Question(
            "archived",
            "Leads into an archived team",
            lambda rows: rows.filter(enabled=True, team__archived_at__isnull=False),
        ),
    ],
)
_SYNCS = question_filter(
    DirectorySync,
    [
        Question("bad", "Failed or held back", lambda rows: rows.exclude(outcome=Outcome.DONE)),
        Question("changed", "Changed something", lambda rows: rows.filter(outcome=Outcome.DONE).exclude(changes=[])),
    ],
)


@admin.register(DirectoryRule)
class DirectoryRuleAdmin(GuardedAdmin):
    """Which group gives what. A change counts from the next sync on: look at the dry run first."""

    can_add = True
    can_change = True
    policy_change = "manage"
    list_display = ("group", "source", "gives_shown", "order", "state")
    list_filter = (_RULES, one_of("source", DIRECTORIES, title="directory"), "enabled")
    list_select_related = ("team",)
    search_fields = ("group", "team__name", "team__slug")
    ordering = ("order", "id")
    fields = ("source", "group", "team", "role", "platform_role", "order", "enabled")
    autocomplete_fields = ("team",)
    actions = (
        Reasoned(
            "remove",
            services.delete_rule,
            label="Delete",
            effect="The rule is gone. The next sync, or each person's next login, takes back what only it gave.",
            done="deleted",
        ),
    )

    @override
    def save_model(self, request: HttpRequest, obj: DirectoryRule, form: Any, change: bool) -> None:
        services.save_rule(obj, by=request.user)

    @display(description="gives")
    def gives_shown(self, rule: DirectoryRule) -> str:
        return rule.gives

    @display(description="state", ordering="enabled")
    def state(self, rule: DirectoryRule) -> SafeString:
        return chip("active") if rule.enabled else chip("disabled")


class SyncForm(SyncModelForm):
    """Confirms the plan that is shown, and no other."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)
    force = forms.BooleanField(
        required=False,
        label="Apply although it is held back",
        help_text="You have read the list, and so many people did leave.",
    )

    class Meta:
        model = DirectorySync
        fields: list[str] = []


@admin.register(DirectorySync)
class DirectorySyncAdmin(GuardedAdmin):
    """What came of each sync. "Dry run" shows what the next one would do, and lets it be done."""

    can_add = True
    form = SyncForm
    add_form_template = "admin/directory/dry_run.html"
    change_list_template = "admin/directory/sync_list.html"
    list_display = ("started", "outcome_shown", "asked_by", "took", "counts_shown", "message_short")
    list_filter = (_SYNCS, one_of("outcome", [(one.value, str(one.label)) for one in Outcome]))
    ordering = ("-id",)
    fields = ("started", "took", "outcome_shown", "asked_by", "counts_shown", "message", "changes_shown")
    started = time_of("started_at", "started")

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ("digest", "force")

    @override
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the dry run; posting it back is the sync."""
        if not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        try:
            plan = services.preview(by=request.user)
        except DomainError as error:
            messages.error(request, f"{error.detail} Nothing was changed.")
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        context = {"plan": plan, "title": "Dry run", **(extra_context or {})}
        return super().add_view(request, form_url, context)

    @override
    def save_model(self, request: HttpRequest, obj: DirectorySync, form: Any, change: bool) -> None:
        data = form.cleaned_data
        done = services.sync(by=request.user, digest=data["digest"], force=data["force"])
        for field in ("pk", "started_at", "outcome"):
            setattr(obj, field, getattr(done, field))

    @display(description="outcome", ordering="outcome")
    def outcome_shown(self, row: DirectorySync) -> SafeString:
        return chip(_LOOKS[Outcome(row.outcome)], row.get_outcome_display())

    @display(description="took")
    def took(self, row: DirectorySync) -> str:
        return duration((row.ended_at - row.started_at).total_seconds())

    @display(description="counts")
    def counts_shown(self, row: DirectorySync) -> str | SafeString:
        return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in row.counts.items()) or NOTHING

    @display(description="message")
    def message_short(self, row: DirectorySync) -> str | SafeString:
        first = row.message.partition("\n")[0]
        return first[:120] or NOTHING

    @display(description="changes")
    def changes_shown(self, row: DirectorySync) -> SafeString:
        return lines(row.changes)
