"""Every way of losing access, on every way in: what is asked is refused within a second, what is open ends within five.

Each person has everything open at once, over real connections to a real platform, and loses access by what another
process does. What he keeps goes on, and so does all that his neighbour has.
"""

import json
import time
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from tests.platform import Platform, wait_for
from tests.revocation.access import CUT, Asked, Download, Socket, Way, log_in
from tests.revocation.conftest import Operator

ASKED_SECONDS, OPEN_SECONDS = 1.0, 5.0
SESSION, TOKEN = {"session"}, {"token"}
BOTH = SESSION | TOKEN


@dataclass(frozen=True)
class Loss:
    """One way of losing access: what gave it, what takes it away, what it ends, and how that is refused."""

    name: str
    given: str
    taken: str
    ends: frozenset[str] | set[str]
    is_nobody: bool  # refused as nobody (401), not as somebody who may not see it (404)
    visibility: str = "private"
    is_admin: bool = False


_SHARED = "grants.grant(user, objects['private'].run, Role.EDITOR)"
_MEMBER = "teams.set_member(team, user, role='member', by=SYSTEM)"
LOSSES = [
    Loss("share revoked", _SHARED, "grants.revoke(user, objects['private'].run)", BOTH, is_nobody=False),
    Loss(
        "share expired",
        _SHARED,
        "grants.grant(user, objects['private'].run, Role.EDITOR, expires_at=timezone.now())",
        BOTH,
        is_nobody=False,
    ),
    Loss(
        "left the team", _MEMBER, "teams.remove_member(team, user, by=SYSTEM)", BOTH, is_nobody=False, visibility="team"
    ),
    Loss("disabled", _SHARED, "accounts.disable_user(user, by=SYSTEM, reason='left')", BOTH, is_nobody=True),
    Loss(
        "token revoked",
        _SHARED,
        "accounts.revoke_token(ApiToken.objects.get(user=user), by=SYSTEM)",
        TOKEN,
        is_nobody=True,
    ),
    Loss(
        "password changed",
        _SHARED,
        "accounts.change_password(user, by=user, current='correct horse battery', new='another horse battery')",
        SESSION,
        is_nobody=True,
    ),
    Loss(
        "session ended",
        _SHARED,
        "accounts.end_session(UserSession.objects.get(user=user), by=SYSTEM)",
        SESSION,
        is_nobody=True,
    ),
    Loss(
        "elevation ended",
        "",
        "accounts.end_elevation(UserSession.objects.get(user=user), by=user)",
        SESSION,
        is_nobody=False,
        is_admin=True,
    ),
    Loss(
        "platform role lost",
        "",
        "accounts.set_platform_role(user, '', by=SYSTEM, reason='moved on')",
        BOTH,
        is_nobody=False,
        is_admin=True,
    ),
]
WAYS = {
    "page": SESSION,
    "API by session": SESSION,
    "link by session": SESSION,
    "log socket by session": SESSION,
    "log download by session": SESSION,
    "file download by session": SESSION,
    "API by token": TOKEN,
    "log-batch": TOKEN,
    "link by token": TOKEN,
    "log socket by token": TOKEN,
    "log download by token": TOKEN,
    "file download by token": TOKEN,
}


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # type: ignore[override]
        return None


def link(platform: Platform, experiment: str, path: str, headers: dict[str, str]) -> str:
    """Ask for a file through the API; return the signed link on the content origin."""
    url = f"{platform.url}/api/v2/runs/{experiment}/artifacts/{path}"
    with pytest.raises(HTTPError) as redirect:  # one that is not followed is an error to urllib
        build_opener(_Stay).open(Request(url, headers=headers), timeout=20)
    with redirect.value as answer:
        location: str = answer.headers["Location"]
    return location


