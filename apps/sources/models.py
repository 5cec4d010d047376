from typing import ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.core.ids import new_id
from apps.sources.addresses import page_of
from apps.sources.choices import FetchState, SourceKind
from apps.sources.querysets import FetchQuerySet


class Fetch(models.Model):
    """Code that the platform fetches, once: from where, how far it is, and what it turned out to be.

    Once it is ready its commit and its blob stay: a retry and a copy of the work it was fetched for use the same.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=80, help_text='What it was first asked for, as "run:id".')
    kind = models.CharField(max_length=7, choices=SourceKind)
    url = models.CharField(max_length=500)
    ref = models.CharField(max_length=200, blank=True, help_text="Branch, tag or commit; empty: the server's own.")
    subfolder = models.CharField(max_length=500, blank=True)
    submodules = models.BooleanField(default=False)
    patch = models.CharField(max_length=64, blank=True, help_text="Hash of what was changed and not committed.")
    expected_sha256 = models.CharField(max_length=64, blank=True, help_text="What an archive has to be.")
    credential = models.JSONField(default=dict, help_text="By reference.")

    state = models.CharField(max_length=8, choices=FetchState, default=FetchState.QUEUED)
    message = models.TextField(blank=True, help_text="Why it failed or waits.")
    log = models.TextField(blank=True)
    tries = models.PositiveSmallIntegerField(default=0, help_text="In a row that were cut off or reached nobody.")
    next_try_at = models.DateTimeField(db_default=models.functions.Now())
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    commit = models.CharField(max_length=64, blank=True)
    branch = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    format = models.CharField(max_length=8, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=models.functions.Now())
    asked_at = models.DateTimeField(db_default=models.functions.Now(), help_text="When it was last queued by somebody.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar = FetchQuerySet["Fetch"].as_manager()

    class Meta:
        verbose_name_plural = "fetches"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(state__in=FetchState.values), name="fetch_state_known"),
            models.CheckConstraint(
                condition=~models.Q(state=FetchState.READY) | ~models.Q(sha256=""), name="fetch_ready_has_blob"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["next_try_at"], name="fetch_due", condition=models.Q(state__in=["queued", "fetching"])
            ),
            models.Index(fields=["sha256"], name="fetch_of_blob", condition=models.Q(state="ready")),
        ]

    @override
    def __str__(self) -> str:
        return self.url

    @property
    def is_dirty(self) -> bool:
        """Whether it is a commit with changes on top."""
        return bool(self.patch)

    @property
    def page(self) -> str:
        """Where people look at the commit; "" where its server is not one whose pages are known."""
        return page_of(self.url, self.commit)
