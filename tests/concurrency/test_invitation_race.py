"""Many redeem one link at once: one wins."""

from typing import Any

import pytest

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.teams import services
from apps.teams.models import Invitation, Membership
from apps.teams.services import invitations
from tests.factories import in_threads
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.usefixtures("committed")
AT_ONCE = 8


def _redeem_at_once(cast: Cast) -> list[Any]:
    path = services.invite([(cast.team, "member")], by=cast.mia)[1]
    value = path.removeprefix("/join/").removesuffix("/")

    def work(index: int) -> Any:
        if index % 2:
            return services.join_by_invitation(
                value, user=User.objects.get(username="charlie" if index == 1 else "olaf")
            )
        return services.redeem_invitation(value, username=f"newt-{index}", password=PASSWORD)

    return in_threads(AT_ONCE, work)


def test_one_wins(committed: None, cast: Cast) -> None:
    before = User.objects.count(), Membership.objects.count()
    answers = _redeem_at_once(cast)
    refused = [answer for answer in answers if isinstance(answer, NotFound)]
    assert len(refused) == AT_ONCE - 1, answers
    assert Membership.objects.count() == before[1] + 1
    assert User.objects.count() - before[0] in {0, 1}
    assert Invitation.objects.get().state == "redeemed"


def test_without_the_lock_several_win(committed: None, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control run: the race is real."""
    gate = in_step(AT_ONCE)

    def unlocked(rows: Any) -> Any:
        found = rows.get()
        gate.wait(30)
        return found

    monkeypatch.setattr(invitations, "lock_row", unlocked)
    answers = _redeem_at_once(cast)
    assert len([answer for answer in answers if not isinstance(answer, Exception)]) > 1


def test_of_several_links_to_one_account_one_wins(committed: None, cast: Cast) -> None:
    newt = accounts.create_user("newt", by=cast.sre)
    paths = [services.invite([], for_user=newt, by=cast.sre)[1] for _ in range(4)]
    values = [path.removeprefix("/join/").removesuffix("/") for path in paths]
    answers = in_threads(4, lambda index: services.redeem_invitation(values[index], password=f"{PASSWORD} {index}"))
    won = [index for index, answer in enumerate(answers) if answer == newt]
    assert len(won) == 1, answers
    assert User.objects.get(pk=newt.pk).check_password(f"{PASSWORD} {won[0]}")


def in_step(count: int) -> Any:
    import threading

    return threading.Barrier(count)
