"""The parts of the OpenAPI document that no serializer tells: bodies checked by columns, and raw ones."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from apps.tracking import batches, curves, listing
from apps.tracking.api.serializers import NUMBER
from apps.tracking.choices import RunStatus

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The run's id.")
UPLOAD_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The upload's id.")
PROJECT_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The project's id.")
VIEW_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The view's id.")
PATH = OpenApiParameter("path", OpenApiTypes.STR, OpenApiParameter.PATH, description="Relative; slashes are folders.")

_WORD = {"type": "string", "maxLength": 250}
_INT64 = {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}
_KEY = {"type": "string", "minLength": 1, "maxLength": batches.LONGEST_KEY}
_TIME = {
    "oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}, {"type": "null"}],
    "description": "RFC 3339, or whole milliseconds since 1970. Without one: the server's.",
}
_STEP = {"oneOf": [_INT64, {"type": "null"}], "description": "Without one: the metric's highest so far, plus one."}
_POINT = {"key": _KEY, "value": NUMBER, "step": _STEP, "time": _TIME}
_SCALAR = {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}

RUN_FILTERS = [
    OpenApiParameter("project", _WORD, description="Id or name."),
    OpenApiParameter("q", _WORD, description="Part of the name."),
    OpenApiParameter("status", OpenApiTypes.STR, many=True, enum=RunStatus.values),
    OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="key=value"),
    OpenApiParameter("shared", OpenApiTypes.BOOL, description="Only what was shared with me."),
]
VIEW_FILTERS = [OpenApiParameter("project", OpenApiTypes.UUID, description="The views of one project.")]
PROJECT_FILTERS = [
    OpenApiParameter("q", _WORD, description="Part of the name."),
    OpenApiParameter("team", _WORD, description="A team's slug."),
    OpenApiParameter("shared", OpenApiTypes.BOOL, description="Only what was shared with me."),
]
CURVE_FILTERS = [
    OpenApiParameter("key", OpenApiTypes.STR, many=True, description="Default: all."),
    OpenApiParameter("points", {"type": "integer", "minimum": curves.FEWEST_POINTS, "maximum": curves.MOST_POINTS}),
    OpenApiParameter(
        "x", OpenApiTypes.STR, enum=["step", "time"], description="What a down-sampled curve is cut along."
    ),
]
RUNS = OpenApiParameter(
    "run", OpenApiTypes.STR, many=True, required=True, description="Ids, also several in one, separated by commas."
)
CURVES_FILTERS = [OpenApiParameter("key", OpenApiTypes.STR, many=True, required=True), *CURVE_FILTERS[1:]]
FOLDER_FILTERS = [
    OpenApiParameter("path", OpenApiTypes.STR, description="A folder. Default: the top."),
    OpenApiParameter("after", OpenApiTypes.STR, description="Go on after this name."),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": listing.MOST_ENTRIES}),
]
DIRECT = OpenApiParameter(
    "direct", OpenApiTypes.BOOL, description="Go to the store itself where it gives links; else to the content origin."
)
UPLOAD_HEADERS = [
    OpenApiParameter(
        "X-Content-SHA256",
        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        OpenApiParameter.HEADER,
        description="Checked against what arrives.",
    )
]

BATCH: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "batch_id": {
            "type": ["string", "null"],
            "format": "uuid",
            "description": "The same id twice for one run adds nothing.",
        },
        "metrics": {
            "oneOf": [
                {
                    "type": "array",
                    "maxItems": batches.MOST_METRICS,
                    "items": {
                        "type": "object",
                        "required": ["key", "value"],
                        "additionalProperties": False,
                        "properties": _POINT,
                    },
                },
                {
                    "type": "object",
                    "description": "Columns of equal length.",
                    "additionalProperties": False,
                    "properties": {name: {"type": "array", "items": kind} for name, kind in _POINT.items()},
                },
            ]
        },
        "params": {"type": "object", "maxProperties": batches.MOST_NAMES, "additionalProperties": _SCALAR},
        "tags": {"type": "object", "maxProperties": batches.MOST_NAMES, "additionalProperties": _SCALAR},
    },
}
