"""A token is looked up once per half second, and what is ended here ends at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import recent, services, tokens
from apps.accounts.models import ApiToken, User
from apps.core.errors import NotAuthenticated
from tests.accounts.test_tokens import issue
from tests.people import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKEN_KEPT_SECONDS = 0.5
    monkeypatch.setattr(recent, "_known", {})


def queries_of(value: str) -> int:
    from django.db import connection

    with CaptureQueriesContext(connection) as seen:
        services.authenticate_token(value)
    return len(seen)


def test_the_second_question_asks_nobody(cast: Cast) -> None:
    value = issue(cast.alice)
    assert queries_of(value) > 0
    assert queries_of(value) == 0


def test_each_request_has_a_user_of_its_own(cast: Cast) -> None:
    value = issue(cast.alice)
    first, second = services.authenticate_token(value), services.authenticate_token(value)
    assert first == second == cast.alice
    assert first is not second
    assert first.token is not second.token
    first.__dict__["_memberships"] = "what the first request read"
    assert "_memberships" not in services.authenticate_token(value).__dict__


def test_it_is_believed_for_half_a_second_only(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    value = issue(cast.alice)
    services.authenticate_token(value)
    ApiToken.objects.update(revoked_at=Now())  # as another process does
    services.authenticate_token(value)
    now = recent.time.monotonic()
    monkeypatch.setattr(recent.time, "monotonic", lambda: now + 0.51)
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_what_is_revoked_here_ends_at_once(cast: Cast) -> None:
    value = issue(cast.alice)
    services.authenticate_token(value)
    services.revoke_token(ApiToken.objects.get(), by=cast.sre)
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_who_is_disabled_here_is_out_at_once(cast: Cast) -> None:
    value = issue(cast.alice)
    services.authenticate_token(value)
    services.disable_user(User.objects.get(pk=cast.alice.pk), by=cast.sre, reason="left")
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_it_does_not_grow_without_bound(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST", 3)
    for _ in range(10):
        services.authenticate_token(issue(cast.alice))
    assert len(recent._known) <= 3


def test_what_was_asked_before_an_ending_is_not_kept_after_it(cast: Cast) -> None:
    value = issue(cast.alice)
    user = services.authenticate_token(value)
    recent.forget()
    question = recent.Question()
    recent.forget()
    question.keep(tokens.digest(value), user)
    assert recent.find(tokens.digest(value)) is None


def test_an_expired_token_is_not_believed(cast: Cast) -> None:
    value = issue(cast.alice)
    user = services.authenticate_token(value)
    assert user.token is not None
    user.token.expires_at = timezone.now() - timedelta(seconds=1)
    recent.Question().keep(tokens.digest(value), user)
    assert recent.find(tokens.digest(value)) is None


def test_who_keeps_the_answer_asks_afresh(cast: Cast) -> None:
    value = issue(cast.alice)
    services.authenticate_token(value)
    ApiToken.objects.update(revoked_at=Now())
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value, afresh=True)
