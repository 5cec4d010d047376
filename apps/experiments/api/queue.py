"""What waits: the queue, why something waits, and what would start if limits were others."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.pagination import Cursor
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.audit import services as audit
from apps.compute import order, whatif, why
from apps.compute.models import Workload
from apps.core.api import CursorPage
from apps.core.errors import Invalid, NotAllowed
from apps.experiments import usage
from apps.experiments.models import Experiment
from apps.quotas.api.amounts import AmountField, base_units
from apps.quotas.api.views import find_node
from apps.quotas.models import Resource

_MOST_CHANGES = 100
Rows = Callable[[int, int], list[Any]]  # from a place on, so many


class StandingSerializer(serializers.Serializer[why.Standing]):
    """One step of the way to a place in fair share. Less use for its weight goes first."""

    node = serializers.CharField()
    cpu_hours = serializers.FloatField(help_text="What it used lately; halved with every half-life.")
    weight = serializers.IntegerField()
    score = serializers.FloatField()


class ObstacleSerializer(serializers.Serializer[why.Obstacle]):
    """A limit that it exceeds now, in base units."""

    node = serializers.CharField()
    kind = serializers.CharField()
    resource = serializers.CharField()
    limit = serializers.IntegerField()
    used = serializers.IntegerField(allow_null=True, help_text="Null: for operators only, since others share it.")
    need = serializers.IntegerField()
    sentence = serializers.CharField()
    changed_by = serializers.ListField(child=serializers.CharField(), help_text="Who can change the limit.")


class WaitSerializer(serializers.Serializer[why.Why]):
    """Why it waits, what would help, and when its turn comes."""

    state = serializers.CharField()
    reason = serializers.CharField()
    sentence = serializers.CharField()
    obstacles = ObstacleSerializer(many=True)
    remedies = serializers.ListField(child=serializers.CharField(), help_text="Sentences.")
    position = serializers.IntegerField(allow_null=True, help_text="From 1 on, among what I may see.")
    starts_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When it starts, if what is in its way ends at its time limit and nothing goes before.",
    )
    standing = StandingSerializer(many=True)


class QueueEntrySerializer(serializers.Serializer[Experiment]):
    """An experiment that waits, at its place."""

    id = serializers.UUIDField(source="pk")
    name = serializers.CharField(source="run.name")
    owner = serializers.CharField(source="run.owner.username")
    team = serializers.CharField(source="run.team.slug", default=None, allow_null=True)
    cluster = serializers.CharField(source="workload.cluster.name")
    position = serializers.SerializerMethodField(help_text="From 1 on, among what I may see.")
    reason = serializers.CharField(source="workload.reason")
    message = serializers.CharField(source="workload.message")
    priority_class = serializers.CharField(source="workload.priority_class")
    priority = serializers.IntegerField(source="workload.priority", help_text="Among its owner's own work.")
    queued_at = serializers.DateTimeField(source="workload.queued_at")
    standing = serializers.SerializerMethodField(help_text="Of its owner in fair share; others' only for operators.")

    def get_position(self, experiment: Experiment) -> int:
        return int(self.context["places"][experiment.workload_id])

    @extend_schema_field(StandingSerializer(many=True))
    def get_standing(self, experiment: Experiment) -> list[Any]:
        steps = self.context["standings"][tuple(experiment.workload.quota_node.path)]
        return cast("list[Any]", StandingSerializer(steps, many=True).data)


class ChangeSerializer(serializers.Serializer[Any]):
    node = serializers.CharField(max_length=120, help_text="The key of a place (team:7), or its id.")
    resource = serializers.CharField(max_length=40)
    limit = AmountField(allow_null=True, help_text="Null: no limit.")


class WhatIfSerializer(serializers.Serializer[Any]):
    """Limits as they might be."""

    limits = ChangeSerializer(many=True, allow_empty=False, max_length=_MOST_CHANGES)  # type: ignore[call-arg]  # of the list


class StarterSerializer(serializers.Serializer[Any]):
    """Waiting work that would start."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField()
    team = serializers.CharField(allow_null=True)


class WhatIfAnswerSerializer(serializers.Serializer[Any]):
    """At most 200 of each."""

    as_it_is = StarterSerializer(many=True, help_text="What would start with the next look at the queue anyway.")
    besides = StarterSerializer(many=True, help_text="What would start as well.")


