from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.api import GuardedAPI
from apps.core.errors import Invalid, NotFound
from apps.lineage import services
from apps.lineage.choices import Direction, Relation

_DEFAULT_DEPTH = 3


class LineageNodeSerializer(serializers.Serializer[Any]):
    """One node. What one may not see has a key and nothing else; it is told only where it is a source."""

    key = serializers.CharField(help_text="By which the edges name it: its id, unless it is hidden.")
    kind = serializers.CharField(allow_blank=True, help_text="run, modelversion, dataset, code or environment.")
    id = serializers.UUIDField(allow_null=True)
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the attribute
    hint = serializers.CharField(allow_blank=True)
    depth = serializers.IntegerField(help_text="Steps from where the walk began; negative: a source.")
    hidden = serializers.BooleanField(source="is_hidden")


class LineageEdgeSerializer(serializers.Serializer[Any]):
    source = serializers.CharField()  # type: ignore[assignment]  # as above
    target = serializers.CharField()
    relation = serializers.ChoiceField(choices=Relation.choices)


class LineageSerializer(serializers.Serializer[Any]):
    """What was walked over. `cut`: there is more than is told."""

    nodes = LineageNodeSerializer(many=True)
    edges = LineageEdgeSerializer(many=True)
    cut = serializers.BooleanField()


_EXAMPLE = {
    "nodes": [
        {
            "key": "0199a8f0-0000-7000-8000-000000000002",
            "kind": "modelversion",
            "id": "0199a8f0-0000-7000-8000-000000000002",
            "label": "digits 3",
            "hint": "",
            "depth": 0,
            "hidden": False,
        },
        {"key": "hidden-7", "kind": "", "id": None, "label": "Something you may not see", "hint": "", "depth": -1, "hidden": True},
    ],
    "edges": [{"source": "hidden-7", "target": "0199a8f0-0000-7000-8000-000000000002", "relation": "produced"}],
    "cut": False,
}  # fmt: skip


class LineageAPI(GuardedAPI):
    """Where something came from, and what became of it."""

    policy_actions: ClassVar = {"retrieve": ""}

    @extend_schema(
        operation_id="lineage_retrieve",
        parameters=[
            OpenApiParameter(
                "kind",
                OpenApiTypes.STR,
                OpenApiParameter.PATH,
                description="run, modelversion, dataset, code, environment",
            ),
            OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The node's id."),
            OpenApiParameter("direction", OpenApiTypes.STR, enum=Direction.values, description="Default: both."),
            OpenApiParameter(
                "depth", {"type": "integer", "minimum": 1, "maximum": services.MOST_DEPTH}, description="Default: 3."
            ),
        ],
        responses=LineageSerializer,
        examples=[OpenApiExample("a version whose run is hidden", value=_EXAMPLE, response_only=True)],
    )
    def retrieve(self, request: Request, kind: str, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Walk from a node. Each node is judged: a source that I may not see is named as such, and nothing behind it."""
        try:
            start = services.find(kind, UUID(id), by=request.user)
        except ValueError:
            raise NotFound from None
        direction = request.query_params.get("direction", Direction.BOTH.value)
        graph = services.walk(start, by=request.user, direction=direction, depth=_depth(request))
        answer = {"nodes": list(graph.nodes.values()), "edges": graph.edges, "cut": graph.is_cut}
        return Response(LineageSerializer(answer).data)


def _depth(request: Request) -> int:
    text = request.query_params.get("depth", str(_DEFAULT_DEPTH))
    if not (text.isascii() and text.isdigit() and len(text) <= 4):  # noqa: PLR2004 -- larger than any limit
        raise Invalid(errors={"depth": ["Expected a whole number."]})
    return int(text)
