from typing import Any, ClassVar, cast

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.accounts.api.people import DRY_RUN, is_dry_run
from apps.core.errors import Invalid
from apps.teams import services
from apps.teams.api import serializers
from apps.teams.models import Membership, Organization, Team
from apps.teams.services import ImportReport

_USERNAME = OpenApiParameter("username", OpenApiTypes.STR, OpenApiParameter.PATH)


def data_of(kind: Any, request: Request) -> dict[str, Any]:
    """Check the body by a serializer; return what it holds. Raises: ValidationError."""
    asked = kind(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


class _ClosableViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """An organization or a team: renamed, archived and restored by admins."""

    lookup_field = "slug"

    def change(self, row: Any, request: Request, archive: Any) -> None:
        """Do what a `RenameSerializer` asks."""
        asked = data_of(serializers.RenameSerializer, request)
        reason, by = asked["reason"], request.user
        if "name" in asked:
            services.rename(row, name=asked["name"], by=by, reason=reason)
        if "archived" in asked and asked["archived"] != (row.archived_at is not None):
            if not reason.strip():
                raise Invalid(errors={"reason": ["Say why."]})
            (archive if asked["archived"] else services.restore)(row, by=by, reason=reason)


class TeamViewSet(HistoryMixin, _ClosableViewSet):
    """My teams and who is in them."""

    model = Team
    queryset = Team.objects.none()
    serializer_class = serializers.TeamSerializer
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "history": "view", "create": "manage", "partial_update": "manage",
        "set_member": "manage", "remove_member": "manage",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        members = (
            Membership.objects.visible_to(self.request.user, "view").select_related("user").order_by("user__username")
        )
        return queryset.select_related("organization").prefetch_related(Prefetch("memberships", members))

    @extend_schema(
        operation_id="teams_create",
        request=serializers.NewTeamSerializer,
        responses={201: serializers.TeamSerializer},
    )
    def create(self, request: Request) -> Response:
        """Make a team. Admins only."""
        policy.require_admin(cast("Any", request.user))
        asked = data_of(serializers.NewTeamSerializer, request)
        rows = Organization.objects.visible_to(request.user, "view")
        organization = rows.filter(slug=asked["organization"]).first()
        if organization is None:
            raise Invalid(errors={"organization": ["There is no such organization, or you are not in it."]})
        team = services.create_team(organization, slug=asked["slug"], name=asked["name"], by=request.user)
        return Response(self.get_serializer(team).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="teams_partial_update",
        request=serializers.RenameSerializer,
        responses=serializers.TeamSerializer,
    )
    def partial_update(self, request: Request, slug: str) -> Response:
        """Rename, archive or restore a team. Admins only."""
        del slug
        team = self.get_object()
        self.change(team, request, services.archive_team)
        return Response(self.get_serializer(team).data)

    @extend_schema(
        operation_id="teams_set_member",
        request=serializers.RoleSerializer,
        responses=serializers.MemberSerializer,
        parameters=[_USERNAME],
    )
    @action(detail=True, methods=["put"], url_path="members/(?P<username>[^/]+)", url_name="member")
    def set_member(self, request: Request, slug: str, username: str) -> Response:
        """Put somebody into the team, or give him another role. Maintainers only."""
        del slug
        team = self.get_object()
        role = data_of(serializers.RoleSerializer, request)["role"]
        person = services.find_person(username, team=team, by=request.user)
        membership = services.set_member(team, person, role=role, by=request.user)
        return Response(serializers.MemberSerializer(membership).data)

    @extend_schema(operation_id="teams_remove_member", responses={204: None}, parameters=[_USERNAME])
    @set_member.mapping.delete
    def remove_member(self, request: Request, slug: str, username: str) -> Response:
        """Take somebody out of the team; what he owns stays his. Maintainers only."""
        del slug
        team = self.get_object()
        services.remove_member(team, services.find_member(username, team=team, by=request.user), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class OrganizationViewSet(_ClosableViewSet):
    """The organizations of my teams."""

    model = Organization
    queryset = Organization.objects.none()
    serializer_class = serializers.OrganizationSerializer
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage"}

    @extend_schema(
        operation_id="organizations_create",
        request=serializers.NewOrganizationSerializer,
        responses={201: serializers.OrganizationSerializer},
    )
    def create(self, request: Request) -> Response:
        """Make an organization. Admins only."""
        asked = data_of(serializers.NewOrganizationSerializer, request)
        made = services.create_organization(slug=asked["slug"], name=asked["name"], by=request.user)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="organizations_partial_update",
        request=serializers.RenameSerializer,
        responses=serializers.OrganizationSerializer,
    )
    def partial_update(self, request: Request, slug: str) -> Response:
        """Rename, archive or restore an organization. Admins only."""
        del slug
        organization = self.get_object()
        self.change(organization, request, services.archive_organization)
        return Response(self.get_serializer(organization).data)


class ImportView(GuardedAPI):
    """Onboarding from a file. Admins only."""

    shown_once = frozenset({"links"})
    policy_actions: ClassVar = {"create": "user:manage"}

    @extend_schema(
        operation_id="users_import",
        request=serializers.ImportSerializer,
        parameters=[DRY_RUN],
        responses=serializers.ImportReportSerializer,
    )
    def create(self, request: Request) -> Response:
        """Create the people of a file and put them into teams, all or nothing; or say line by line what that would do."""
        asked = data_of(serializers.ImportSerializer, request)
        report = services.import_people(asked["csv"].encode(), by=request.user, dry_run=is_dry_run(request))
        return Response(report_of(report))


def report_of(report: ImportReport) -> dict[str, Any]:
    """Show an import as JSON."""
    return {
        "applied": report.applied,
        "changes": report.changes,
        "new_people": report.new_people,
        "lines": [
            {"line": row.line.number, "username": row.line.username, "does": row.does, "errors": row.errors}
            for row in report.lines
        ],
        "links": [{"username": name, "url": settings.FATHOM_URL + path} for name, path in report.links],
    }
