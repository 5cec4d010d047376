"""The audit trail, for auditors and admins. It is here because `audit` is below `access` and must not know it."""

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import auditing
from apps.access.api import GuardedAPI
from apps.accounts import acting
from apps.audit import export, organizations, querying
from apps.audit.choices import DOORS, Outcome
from apps.audit.export import Format
from apps.audit.models import AuditEvent
from apps.core.api import CursorPage
from apps.core.errors import Invalid

_WORDS: dict[str, dict[str, Any]] = {
    "actor": {"description": "A user name: what he did, and what the database saw change in the same transactions."},
    "action": {},
    "object_type": {"description": "As `teams.team`."},
    "object_id": {},
    "organization": {"description": "A slug, or `platform` for what belongs to none."},
    "outcome": {"enum": Outcome.values},
    "origin": {"enum": DOORS, "description": "The door."},
    "request_id": {},
    "txid": {"type": OpenApiTypes.INT64, "description": "What one transaction wrote."},
    "since": {"type": OpenApiTypes.DATETIME},
    "until": {"type": OpenApiTypes.DATETIME, "description": "Not included."},
}
_FILTERS = [OpenApiParameter(name, **{"type": OpenApiTypes.STR, **_WORDS[name]}) for name in querying.FILTERS]


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    actor = serializers.CharField(source="actor_label")
    organization = serializers.SerializerMethodField(help_text="Its slug; empty for what belongs to the platform.")

    class Meta:
        model = AuditEvent
        fields = (
            "id", "at", "organization", "actor", "on_behalf_of", "token_id", "origin", "ip", "request_id", "action",
            "object_type", "object_id", "object_label", "outcome", "reason", "data", "txid",
        )  # fmt: skip

    def get_organization(self, event: AuditEvent) -> str:
        names: Any = self.context["organizations"]
        return "" if event.organization_id is None else names.get(event.organization_id, str(event.organization_id))


class TrailView(GuardedAPI):
    policy_actions: ClassVar = {"list": "audit:view"}

    @extend_schema(
        operation_id="audit_list",
        parameters=[
            *_FILTERS,
            OpenApiParameter("cursor", OpenApiTypes.STR),
            OpenApiParameter("limit", OpenApiTypes.INT),
        ],
        responses=AuditEventSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List events, newest first. For auditors and admins."""
        wanted = querying.Wanted.read(request.query_params)
        pages = CursorPage()
        page = pages.paginate_queryset(wanted.apply(auditing.events(request.user)), request, self)
        context = {"organizations": organizations.names()}
        return pages.get_paginated_response(AuditEventSerializer(page, many=True, context=context).data)


class ExportView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": "audit:export"}

    @override
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # `format` is ours to read

    @extend_schema(
        operation_id="audit_export",
        parameters=[*_FILTERS, OpenApiParameter("format", OpenApiTypes.STR, enum=[form.value for form in Format])],
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY, (200, "text/csv"): OpenApiTypes.BINARY},
    )
    def retrieve(self, request: Request) -> StreamingHttpResponse:
        """Write out all events that fit, oldest first, as NDJSON or CSV. For auditors and admins."""
        given = request.query_params.get("format", Format.NDJSON.value)
        if given not in set(Format):
            raise Invalid(errors={"format": [f"One of {', '.join(Format)}."]})
        wanted = querying.Wanted.read(request.query_params)
        return download(wanted.apply(auditing.events(request.user, "export")), Format(given), by=request.user)


def download(events: Any, form: Format, *, by: Any) -> StreamingHttpResponse:
    """Return events as a file that is sent while it is read, and while `by` may read it."""
    name = f'attachment; filename="audit.{form.value}"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    pieces = acting.while_reading(export.stream(events, form), by, auditing.is_auditor)
    return StreamingHttpResponse(pieces, content_type=form.content_type, headers=headers)
