from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.access.models import GroupGrant, Owned, UserGrant
from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id
from apps.quotas.models import QuotaNode
from apps.teams.models import Team
from apps.tracking.choices import Direction, ModelStatus, RunStatus
from apps.tracking.querysets import (
    INDEXED_OF_TEXT,
    ArtifactQuerySet,
    LoggedModelQuerySet,
    NamedQuerySet,
    ProjectQuerySet,
    RunQuerySet,
    SavedViewQuerySet,
    UploadQuerySet,
)


class Project(Owned):
    """A folder of runs; its team and visibility are what new runs in it start with.

    `number` is its id for clients whose protocol knows whole numbers only.
    """

    name = models.CharField(max_length=120)
    number = models.BigIntegerField(
        unique=True,
        editable=False,
        db_default=models.Func(models.Value("tracking_project_number"), function="nextval"),
    )
    description = models.TextField(blank=True)
    updated_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = ProjectQuerySet["Project"].as_manager()

    class Meta(Owned.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner", "name"], name="project_name_personal", condition=models.Q(team=None, archived_at=None)
            ),
            models.UniqueConstraint(
                fields=["team", "name"], name="project_name_in_team", condition=models.Q(archived_at=None)
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name


class ProjectTag(models.Model):
    """A word on a project; the last value written wins."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["project", "key"], name="one_project_tag_per_key")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class ProjectUserGrant(UserGrant):
    """Shares one project with one user."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ProjectGroupGrant(GroupGrant):
    """Shares one project with one group."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class Run(Owned):
    """A tracked record: parameters, metrics, tags, artifacts. A submitted experiment has exactly one."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    # The job's run whose token made this one: that token reaches it as well, and it ends with the job at the latest.
    made_in = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, editable=False, db_index=False, related_name="made"
    )
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=8, choices=RunStatus, default=RunStatus.RUNNING)
    started_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = RunQuerySet["Run"].as_manager()

    class Meta(Owned.Meta):
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["owner", "-id"], name="run_of_owner"),
            models.Index(fields=["team", "-id"], name="run_of_team"),
            models.Index(fields=["project", "-id"], name="run_of_project"),
            models.Index(fields=["project", "-started_at", "id"], name="run_of_project_by_start"),
            models.Index(fields=["visibility", "-id"], name="run_shared", condition=models.Q(visibility="public")),
            models.Index(fields=["made_in"], name="run_made_in", condition=models.Q(made_in__isnull=False)),
        ]

    @override
    def __str__(self) -> str:
        return self.name


class RunUserGrant(UserGrant):
    """Shares one run with one user."""

    content_object = models.ForeignKey(Run, on_delete=models.CASCADE)


class RunGroupGrant(GroupGrant):
    """Shares one run with one group."""

    content_object = models.ForeignKey(Run, on_delete=models.CASCADE)


class Param(models.Model):
    """What a run was started with; the last value written wins."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="params")
    # The run's, once more, so that the keys of a project are found without its runs.
    project = models.ForeignKey(
        Project, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=250)
    value = models.TextField()

    objects = NamedQuerySet["Param"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "key"], name="one_param_per_key")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index("key", models.functions.Left("value", INDEXED_OF_TEXT), name="param_lookup"),
            models.Index(fields=["project", "key"], name="param_keys"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class Tag(models.Model):
    """A word on a run; the last value written wins."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    # The run's, once more, so that the keys of a project are found without its runs.
    project = models.ForeignKey(
        Project, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    objects = NamedQuerySet["Tag"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "key"], name="one_tag_per_key")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The whole value would not fit an index entry.
            models.Index("key", models.functions.Left("value", INDEXED_OF_TEXT), name="tag_lookup"),
            models.Index(fields=["project", "key"], name="tag_keys"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class MetricSeries(models.Model):
    """One metric of one run: what is known of all its points without reading them.

    Min and max ignore NaN; "last" is the point with the highest (step, time), which need not be the latest to arrive.
    `first_step` to `last_step` and `first_time` to `latest_time` are the widths of a chart.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="series")
    # The run's, once more: so that the best of a project's runs by a metric are the first entries of an index. A series
    # that an older version began has none until its next batch.
    project = models.ForeignKey(
        Project, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=250)
    count = models.BigIntegerField(default=0)
    last_value = models.FloatField(null=True)
    last_step = models.BigIntegerField(null=True)
    last_time = models.DateTimeField(null=True)
    min_value = models.FloatField(null=True)
    max_value = models.FloatField(null=True)
    first_step = models.BigIntegerField(null=True)
    first_time = models.DateTimeField(null=True)
    latest_time = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "key"], name="one_series_per_key")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["project", "key", "last_value"], include=["run"], name="series_ranking")
        ]

    @override
    def __str__(self) -> str:
        return self.key


class MetricPoint(models.Model):
    """One value of a series. `ordinal` counts arrivals, so the primary key grows at its end and inserts stay cheap."""

    pk = models.CompositePrimaryKey("series", "ordinal")
    series = models.ForeignKey(MetricSeries, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    ordinal = models.BigIntegerField()
    step = models.BigIntegerField()
    time = models.DateTimeField()
    value = models.FloatField()

    @override
    def __str__(self) -> str:
        return f"{self.step}: {self.value}"


class MetricBatch(models.Model):
    """A batch that was accepted, remembered so that its repeat adds nothing.

    `id` is derived from the run and the sender's id, so that nobody can use up another run's. `fingerprint` is the hash
    of the request where an Idempotency-Key, which may serve one request only, was that id.
    """

    id = models.UUIDField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    fingerprint = models.BinaryField(null=True, max_length=32)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["created_at"], name="batch_age")]

    @override
    def __str__(self) -> str:
        return str(self.id)


class Artifact(models.Model):
    """A file a run produced: a path within the run, and the content-addressed blob that holds its bytes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    content_type = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())
    quota_node = models.ForeignKey(QuotaNode, on_delete=models.PROTECT, null=True, related_name="+", editable=False)
    is_pinned = models.BooleanField(
        db_default=False, default=False, help_text="Kept, whatever the rule of its project says."
    )

    objects = ArtifactQuerySet["Artifact"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "path"], name="one_artifact_per_path")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["sha256"], name="artifact_blob")]

    @override
    def __str__(self) -> str:
        return self.path


