"""A token tied to networks is judged for each request, also where a verdict is kept: batches of metrics, files."""

import pytest
from asgiref.sync import async_to_sync

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.core.errors import NotAuthenticated
from apps.core.middleware import RequestContext, current_request
from apps.tracking import judging, tickets
from apps.tracking.models import Artifact
from tests.factories import Stage, committed, stage
from tests.people import Cast

__all__ = ["committed", "stage"]
pytestmark = pytest.mark.usefixtures("committed")


def test_a_batch_from_elsewhere_is_refused_while_a_verdict_is_kept(committed: None, cast: Cast, stage: Stage) -> None:
    run = stage.submit(cast.alice).run
    _, value = accounts.issue_token(cast.alice, by=SYSTEM, name="t", addresses=["192.0.2.0/24"])

    async def ask(ip: str) -> int:
        current_request.set(RequestContext("request-1", ip, "api"))
        return await judging.may_log(value, run.pk)

    async def both() -> None:
        assert await ask("192.0.2.1") == cast.alice.pk
        with pytest.raises(NotAuthenticated):
            await ask("198.51.100.1")
        assert await ask("192.0.2.1") == cast.alice.pk

    async_to_sync(both)()


def test_a_link_is_followed_from_the_tokens_addresses_only(committed: None, cast: Cast, stage: Stage) -> None:
    run = stage.submit(cast.alice).run
    Artifact.objects.create(run=run, path="a", sha256="ab" * 32, size_bytes=1)
    token, _ = accounts.issue_token(cast.alice, by=SYSTEM, name="t", addresses=["192.0.2.0/24"])
    cast.alice.token = token
    text = tickets.link(run.pk, "a", by=cast.alice).partition("ticket=")[2]
    ticket = tickets.read(text, run=run.pk, path="a")
    for ip, passes in (("192.0.2.1", True), ("198.51.100.1", False)):
        reset = current_request.set(RequestContext("request-1", ip, "content"))
        if passes:
            assert judging.artifact_of(ticket).path == "a"
        else:
            with pytest.raises(NotAuthenticated):
                judging.artifact_of(ticket)
        current_request.reset(reset)
