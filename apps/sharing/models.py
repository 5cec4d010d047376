from typing import ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.core.ids import new_id
from apps.sharing.choices import RequestState, ShareRole
from apps.sharing.querysets import AccessRequestQuerySet


class AccessRequest(models.Model):
    """Somebody asks for a role on an object that he may not see, or not enough.

    SECURITY: `kind` and `object_id` are no foreign key: a request for an id that does not exist is kept like any other,
    so that nothing tells its author whether it exists.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=40)
    object_id = models.UUIDField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=8, choices=ShareRole, default=ShareRole.VIEWER)
    message = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=9, choices=RequestState, default=RequestState.OPEN)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = AccessRequestQuerySet["AccessRequest"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["by", "kind", "object_id"],
                name="one_open_request",
                condition=models.Q(state=RequestState.OPEN),
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["kind", "object_id"], name="request_open", condition=models.Q(state="open")),
            models.Index(fields=["by", "-id"], name="request_of_person"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.by} asks for {self.role} of {self.kind} {self.object_id}"


class UnknownName(models.Model):
    """Somebody tried to share with a name that does not exist: counted, so that names cannot be guessed in numbers."""

    id = models.BigAutoField(primary_key=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["by", "at"], name="unknown_names_of_person")]

    @override
    def __str__(self) -> str:
        return f"{self.by} at {self.at}"