class PlacePage(CursorPage):
    """Pages of an order that is made anew for each: the cursor is a place, and what moved meanwhile may be seen twice."""

    offset_cutoff = 10_000_000
    _at, _size, _has_more = 0, 0, False

    @override
    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request, self.base_url = request, request.build_absolute_uri()
        cursor = self.decode_cursor(request)
        self._at, self._size = cursor.offset if cursor else 0, self.get_page_size(request) or self.page_size
        rows: list[Any] = queryset(self._at, self._size + 1)
        self._has_more = len(rows) > self._size
        return rows[: self._size]

    @override
    def get_next_link(self) -> str | None:
        return self._link(self._at + self._size) if self._has_more else None

    @override
    def get_previous_link(self) -> str | None:
        return self._link(max(0, self._at - self._size)) if self._at else None

    def _link(self, at: int) -> str:
        return str(self.encode_cursor(Cursor(offset=at, reverse=False, position=None)))


class QueueViewSet(GuardedViewSet):
    """What waits and I may see; for operators everything."""

    model = Experiment
    queryset = Experiment.objects.none()
    serializer_class = QueueEntrySerializer
    pagination_class = PlacePage
    policy_actions: ClassVar = {"list": "view"}

    @extend_schema(operation_id="queue_list")
    def list(self, request: Request) -> Response:
        """List what waits, in the order of the queue."""
        seen = seen_by(request.user)
        page = self.paginate_queryset(cast("Any", lambda at, count: order.in_order(seen, offset=at, limit=count)))
        places = dict(page or [])
        rows = Experiment.objects.with_details().select_related("workload__quota_node")
        found = {row.workload_id: row for row in rows.filter(workload_id__in=places)}
        entries = [found[pk] for pk in places if pk in found]
        paths = {tuple(row.workload.quota_node.path) for row in entries}
        context = {"places": places, "standings": why.standings_of(paths, by=request.user)}
        return self.get_paginated_response(QueueEntrySerializer(cast("Any", entries), many=True, context=context).data)


def seen_by(user: Any) -> list[Any] | None:
    """Return the ids of the waiting workloads that `user` may see; None for operators, who see all."""
    if (user.is_superuser or user.is_auditor) and not getattr(user.token, "bound_to", ""):
        return None
    return list(usage.queued_for(user).order_by().values_list("workload_id", flat=True))


def explanation(experiment: Experiment, *, by: Any) -> dict[str, Any]:
    """Say where an experiment stands, as `by` may know it."""
    found = why.explain(experiment.workload, by=by, seen=seen_by(by))
    return dict(WaitSerializer(found).data)


class WhatIfView(GuardedAPI):
    """What if limits were others. For operators: the answer tells of everybody's work."""

    policy_actions: ClassVar = {"create": "quotanode:view"}

    @override
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        user = cast("Any", request.user)
        if not (user.is_superuser or user.is_auditor):
            msg = user.changes_nothing or "Only admins and auditors ask what if."
            raise audit.refused(user, "quotanode:view", "", NotAllowed(msg))

    @extend_schema(operation_id="quotas_what_if", request=WhatIfSerializer, responses=WhatIfAnswerSerializer)
    def create(self, request: Request) -> Response:
        """Say which of the waiting would start, if some limits were others. Nothing is changed."""
        asked = WhatIfSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = whatif.what_if(_limits(asked.validated_data["limits"], by=request.user))
        shown = _starters([*found.as_it_is, *found.besides])
        answer = {
            name: [shown[row.pk] for row in rows if row.pk in shown]
            for name, rows in (("as_it_is", found.as_it_is), ("besides", found.besides))
        }
        return Response(WhatIfAnswerSerializer(answer).data)


def _limits(changes: list[dict[str, Any]], *, by: Any) -> dict[tuple[int, str], int | None]:
    known, found = set(Resource.objects.names()), dict[tuple[int, str], int | None]()
    for number, change in enumerate(changes):
        where, resource = f"limits[{number}]", change["resource"]
        node = find_node(change["node"], by=by, field=f"{where}.node")
        if resource not in known:
            raise Invalid(errors={f"{where}.resource": [f"There is no {resource!r} to limit."]})
        try:
            found[node.pk, resource] = None if change["limit"] is None else base_units(resource, change["limit"])
        except ValueError as error:
            raise Invalid(errors={f"{where}.limit": [str(error)]}) from error
    return found


def _starters(workloads: list[Workload]) -> dict[Any, dict[str, Any]]:
    rows = Experiment.objects.with_details().filter(workload_id__in=[row.pk for row in workloads])
    return {
        row.workload_id: {
            "id": row.pk,
            "name": row.run.name,
            "owner": row.run.owner.username,
            "team": row.run.team.slug if row.run.team else None,
        }
        for row in rows
    }
