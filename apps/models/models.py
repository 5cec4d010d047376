from typing import ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.access.models import GroupGrant, Owned, UserGrant
from apps.core.ids import new_id
from apps.models.choices import RequestState, Stage, Target
from apps.models.querysets import (
    ModelVersionQuerySet,
    MoveRequestQuerySet,
    RegisteredModelQuerySet,
    VersionFileQuerySet,
)
from apps.tracking.models import Run


class RegisteredModel(Owned):
    """A name under which versions of a model are kept. `newest` is the number given last, of a deleted version too."""

    name = models.CharField(max_length=250)
    description = models.TextField(blank=True)
    newest = models.IntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = RegisteredModelQuerySet["RegisteredModel"].as_manager()

    class Meta(Owned.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner", "name"], name="model_name_personal", condition=models.Q(team=None, archived_at=None)
            ),
            models.UniqueConstraint(
                fields=["team", "name"], name="model_name_in_team", condition=models.Q(archived_at=None)
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["name"], name="model_by_name")]

    @override
    def __str__(self) -> str:
        return self.name


class RegisteredModelUserGrant(UserGrant):
    """Shares one registered model with one user."""

    content_object = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE)


class RegisteredModelGroupGrant(GroupGrant):
    """Shares one registered model with one group."""

    content_object = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE)


class ModelTag(models.Model):
    """A word on a registered model; the last value written wins."""

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["model", "key"], name="one_tag_per_model")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["key"], name="model_tag_key")]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class ModelVersion(models.Model):
    """One version: its files and what was known when it was made never change; description, tags and stage may.

    `metrics` and `params` are what the source run said then; `source` is what its maker called the place it came from.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.IntegerField()
    stage = models.CharField(max_length=12, choices=Stage, default=Stage.NONE)
    description = models.TextField(blank=True)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, null=True, related_name="+")
    run_path = models.CharField(max_length=500, blank=True)
    source = models.CharField(max_length=1000, blank=True)
    signature = models.JSONField(null=True)
    metrics = models.JSONField(default=dict)
    params = models.JSONField(default=dict)
    environment = models.TextField(blank=True)
    datasets = models.JSONField(default=list)
    scan = models.JSONField(default=dict)
    files_count = models.IntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    updated_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = ModelVersionQuerySet["ModelVersion"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["model", "number"], name="one_version_per_number")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["run"], name="version_of_run"),
            models.Index(fields=["model", "stage"], name="version_in_stage"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.model.name} {self.number}"


class VersionFile(models.Model):
    """A file of a version: its path, and the content-addressed blob that holds its bytes. Never changed."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="gen_random_uuid"), editable=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="files")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    content_type = models.CharField(max_length=120, blank=True)

    objects: ClassVar = VersionFileQuerySet["VersionFile"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "path"], name="one_version_file_per_path")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["sha256"], name="version_file_blob")]

    @override
    def __str__(self) -> str:
        return self.path


class FileScan(models.Model):
    """What a look at the bytes of a pickle found: once for each blob, whoever registers it."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    report = models.JSONField()
    scanned_at = models.DateTimeField(db_default=models.functions.Now())

    @override
    def __str__(self) -> str:
        return self.sha256


class VersionTag(models.Model):
    """A word on a version; the last value written wins."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "key"], name="one_tag_per_version")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["key"], name="version_tag_key")]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class Alias(models.Model):
    """A name that points to one version, until it is moved."""

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=250)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="aliases")
    moved_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["model", "name"], name="one_alias_per_name")
        ]

    @override
    def __str__(self) -> str:
        return self.name


class Protection(models.Model):
    """What a move of an alias, or into or out of a stage, needs. An empty `name` means every alias, or every stage.

    `thresholds` are {"metric", "operator", "value"}, each held against the metrics the version was registered with.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="protections")
    target = models.CharField(max_length=5, choices=Target, default=Target.ALIAS)
    name = models.CharField(max_length=250, blank=True)
    approvals = models.PositiveSmallIntegerField(default=1)
    separate_duties = models.BooleanField(default=True)
    thresholds = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["model", "target", "name"], name="one_rule_per_name")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.target} {self.name or 'of any name'}"


class MoveRequest(models.Model):
    """A wish to move something protected; it is carried out with the approval that satisfies the rule."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="requests")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    target = models.CharField(max_length=5, choices=Target)
    name = models.CharField(max_length=250, help_text="The alias, or the stage.")
    removes = models.BooleanField(default=False, help_text="The alias is to be taken away.")
    reason = models.CharField(max_length=1000)
    state = models.CharField(max_length=9, choices=RequestState, default=RequestState.OPEN)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = MoveRequestQuerySet["MoveRequest"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["version", "target", "name", "removes"],
                name="one_open_move_request",
                condition=models.Q(state=RequestState.OPEN),
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.model.name}: {self.wish}"

    @property
    def wish(self) -> str:
        """Say what is asked for: "champion to version 3"."""
        if self.removes:
            return f"no {self.name} any more"
        if self.target == Target.ALIAS:
            return f"{self.name} to version {self.version.number}"
        return f"version {self.version.number} to {self.name}"


class Decision(models.Model):
    """One person's answer to a request."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(MoveRequest, on_delete=models.CASCADE, related_name="decisions")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    is_approval = models.BooleanField()
    reason = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["request", "by"], name="one_answer_per_person")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.by} {'approved' if self.is_approval else 'refused'}"


class Move(models.Model):
    """One move of an alias or stage: who, why, from what to what, when. Append-only: a trigger refuses any change.

    Of an alias `before` and `after` are version numbers, of a stage they are stages; "" is nothing.
    """

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="moves")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    target = models.CharField(max_length=5, choices=Target)
    name = models.CharField(max_length=250, blank=True, help_text="The alias; empty for a stage.")
    before = models.CharField(max_length=12, blank=True)
    after = models.CharField(max_length=12, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=1000, blank=True)
    request = models.ForeignKey(MoveRequest, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["model", "-id"], name="move_of_model")]

    @override
    def __str__(self) -> str:
        return f"{self.name or 'stage'}: {self.before or 'nothing'} → {self.after or 'nothing'}"