class RunDataset(models.Model):
    """Data that a run read: what it is and where it came from, as the client told. The data itself is not here."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=64)
    source_type = models.CharField(max_length=64)
    source = models.TextField()
    schema = models.TextField(blank=True)
    profile = models.TextField(blank=True)
    context = models.CharField(max_length=250, blank=True)
    tags = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "name", "digest"], name="one_dataset_per_run")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["name", "digest"], name="dataset_lookup")]

    @override
    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"


class LoggedModel(models.Model):
    """A model that a run has made, before anybody registers it. Judged through its run, among whose files its own lie.

    A model that was logged outside of a run has one of its own (`is_alone`).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="logged_models")
    is_alone = models.BooleanField(default=False)
    name = models.CharField(max_length=250)
    model_type = models.CharField(max_length=250, blank=True)
    status = models.CharField(max_length=8, choices=ModelStatus, default=ModelStatus.PENDING)
    params = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    updated_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects = LoggedModelQuerySet["LoggedModel"].as_manager()

    @override
    def __str__(self) -> str:
        return self.name


class ModelMetric(models.Model):
    """What was measured of a logged model: the last value per metric, dataset and run that measured it."""

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="metrics")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=250)
    dataset_name = models.CharField(max_length=500, blank=True)
    dataset_digest = models.CharField(max_length=64, blank=True)
    value = models.FloatField()
    step = models.BigIntegerField()
    time = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["model", "run", "key", "dataset_name", "dataset_digest"], name="one_metric_per_model"
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class RunModel(models.Model):
    """That a run used a logged model (input) or made it (output)."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="models")
    model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="uses")
    direction = models.CharField(max_length=6, choices=Direction)
    step = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "model", "direction"], name="one_use_per_model")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.direction} of {self.run_id}"


class Upload(models.Model):
    """A file that comes in parts. Nobody sees it before it is whole and its hash is the one that was promised.

    What its sender has promised is counted in the quota from the beginning; one who does not know the size and the hash
    before (an MLflow client) pays when it is whole. `ref` is the store's own name for it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(null=True)
    part_bytes = models.BigIntegerField(null=True)
    part_count = models.PositiveIntegerField()
    content_type = models.CharField(max_length=120, blank=True)
    ref = models.CharField(max_length=500, blank=True)
    quota_node = models.ForeignKey(QuotaNode, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now())
    expires_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)

    objects = UploadQuerySet["Upload"].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["run", "created_by", "path"], name="upload_resumed"),
            models.Index(fields=["expires_at"], name="upload_expires"),
        ]

    @override
    def __str__(self) -> str:
        return self.path

    def size_of(self, number: int) -> int | None:
        """Return how long a part is: all are equal but the last; None when its sender did not say."""
        if self.size_bytes is None or self.part_bytes is None:
            return None
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


class Retention(models.Model):
    """How long the files of a project's or a team's runs are kept; a project's own rule goes before its team's."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.OneToOneField(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="retention")
    team = models.OneToOneField(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    days_after_end = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days after the run has ended; empty: for ever."
    )
    days_after_archive = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days after the run was deleted; empty: for ever."
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = GuardedQuerySet["Retention"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(project__isnull=False, team=None) | models.Q(project=None, team__isnull=False),
                name="retention_of_one",
            )
        ]

    @override
    def __str__(self) -> str:
        return f"files of {self.project or self.team}"


class SavedView(models.Model):
    """What a project's run table was asked for, under a name: for oneself, or for all who may see the project."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="views")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=4000, blank=True, help_text="The query string of the table.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = SavedViewQuerySet["SavedView"].as_manager()

    class Meta:
        verbose_name = "saved view"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["project", "owner", "name"], name="one_view_per_name")
        ]

    @override
    def __str__(self) -> str:
        return self.name
