"""What the API document says of parameters and bodies, beside what the code shows."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The environment's id.")
NUMBER = OpenApiParameter("number", str, OpenApiParameter.PATH, description="A version's number, or latest.")
CLUSTER = OpenApiParameter("cluster", str, OpenApiParameter.PATH, description="The name of a cluster.")
REASON = OpenApiParameter("reason", str, description="Kept in the audit trail.")
FILTERS = [
    OpenApiParameter("q", str, description="Part of the name."),
    OpenApiParameter("name", str, description="The name."),
    OpenApiParameter("team", str, description="The slug of a team."),
    OpenApiParameter("shared", str, description="Anything: only what was shared with me."),
]
NEW = OpenApiExample(
    "With scikit-learn",
    {"name": "sklearn", "python": "3.11", "packages": "scikit-learn==1.5.2\npandas>=2,<3\n"},
    request_only=True,
)
