"""Tokens: shown once, ended at once, never more than their owner or their maker."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import identify_hasher
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import lookup, services, tokens
from apps.accounts.models import ApiToken, LoginFailure, SetupLink, User
from apps.audit.models import AuditEvent
from apps.core.errors import InsufficientScope, Invalid, NotAllowed, NotAuthenticated, NotFound, Throttled
from tests.access.judged import behind
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.django_db


def issue(user: User, **facts: Any) -> str:
    return services.issue_token(user, by=SYSTEM, name="t", **facts)[1]


def test_a_token_is_stored_as_its_digest_only(cast: Cast) -> None:
    value = issue(cast.alice)
    row = ApiToken.objects.values().get()
    assert value not in str(row)
    assert row["digest"] == tokens.digest(value)
    assert value.startswith("fth_pat_")
    assert row["prefix"] == value[:12]


def test_a_token_names_its_user(cast: Cast) -> None:
    user = services.authenticate_token(issue(cast.alice, scopes=["read"]))
    assert user == cast.alice
    assert user.token is not None
    assert user.token.scopes == ["read"]


@pytest.mark.parametrize("value", ["", "fth", "fth_pat_x", "fth_pat_" + "0" * 49, "fth_pat_" + "é" * 49, "x" * 10_000])
def test_what_is_no_token_is_refused_without_a_query(value: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_a_wrong_character_is_noticed(cast: Cast) -> None:
    value = issue(cast.alice)
    other = value[:20] + ("a" if value[20] != "a" else "b") + value[21:]
    assert tokens.is_well_formed(value)
    assert not tokens.is_well_formed(other)


def test_a_revoked_token_ends_at_once(cast: Cast) -> None:
    value = issue(cast.alice)
    services.revoke_token(ApiToken.objects.get(), by=cast.alice)
    services.revoke_token(ApiToken.objects.get(), by=cast.alice)
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)
    assert AuditEvent.objects.filter(action="revoke").count() == 1


def test_an_expired_token_ends(cast: Cast) -> None:
    value = issue(cast.alice)
    ApiToken.objects.update(expires_at=Now() - timedelta(seconds=1))
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)
    assert not ApiToken.objects.get().is_live


def test_the_token_of_a_disabled_person_ends(cast: Cast) -> None:
    value = issue(cast.alice)
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_nobody_makes_or_revokes_anothers_token(cast: Cast) -> None:
    issue(cast.alice)
    row = ApiToken.objects.get()
    for name in ("bob", "mia", "charlie"):
        with pytest.raises(NotFound):
            services.revoke_token(row, by=cast.people[name])
    for name in ("mia", "sre"):
        with pytest.raises(NotAllowed):
            services.issue_token(cast.alice, by=cast.people[name], name="theirs")
    row.refresh_from_db()
    assert row.revoked_at is None
    assert ApiToken.objects.count() == 1


def test_an_admin_ends_anybodys_token(cast: Cast) -> None:
    issue(cast.alice)
    services.revoke_token(ApiToken.objects.get(), by=cast.sre)
    assert ApiToken.objects.get().revoked_at is not None


@pytest.mark.parametrize("scopes", [["fly"], ["all", "run:fly"], []])
def test_an_unknown_scope_is_refused(cast: Cast, scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        services.issue_token(cast.alice, by=cast.alice, name="t", scopes=scopes)
    assert not ApiToken.objects.exists()


def test_a_token_makes_no_wider_token(cast: Cast) -> None:
    narrow = behind(cast.alice, scopes=["apitoken:create", "run:view"])
    for scopes in (["all"], ["run:view", "run:log"], ["read"]):
        with pytest.raises(NotAllowed):
            services.issue_token(narrow, by=narrow, name="t", scopes=scopes)
    assert not ApiToken.objects.exists()
    services.issue_token(narrow, by=narrow, name="t", scopes=["run:view"])
    assert ApiToken.objects.get().scopes == ["run:view"]


@pytest.mark.parametrize("facts", [{"scopes": ["read"]}, {"scopes": ["all"], "bound_to": "run:1"}])
def test_a_token_without_the_right_makes_no_token(cast: Cast, facts: dict[str, Any]) -> None:
    user = behind(cast.alice, **facts)
    with pytest.raises(InsufficientScope):
        services.issue_token(user, by=user, name="t", scopes=["read"])


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_lifetime_out_of_bounds_is_refused(cast: Cast, days: int) -> None:
    with pytest.raises(Invalid):
        services.issue_token(cast.alice, by=cast.alice, name="t", expires_in=timedelta(days=days))


def test_the_last_use_is_written_once_a_minute(cast: Cast, django_assert_num_queries: Any) -> None:
    value = issue(cast.alice)
    services.authenticate_token(value)
    used = ApiToken.objects.get().last_used_at
    assert used is not None
    with django_assert_num_queries(1):
        services.authenticate_token(value)
    ApiToken.objects.update(last_used_at=used - timedelta(minutes=2))
    services.authenticate_token(value)
    assert ApiToken.objects.filter(last_used_at__gte=used).exists()


def test_a_run_token_is_derived_and_stored_once(cast: Cast) -> None:
    facts: dict[str, Any] = {"bound_to": "run:1", "purpose": "attempt 1", "scopes": ["run:log"]}
    first = services.issue_run_token(cast.alice, expires_in=timedelta(days=1), **facts)
    assert services.issue_run_token(cast.alice, expires_in=timedelta(days=1), **facts) == first
    assert ApiToken.objects.count() == 1
    assert (
        services.issue_run_token(cast.alice, expires_in=timedelta(days=1), **facts | {"purpose": "attempt 2"}) != first
    )
    services.revoke_bound_tokens("run:1")
    assert not ApiToken.objects.live().exists()
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(first)


def test_passwords_are_kept_by_argon2_where_it_matters(settings: Any) -> None:
    from config.settings import base

    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    user = services.create_user("new", by=SYSTEM, password=PASSWORD)
    assert identify_hasher(user.password).algorithm == "argon2"


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "wrong password"), ("nobody", PASSWORD), ("ivan", PASSWORD), ("alice\x00", PASSWORD)],
)
def test_a_failed_login_does_not_say_what_was_wrong(cast: Cast, name: str, password: str) -> None:
    with pytest.raises(NotAuthenticated, match=r"^The name or the password is wrong"):
        services.log_in(name, password)
    assert LoginFailure.objects.count() == 1


def test_guessing_is_slowed_down(cast: Cast) -> None:
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            services.log_in("alice", "wrong password")
    with pytest.raises(Throttled) as refusal:
        services.log_in("alice", PASSWORD)
    assert refusal.value.retry_after == 300
    assert services.log_in("bob", PASSWORD) == cast.bob
    LoginFailure.objects.update(at=timezone.now() - timedelta(minutes=6))
    assert services.log_in("alice", PASSWORD) == cast.alice


def test_guessing_many_names_from_one_address_is_slowed_down(cast: Cast) -> None:
    LoginFailure.objects.bulk_create(LoginFailure(username=f"u{number}", ip=None) for number in range(50))
    with pytest.raises(Throttled):
        services.log_in("alice", PASSWORD)
    assert cast.alice.is_active


@pytest.mark.parametrize("password", ["short", "password1234", "11111111111111", "alice-in-vision"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_user("alice-in-vision", by=SYSTEM, password=password)
    assert "password" in refusal.value.errors
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "x" * 151, "<script>", "sre"])
def test_a_bad_or_taken_name_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_user(name, by=cast.sre, password=PASSWORD)
    assert "username" in refusal.value.errors


def test_only_an_admin_creates_people(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        services.create_user("new", by=cast.mia)
    assert not User.objects.filter(username="new").exists()


def test_somebody_without_a_password_cannot_log_in(cast: Cast) -> None:
    services.create_user("robot", by=cast.sre)
    with pytest.raises(NotAuthenticated):
        services.log_in("robot", "")


def path_value(path: str) -> str:
    return path.removeprefix("/setup/").removesuffix("/")


def test_the_setup_link_makes_the_first_admin_once() -> None:
    value = path_value(services.issue_setup_link())
    assert services.is_setup_link_live(value)
    user = services.redeem_setup_link(value, username="root", email="", password=PASSWORD)
    assert user.platform_role == "admin"
    assert not user.is_superuser  # the role has to be taken up
    assert not services.is_setup_link_live(value)
    with pytest.raises(NotFound):
        services.redeem_setup_link(value, username="second", email="", password=PASSWORD)
    with pytest.raises(NotAllowed):
        services.issue_setup_link()
    assert User.objects.count() == 1


def test_a_new_setup_link_ends_the_old_one() -> None:
    old, new = path_value(services.issue_setup_link()), path_value(services.issue_setup_link())
    assert not services.is_setup_link_live(old)
    SetupLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert not services.is_setup_link_live(new)
    with pytest.raises(NotFound):
        services.redeem_setup_link(new, username="root", email="", password=PASSWORD)
    assert not User.objects.exists()


def test_a_refused_setup_keeps_the_link() -> None:
    value = path_value(services.issue_setup_link())
    with pytest.raises(Invalid):
        services.redeem_setup_link(value, username="root", email="", password="short")
    assert services.is_setup_link_live(value)


def test_the_compiled_lookup_finds_what_the_queryset_finds(cast: Cast) -> None:
    """Every column of the token and of its user, and nothing for what has ended."""
    value = services.issue_token(cast.alice, by=cast.alice, name="t", scopes=["read", "experiment:stop"])[1]
    services.issue_token(cast.bob, by=cast.bob, name="other")
    ApiToken.objects.filter(digest=tokens.digest(value)).update(last_used_ip="192.0.2.1", last_used_at=timezone.now())
    found = lookup.live_token(tokens.digest(value))
    expected = ApiToken.objects.select_related("user").get(digest=tokens.digest(value))
    assert found is not None
    for one, other in ((found, expected), (found.user, expected.user)):
        names = [field.attname for field in one._meta.concrete_fields]
        assert {name: getattr(one, name) for name in names} == {name: getattr(other, name) for name in names}
    assert lookup.live_token("0" * 64) is None
    ApiToken.objects.update(expires_at=timezone.now())
    assert lookup.live_token(tokens.digest(value)) is None
    ApiToken.objects.update(expires_at=None, revoked_at=timezone.now())
    assert lookup.live_token(tokens.digest(value)) is None
