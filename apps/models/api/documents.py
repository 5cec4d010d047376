"""Parameters and examples of the OpenAPI document."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from apps.models.choices import RequestState, Stage
from apps.models.services import FORMATS

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The model's id.")
VERSION = OpenApiParameter(
    "version", OpenApiTypes.STR, OpenApiParameter.PATH, description="A number, an alias, or latest."
)
ALIAS = OpenApiParameter("alias", OpenApiTypes.STR, OpenApiParameter.PATH)
PATH = OpenApiParameter("path", OpenApiTypes.STR, OpenApiParameter.PATH, description="Relative; slashes are folders.")
REQUEST_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The request's id.")
RULE_ID = OpenApiParameter("rule", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The rule's id.")
REASON = OpenApiParameter("reason", {"type": "string", "maxLength": 1000}, description="For the history.")
_WORD = {"type": "string", "maxLength": 250}
MODEL_FILTERS = [
    OpenApiParameter("q", _WORD, description="Part of the name."),
    OpenApiParameter("name", _WORD, description="Exactly this name."),
    OpenApiParameter("team", _WORD, description="A team's slug."),
    OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="key=value"),
    OpenApiParameter("shared", OpenApiTypes.BOOL, description="Only what was shared with me."),
]
VERSION_FILTERS = [
    OpenApiParameter("stage", OpenApiTypes.STR, enum=Stage.values),
    OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="key=value"),
]
REQUEST_FILTERS = [
    OpenApiParameter("state", OpenApiTypes.STR, enum=RequestState.values),
    OpenApiParameter("model", OpenApiTypes.UUID, description="Only those of this model."),
]
POINTED = [
    OpenApiParameter("alias", _WORD, required=True),
    OpenApiParameter("at", OpenApiTypes.DATETIME, description="Default: now."),
]
COMPARED = [OpenApiParameter("version", OpenApiTypes.STR, many=True, required=True, description="2 to 10 of them.")]
FILES = [
    OpenApiParameter("after", OpenApiTypes.STR, description="Go on after this path."),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
]
UPLOAD = [
    OpenApiParameter(
        "filename", {"type": "string", "maxLength": 500}, description="Of a single file; not of archives."
    ),
    OpenApiParameter("details", OpenApiTypes.STR, description="What is said of the version, as JSON."),
]
UPLOADED: dict[Any, Any] = dict.fromkeys([*FORMATS, "application/octet-stream"], OpenApiTypes.BINARY)

NEW_VERSION = OpenApiExample(
    "from a run's folder",
    value={
        "run": "0199a8f0-0000-7000-8000-000000000001",
        "path": "model",
        "datasets": [{"name": "digits", "digest": "9a1f"}],
    },
    request_only=True,
)
NEW_MODEL = OpenApiExample("a team's model", value={"name": "digits", "team": "vision"}, request_only=True)
SET_ALIAS = OpenApiExample("to version 3", value={"version": "3", "reason": "better on new data"}, request_only=True)
NEW_RULE = OpenApiExample(
    "two others approve what is accurate",
    value={
        "target": "alias",
        "name": "champion",
        "approvals": 2,
        "thresholds": [{"metric": "accuracy", "operator": ">=", "value": 0.9}],
    },
    request_only=True,
)
NEW_REQUEST = OpenApiExample(
    "champion to version 3",
    value={"name": "champion", "version": "3", "reason": "two points better"},
    request_only=True,
)
