"""The calls that training scripts make all the time, on the event loop and without Django's request.

What logs to a run is judged and written as `apps.tracking.hot` does it. The others run the translator of the view in a
thread of their own pool. Both answer as the view does: the same translators, the same policy, the same errors.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
import psycopg
from django.conf import settings
from django.db import Error as DjangoDatabaseError

from apps.accounts import services as accounts
from apps.audit import services as audit
from apps.core import asyncdb, native
from apps.core.errors import DomainError, NotAuthenticated, NotFound
from apps.core.middleware import RequestContext, address_of, current_request, request_id_of
from apps.core.native import ClientGoneError, Receive, Scope, Send
from apps.mlflow import calls, errors, experiments, logging, metrics, model_versions, runs, search
from apps.mlflow.authentication import token_of
from apps.mlflow.calls import Call
from apps.mlflow.routing import API, Answer, Translator
from apps.mlflow.views import encoded, headers_of
from apps.tracking import ingest, judging
from apps.tracking.language.runs import is_hex

Work = Callable[[str, Mapping[str, Any]], Awaitable[Answer]]
Handler = Callable[..., Awaitable[None]]

_DONE = b"{}"
_TOO_LARGE = f"A request may have {calls.LARGEST_BODY} bytes. Send several."
_threads = ThreadPoolExecutor(settings.FATHOM_WEB_THREADS, thread_name_prefix="mlflow")


def _handler(work: Work, action: str, label: str = "tracking.run") -> Handler:
    """Return the ASGI handler of one call: read, let `work` answer, translate what it raises.

    A refusal is audited as one of `action` on something of `label`.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        headers = native.headers_of(scope)
        client = scope.get("client")
        request_id = request_id_of(headers.get("x-request-id", ""))
        context = RequestContext(request_id, address_of(client[0] if client else None), "api")
        reset = current_request.set(context)
        try:
            answer = await _answer(work, scope, receive, headers)
            told = {"Content-Type": "application/json", "X-Request-ID": request_id}
            await native.answer(send, 200, encoded(answer), told)
        except ClientGoneError:
            return
        except (DomainError, DjangoDatabaseError, psycopg.Error) as error:
            refusal = native.translated(error)
            if refusal is None:
                raise  # a bug: the server answers 500 and logs it
            told = {"Content-Type": "application/json", "X-Request-ID": request_id, **headers_of(refusal)}
            await native.answer(send, refusal.status, orjson.dumps(errors.body_of(refusal)), told)
            if refusal.status in judging.REFUSALS and "authorization" in headers:
                await judging.in_thread(audit.record_denied, None, action, label, refusal)
        finally:
            current_request.reset(reset)

    return handle


async def _answer(work: Work, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> Answer:
    token = token_of(headers.get("authorization", "").encode("latin-1"))
    if token is None:
        msg = "Authentication credentials were not provided."
        raise NotAuthenticated(msg)
    if scope["method"] == "GET":
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
        return await work(token, calls.of_query(query))
    body = await native.body_of(receive, headers, largest=calls.LARGEST_BODY, too_large=_TOO_LARGE)
    return await work(token, calls.read(body))


def _translating(translator: Translator) -> Work:
    async def work(token: str, given: Mapping[str, Any]) -> Answer:
        return await judging.in_pool(_threads, _translate, translator, token, given)

    return work


def _translate(translator: Translator, token: str, given: Mapping[str, Any]) -> bytes:
    return encoded(translator(Call(accounts.authenticate_token(token), given)))


def _writing(reader: logging.Reader, translator: Translator) -> Work:
    async def work(token: str, given: Mapping[str, Any]) -> Answer:
        call, run = Call(None, given), _run_of(given)
        # The translator of the view can tell more of a run that is deleted, or not named, and write what is more.
        if run is None or not await _may_log(token, run):
            return await judging.in_pool(_threads, _translate, translator, token, given)
        batch = reader(call)
        if not logging.is_plain(call, batch):
            return await judging.in_pool(_threads, _translate, translator, token, given)
        async with (await asyncdb.pool()).connection() as opened:
            await ingest.write_async(opened, run, batch, ingest.key_by_content(run, batch))
        return _DONE

    return work


def _run_of(given: Mapping[str, Any]) -> UUID | None:
    text = given.get("run_id") or given.get("run_uuid")
    return UUID(text) if isinstance(text, str) and is_hex(text) else None


async def _may_log(token: str, run: UUID) -> bool:
    """Return whether the run is there, may be seen and is not deleted. Raises: NotAuthenticated, NotAllowed."""
    try:
        await judging.may_log(token, run)
    except NotFound:
        return False
    return True


_WRITERS: dict[str, Translator] = {
    "log-metric": logging.log_metric,
    "log-parameter": logging.log_param,
    "set-tag": logging.set_tag,
    "log-batch": logging.log_batch,
}
_READERS: list[tuple[str, str, Translator, tuple[str, str]]] = [
    ("POST", "runs/create", runs.create, ("create", "tracking.run")),
    ("POST", "runs/update", runs.update, ("log", "tracking.run")),
    ("GET", "runs/get", runs.get, ("view", "tracking.run")),
    ("POST", "runs/search", search.search, ("view", "tracking.run")),
    ("GET", "metrics/get-history", metrics.history, ("view", "tracking.run")),
    ("GET", "experiments/get", experiments.get, ("view", "tracking.project")),
    ("GET", "experiments/get-by-name", experiments.get_by_name, ("view", "tracking.project")),
    ("POST", "model-versions/create", model_versions.create, ("register", "registry.registeredmodel")),
]


def _path(rest: str) -> re.Pattern[str]:
    return re.compile(f"/{re.escape(API)}/{rest}")


ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    *(
        ("POST", _path(f"runs/{name}"), _handler(_writing(logging.READERS[name], translator), "log"))
        for name, translator in _WRITERS.items()
    ),
    *(
        (method, _path(rest), _handler(_translating(translator), *refused))
        for method, rest, translator, refused in _READERS
    ),
]


def close() -> None:
    """Wait for what is being answered and end the threads."""
    _threads.shutdown(wait=True, cancel_futures=True)
