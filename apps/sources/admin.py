"""What was fetched for whose work, what waits, and what failed and why. Nothing is changed here: a retry fetches again."""

from datetime import timedelta

from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.access.admin import GuardedAdmin, Question, question_filter
from apps.access.admin.display import NOTHING, related, size, time_of
from apps.sources.choices import FetchState
from apps.sources.models import Fetch

_DAY, _LONG = timedelta(days=1), timedelta(minutes=15)
_FETCHES = question_filter(
    Fetch,
    [
        Question(
            "failed",
            "Failed in the last day",
            lambda rows: rows.filter(state=FetchState.FAILED, finished_at__gt=Now() - _DAY),
        ),
        Question("stuck", "On its way for more than 15 minutes", lambda rows: rows.stuck(_LONG)),
        Question("private", "With a credential", lambda rows: rows.exclude(credential={})),
    ],
)


@admin.register(Fetch)
class FetchAdmin(GuardedAdmin):
    list_display = ("url", "wanted", "state", "message", "commit_shown", "bytes", "owner_shown", "asked")
    list_filter = (_FETCHES, "state", "kind")
    list_select_related = ("owner",)
    search_fields = ("url", "=commit", "=sha256", "owner__username", "message")
    search_help_text = "Address, commit, hash, person, message or a pasted id"
    ordering = ("-id",)
    fields = (
        "id", "kind", "url", "ref", "subfolder", "submodules", "patch", "expected_sha256", "credential_shown", "owner_shown",
        "subject", "state", "message", "tries", "commit", "branch", "sha256", "format", "bytes", "asked", "started", "finished",
        "log_shown",
    )  # fmt: skip
    owner_shown = related("owner")
    asked = time_of("asked_at", "asked for")
    started = time_of("started_at", "started")
    finished = time_of("finished_at", "ended")

    @display(description="wanted")
    def wanted(self, fetch: Fetch) -> str | SafeString:
        return fetch.ref or NOTHING

    @display(description="commit")
    def commit_shown(self, fetch: Fetch) -> str | SafeString:
        return fetch.commit[:12] or NOTHING

    @display(description="size", ordering="size_bytes")
    def bytes(self, fetch: Fetch) -> str:
        return size(fetch.size_bytes)

    @display(description="credential")
    def credential_shown(self, fetch: Fetch) -> str | SafeString:
        return fetch.credential.get("name") or NOTHING

    @display(description="log")
    def log_shown(self, fetch: Fetch) -> SafeString:
        return format_html("<pre>{}</pre>", fetch.log)
