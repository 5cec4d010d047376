"""What guarded API views share. A view names the policy action of each of its actions; an undeclared one raises."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import orjson
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ViewSetMixin
from typing_extensions import override

from apps.access import idempotency, policy
from apps.access.models import IdempotencyRecord
from apps.audit.services import refused
from apps.core import failpoints
from apps.core.api import StrictJSONParser
from apps.core.errors import NotFound

_SAFE = {"GET", "HEAD", "OPTIONS"}


class IdempotentMixin(APIView):
    """Honours `Idempotency-Key` on every unsafe method with a JSON body."""

    metadata_class: Any = None  # OPTIONS would tell what the schema tells
    shown_once: ClassVar[frozenset[str]] = frozenset()  # fields of an answer that are secret: a repeat gets them empty
    _record: IdempotencyRecord | None = None

    @override
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method in _SAFE or not self._wants_record(request):
            return super().dispatch(request, *args, **kwargs)
        with transaction.atomic():
            response: Any = super().dispatch(request, *args, **kwargs)
            if response.status_code >= 400:  # noqa: PLR2004 -- every HTTP error
                transaction.set_rollback(True)
            elif self._record is not None and self._record.status is None:
                idempotency.finish(self._record, response.status_code, self._kept(response.data))
            failpoints.hit("api.before_commit")
        failpoints.hit("api.after_commit")
        return response

    @override
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in _SAFE and self._wants_record(request) and request.user.is_authenticated:
            key = request.headers["Idempotency-Key"]
            sha = idempotency.fingerprint(str(request.method), request.get_full_path(), request.data)
            self._record = idempotency.begin(request.user, key, sha)
            failpoints.hit("api.after_validate")

    @override
    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, idempotency.Replay):
            self._record = exc.record
            return Response(exc.record.response, status=exc.record.status, headers={"Idempotent-Replayed": "true"})
        return super().handle_exception(exc)

    def _kept(self, answer: Any) -> Any:
        """Return what is stored of an answer. SECURITY: a token is never readable in the database."""
        data = None if answer is None else orjson.loads(JSONRenderer().render(answer))
        return {**data, **dict.fromkeys(self.shown_once & data.keys(), "")} if isinstance(data, dict) else data

    def _wants_record(self, request: Any) -> bool:
        return "Idempotency-Key" in request.headers and StrictJSONParser in self.parser_classes


class GuardedViewSet(IdempotentMixin, GenericViewSet[Any]):
    """Finds objects through `visible_to`; judges each action by the policy.

    `policy_actions`: action of the view -> action of the policy. `lookup_field` may name a natural key.
    """

    policy_actions: ClassVar[Mapping[str, str]] = {}
    model: ClassVar[type[Model]]

    @override
    def get_queryset(self) -> QuerySet[Any]:
        action = self.policy_actions.get(self.action or "", "view")
        kept = action if self.action == "list" else "view"
        manager: Any = self.model._default_manager  # noqa: SLF001 -- generic code
        rows = manager.visible_to(self.request.user, kept)
        if self.action == "list" and "share" in policy.policy_for(self.model).actions and self._wants_shared():
            rows = rows.shared_with(self.request.user)
        return self.shape(rows)

    def _wants_shared(self) -> bool:
        return self.request.query_params.get("shared", "").lower() in {"1", "true", "yes"}

    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Add what this view's output needs: select_related, annotations, filters."""
        return queryset

    @override
    def get_object(self) -> Any:
        """Return the object of the URL. Raises: NotFound unless visible, NotAllowed with the reason."""
        value = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
        user, named = cast("Any", self.request.user), {self.lookup_field: value}
        try:
            found = policy.find(self.shape(self.model._default_manager.all()), user, **named)  # noqa: SLF001 -- generic code
        except (ObjectDoesNotExist, ValidationError, ValueError):
            kind, action = self.model._meta.label_lower, self.policy_actions[str(self.action)]  # noqa: SLF001 -- documented Django API
            raise refused(user, action, kind, NotFound(), object_id=str(value)) from None
        action = self.policy_actions[str(self.action)]
        if action != "view":  # that one was just judged
            policy.require(user, action, found)
        return found


class GuardedAPI(IdempotentMixin, ViewSetMixin, APIView):
    """Base of API views without a model of their own; `policy_actions` names, per action, a scope or ""."""

    policy_actions: ClassVar[Mapping[str, str]] = {}