def open_all(platform: Platform, operator: Operator, name: str, loss: Loss, experiment: str) -> dict[str, Way]:
    """Make a person with this access, and let him open every way in."""
    token = operator.do(
        f"user = accounts.create_user(name, by=SYSTEM, password='correct horse battery', is_admin={loss.is_admin})\n"
        f"{loss.given}\n"
        f"answer = accounts.issue_token(user, by=SYSTEM, name='t', scopes=[{'admin' if loss.is_admin else 'all'!r}])[1]",
        name=name,
    )
    browser = log_in(platform, name, elevated=loss.is_admin).headers
    bearer = {"Authorization": f"Bearer {token}"}
    api = f"{platform.url}/api/v2/experiments/{experiment}/"
    feed = f"{platform.url.replace('http', 'ws', 1)}/ws/experiments/{experiment}/logs/"
    batch = json.dumps({"metrics": [{"key": "m", "value": 1.0}]})
    ways: list[Way] = [
        Asked("page", url=f"{platform.url}/experiments/{experiment}/", headers=browser),
        Asked("log-batch", method="POST", url=f"{platform.url}/api/v2/runs/{experiment}/log-batch/", body=batch,
              headers={**bearer, "Content-Type": "application/json"}),
    ]  # fmt: skip
    for kind, headers in (("session", browser), ("token", bearer)):
        ways += [
            Asked(f"API by {kind}", url=api, headers=headers),
            Asked(f"link by {kind}", url=link(platform, experiment, "small.txt", headers)),
            Socket(f"log socket by {kind}", url=f"{feed}?offset={10**9}", headers=headers),
            Download(f"log download by {kind}", url=f"{api}logs/download/", headers=headers),
            Download(f"file download by {kind}", url=link(platform, experiment, "big.bin", headers)),
        ]
    for way in ways:
        way.start()
    for way in ways:
        way.wait_until_used()
    return {way.name: way for way in ways}


def _last_moment(way: Way) -> float:
    """Return when it was still let in: the last request that was answered was sent, or what was open ended."""
    return way.last_let_in if isinstance(way, Asked) else way.refused_at or 0.0


def expected(loss: Loss, way: Way) -> int:
    if isinstance(way, Download):
        return CUT
    if isinstance(way, Socket):
        return 4401 if loss.is_nobody else 4404
    if not loss.is_nobody:
        return 404
    return 302 if way.name == "page" else 401


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_removed_access_stops(
    loss: Loss,
    platform: Platform,
    operator: Operator,
    experiments: dict[str, str],
) -> None:
    ending, going_on, removed_at = lose(loss, platform, operator, experiments[loss.visibility])
    took = {name: round(_last_moment(way) - removed_at, 2) for name, way in ending.items()}
    refusals = {name: way.refusal for name, way in ending.items()}
    assert refusals == {name: expected(loss, way) for name, way in ending.items()}
    bounds = {name: ASKED_SECONDS if isinstance(way, Asked) else OPEN_SECONDS for name, way in ending.items()}
    assert {name: seconds for name, seconds in took.items() if seconds > bounds[name]} == {}
    assert [way.name for way in ending.values() if isinstance(way, Asked) and way.was_let_in_again] == []
    assert [(way.name, way.refusal) for way in going_on if way.refusal is not None] == []


@pytest.mark.slow
def test_the_matrix_sees_access_that_goes_on(
    platform: Platform, operator: Operator, experiments: dict[str, str]
) -> None:
    """The control: nothing is taken away, and the wait for the end of everything fails."""
    nothing = Loss("nothing", _SHARED, "pass", BOTH, is_nobody=True)
    with pytest.raises(AssertionError, match=r"for the end of \[('[^']+'(, )?){12}\]"):
        lose(nothing, platform, operator, experiments["private"])


def lose(
    loss: Loss, platform: Platform, operator: Operator, experiment: str
) -> tuple[dict[str, Way], list[Way], float]:
    """Let a person and his neighbour open everything, and take the person's access away.

    Returns what has ended, what goes on, and when it was taken.
    """
    names = [f"{who}-{loss.name.replace(' ', '-')}" for who in ("victim", "neighbour")]
    victim, neighbour = (open_all(platform, operator, name, loss, experiment) for name in names)
    assert set(victim) == set(neighbour) == set(WAYS)
    ending = {name: way for name, way in victim.items() if WAYS[name] & loss.ends}
    going_on = [*(way for name, way in victim.items() if name not in ending), *neighbour.values()]
    try:
        operator.do(f"user = User.objects.get(username={names[0]!r})\n{loss.taken}")
        removed_at = time.monotonic()
        what = f"the end of {list(ending)}"
        wait_for(lambda: all(way.refused_at for way in ending.values()), seconds=OPEN_SECONDS + 3, what=what)
        uses = {id(way): way.uses for way in going_on if not isinstance(way, Socket)}
        wait_for(lambda: all(way.uses > uses.get(id(way), -1) for way in going_on), what="the others")
    finally:
        for way in (*victim.values(), *neighbour.values()):
            way.stop()
    return ending, going_on, removed_at
