"""MLflow's calls as Django views. The hot ones have native handlers beside them (`apps.mlflow.hot`), which answer the
same: both call the same translator.
"""

from typing import Any, ClassVar

import orjson
from django.http import HttpResponse
from rest_framework.request import Request
from typing_extensions import override

from apps.access.api import GuardedAPI
from apps.access.views import GuardedView
from apps.core.api import translate
from apps.core.errors import DomainError, NotAuthenticated, Throttled, Unready
from apps.mlflow import calls, errors
from apps.mlflow.authentication import CHALLENGE, WireAuthentication
from apps.mlflow.calls import Call
from apps.mlflow.routing import Answer, Translator

_JSON = "application/json"


class WireView(GuardedAPI):
    """One path of the wire; the subclasses are made from the table, one per path, with a translator per method."""

    schema: Any = None  # described by MLflow, not by our OpenAPI document
    authentication_classes = (WireAuthentication,)
    parser_classes = ()
    translators: ClassVar[dict[str, Translator]] = {}

    def get_answer(self, request: Request, **parts: Any) -> HttpResponse:
        given = calls.of_query(dict(request.query_params.lists()))
        return self._answer(request, "GET", {**given, **parts})

    def post_answer(self, request: Request, **parts: Any) -> HttpResponse:
        return self._answer(request, "POST", {**self._body(request), **parts})

    def patch_answer(self, request: Request, **parts: Any) -> HttpResponse:
        return self._answer(request, "PATCH", {**self._body(request), **parts})

    def put_answer(self, request: Request, **parts: Any) -> HttpResponse:
        return self._answer(request, "PUT", {**self._body(request), **parts})

    def delete_answer(self, request: Request, **parts: Any) -> HttpResponse:
        return self._answer(request, "DELETE", {**self._body(request), **parts})

    @override
    def handle_exception(self, exc: Exception) -> Any:
        error = translate(exc)
        if error is None:
            raise exc
        return refusal(error)

    @staticmethod
    def _body(request: Request) -> dict[str, Any]:
        stream = request._request  # noqa: SLF001 -- the unparsed body
        return dict(calls.read(stream.read(calls.LARGEST_BODY + 1)))

    def _answer(self, request: Request, method: str, given: dict[str, Any]) -> HttpResponse:
        answer = self.translators[method](Call(request.user, given))
        return HttpResponse(encoded(answer), content_type=_JSON, headers={"Cache-Control": "no-store"})


class NoEndpointView(GuardedAPI):
    """Whatever else MLflow's client may call: told so in its own words."""

    schema: Any = None
    authentication_classes = (WireAuthentication,)
    parser_classes = ()
    policy_actions: ClassVar = {"refuse": ""}

    def refuse(self, request: Request, rest: str) -> HttpResponse:
        del request
        msg = f"Fathom does not serve this call of MLflow's: {rest[:200]}"
        return refusal(errors.NoEndpoint(msg))

    @override
    def handle_exception(self, exc: Exception) -> Any:
        error = translate(exc)
        if error is None:
            raise exc
        return refusal(error)


def encoded(answer: Answer) -> bytes:
    """Return the body of an answer; a translator may have written it already."""
    return answer if isinstance(answer, bytes) else orjson.dumps(answer)


def refusal(error: DomainError) -> HttpResponse:
    """Return an error as MLflow's client reads it."""
    return HttpResponse(
        orjson.dumps(errors.body_of(error)), status=error.status, content_type=_JSON, headers=headers_of(error)
    )


def headers_of(error: DomainError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unready):
        headers["Retry-After"] = "2"
    return headers


class PlainView(GuardedView):
    """`/health` and `/version`: the client asks them before it has shown a token, and they hold nothing."""

    public_reason: ClassVar[str] = "says that the platform is there and which MLflow it speaks, nothing else"
    policy_action = ""
    text: ClassVar[str] = ""

    @override
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        return HttpResponse(self.text, content_type="text/plain")

    def get(self, request: Any) -> HttpResponse:
        return self.dispatch(request)
