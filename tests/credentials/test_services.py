from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access import grants, policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, InsufficientScope, Invalid, KeyUnavailable, NotAllowed, NotFound, SealBroken
from apps.credentials import crypto, services
from apps.credentials.models import Credential, DataKey, SecretValue
from apps.sharing import services as sharing
from apps.teams import services as teams
from tests.credentials.conftest import CANARY
from tests.people import Cast

Make = Callable[..., Credential]


def _opened(credential: Credential) -> dict[str, bytes]:
    return crypto.open_values(SecretValue.objects.filter(credential=credential).select_related("data_key"))


def _audited(credential: Credential) -> list[str]:
    events = AuditEvent.objects.filter(object_type="credentials.credential", object_id=str(credential.pk))
    events = events.exclude(origin="database")  # beside each stands what a trigger saw
    return list(events.order_by("id").values_list("action", flat=True))


def test_a_value_is_kept_encrypted_and_apart_from_what_is_public(token: Make, cast: Cast) -> None:
    made = token()
    assert made.public == {"host": "git.example.org", "username": "robot"}
    assert (made.version, made.visibility, made.team, made.created_by) == (1, "team", cast.team, cast.alice)
    assert _opened(made) == {"token": CANARY.encode()}
    assert CANARY.encode() not in bytes(SecretValue.objects.get().ciphertext)
    assert DataKey.objects.get().scope == f"org:{cast.organization.pk}"
    assert _audited(made) == ["create"]


def test_what_the_database_writes_down_holds_no_secret(token: Make) -> None:
    made = token()
    written = str(list(AuditEvent.objects.filter(origin="database").values_list("data", flat=True)))
    assert made.name in written
    sealed = (bytes(SecretValue.objects.get().ciphertext), bytes(DataKey.objects.get().wrapped))
    for secret in (CANARY, made.fingerprint, *(value.hex() for value in sealed)):
        assert secret not in written


def test_a_personal_one_is_private_and_under_the_owners_key(token: Make, cast: Cast) -> None:
    made = token(team=None)
    assert made.visibility == "private"
    assert DataKey.objects.get().scope == f"user:{cast.alice.pk}"
    with pytest.raises(NotFound):
        policy.require(cast.again("mia"), "view", made)


def test_roles(token: Make, cast: Cast) -> None:
    made = token()
    grants.grant(cast.dana, made, Role.EDITOR)
    actions = ("view", "use", "edit", "replace", "uses", "share", "delete")
    held = {
        name: [action for action in actions if policy.can(cast.again(name), action, made)]
        for name in ("alice", "bob", "charlie", "dana", "mia", "olaf", "sre", "ivan")
    }
    everything = list(actions)
    assert held == {
        "alice": everything,
        "bob": ["view"],
        "charlie": [],
        "dana": ["view", "use"],
        "mia": everything,
        "olaf": [],
        "sre": [action for action in actions if action != "use"],
        "ivan": [],
    }
    for name, may in held.items():
        person = cast.again(name)
        for action in actions:
            assert Credential.objects.visible_to(person, action).exists() == (action in may), (name, action)


def test_an_admin_manages_without_using(token: Make, cast: Cast) -> None:
    made = token()
    decision = policy.decide(cast.sre, "use", made)
    assert not decision.allowed
    assert "admin, which does not count here" in decision.reason
    services.replace_credential(made, {"token": "another-token"}, by=cast.sre, reason="leaked")
    assert _opened(made) == {"token": b"another-token"}
    own = token("own", by=cast.sre, team=None)
    assert policy.can(cast.sre, "use", own)


@pytest.mark.parametrize("place", ["personal", "private in the team"])
def test_an_admin_gives_nobody_the_use_that_he_does_not_have(token: Make, cast: Cast, place: str) -> None:
    """Or he would give it to his own team, to a second account, or to himself as the new owner."""
    made = token(team=None) if place == "personal" else token(visibility="private")
    teams.set_member(cast.other_team, cast.sre, role="maintainer", by=SYSTEM)
    for subject in (cast.other_team.group, cast.charlie):
        for role in ("editor", "manager"):
            with pytest.raises(Invalid, match="As an admin you cannot"):
                sharing.share(made, subject, role, by=cast.sre)
        sharing.share(made, subject, "viewer", by=cast.sre)
    for heir in (cast.sre, cast.charlie):
        with pytest.raises(NotAllowed, match="Being an admin does not let"):
            sharing.transfer_owner(made, heir, by=cast.sre)
    with pytest.raises(NotAllowed, match="Being an admin does not let"):
        sharing.set_visibility(made, "team", by=cast.sre, team=cast.other_team)
    if place != "personal":
        with pytest.raises(NotAllowed, match="Being an admin does not let"):
            services.update_credential(made, by=cast.sre, visibility="team")
    assert [policy.can(cast.again(name), "use", made) for name in ("alice", "charlie", "sre", "mia")] == [
        True, False, False, False,
    ]  # fmt: skip
    sharing.share(made, cast.charlie, "editor", by=cast.again("alice"))  # who has it gives it
    assert policy.can(cast.again("charlie"), "use", made)


def test_an_heir_gets_the_credentials_that_he_may_use(token: Make, cast: Cast) -> None:
    for name, given in {
        "team": {},
        "hidden": {"visibility": "private"},
        "own": {"team": None},
        "lent": {"team": None},
    }.items():
        made = token(name, **given)
    sharing.share(made, cast.mia, "editor", by=cast.alice)
    token("own", by=cast.mia, team=None)
    for heir, gets in ((cast.sre, []), (cast.mia, ["lent", "team"])):
        effects = accounts.offboard_user(cast.alice, by=cast.sre, reason="left", assets="transfer", transfer_to=heir)
        assert {effect.what: effect.count for effect in effects if "credentials" in effect.what} == {
            "credentials kept": 4 - len(gets), **({f"credentials transferred to {heir}": len(gets)} if gets else {}),
        }  # fmt: skip
        given = Credential.objects.filter(created_by=cast.alice, owner=heir).values_list("name", flat=True)
        assert sorted(given) == gets
    assert not Credential.objects.visible_to(cast.again("sre"), "use").exists()


def test_a_token_that_edits_does_not_share(token: Make, cast: Cast) -> None:
    """Another visibility gives the whole team the use of it."""
    made = token(visibility="private")
    alice = cast.again("alice")
    alice.token = ApiToken(user=alice, scopes=["credential:edit"])
    with pytest.raises(InsufficientScope, match="credential:share"):
        services.update_credential(made, by=alice, visibility="team")
    services.update_credential(made, by=alice, visibility="private", description="still mine")
    made.refresh_from_db()
    assert (made.visibility, made.description) == ("private", "still mine")


def test_replacing_destroys_the_old_value(token: Make, cast: Cast) -> None:
    made = token()
    old = SecretValue.objects.get()
    fresh = services.replace_credential(made, {"token": "fresh-canary-1"}, by=cast.alice)
    assert (fresh.version, fresh.public) == (2, made.public)
    assert fresh.fingerprint != made.fingerprint
    assert _opened(fresh) == {"token": b"fresh-canary-1"}
    assert not SecretValue.objects.filter(pk=old.pk).exists()
    assert _audited(made) == ["create", "replace"]


def test_who_only_uses_does_not_replace(token: Make, cast: Cast) -> None:
    made = token()
    grants.grant(cast.dana, made, Role.EDITOR)
    for change in (
        lambda: services.replace_credential(made, {"token": "stolen-token"}, by=cast.again("dana")),
        lambda: services.update_credential(made, by=cast.again("dana"), name="mine"),
        lambda: services.delete_credential(made, by=cast.again("dana")),
    ):
        with pytest.raises(NotAllowed):
            change()
    made.refresh_from_db()
    assert (made.version, made.name, made.archived_at) == (1, "my-git", None)
    assert _opened(made) == {"token": CANARY.encode()}
    assert _audited(made) == ["create"]


def test_deleting_destroys_the_value_at_once_and_frees_the_name(token: Make, cast: Cast) -> None:
    made = token()
    services.delete_credential(made, by=cast.alice)
    services.delete_credential(made, by=cast.alice)
    assert not SecretValue.objects.exists()
    assert _audited(made) == ["create", "delete"]
    with pytest.raises(Conflict, match="deleted"):
        services.replace_credential(made, {"token": "another-token"}, by=cast.alice)
    assert token().pk != made.pk


def test_a_name_is_unique_where_it_belongs(token: Make, cast: Cast) -> None:
    token()
    with pytest.raises(Invalid, match="exists"):
        token(by=cast.mia)
    token(team=None)
    token(team=None, by=cast.mia)
    with pytest.raises(Invalid, match="exists"):
        token(team=None)
    assert Credential.objects.count() == 3


def test_update_changes_what_is_not_secret(token: Make, cast: Cast) -> None:
    made = token()
    later = timezone.now() + timedelta(days=1)
    changed = services.update_credential(made, by=cast.alice, name="other", visibility="private", expires_at=later)
    assert (changed.name, changed.visibility, changed.expires_at) == ("other", "private", later)
    for wrong in ({"kind": "s3"}, {"public": {}}, {"owner": cast.bob}, {"expires_at": timezone.now()}, {"name": "a b"}):
        with pytest.raises(Invalid):
            services.update_credential(made, by=cast.alice, **wrong)


def test_who_may_store_where(token: Make, cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        token(by=cast.bob)
    with pytest.raises(NotFound):
        token(by=cast.charlie)
    with pytest.raises(NotAllowed, match="Only an admin"):
        token(by=cast.charlie, team=None, owner=cast.alice)
    assert not Credential.objects.exists()
    assert token(by=cast.sre, team=None, owner=cast.alice).owner == cast.alice


def test_the_fingerprint_tells_values_apart_and_nothing_else(token: Make, cast: Cast, settings: Any) -> None:
    made = token()
    same_value_elsewhere = token("other")
    assert made.fingerprint != same_value_elsewhere.fingerprint
    again = services.replace_credential(made, {"token": CANARY}, by=cast.alice)
    assert again.fingerprint == made.fingerprint
    settings.FATHOM_DATA_KEY = "33" * 32
    assert services.replace_credential(made, {"token": CANARY}, by=cast.alice).fingerprint != made.fingerprint


@pytest.mark.parametrize("column", ["credential_id", "version", "field", "data_key_id"])
def test_a_ciphertext_that_was_moved_does_not_open(token: Make, cast: Cast, column: str) -> None:
    victim, mine = token("victim", by=cast.mia), token("mine", team=None)
    stolen, own = SecretValue.objects.get(credential=victim), SecretValue.objects.get(credential=mine)
    assert stolen.data_key_id != own.data_key_id
    changed = {"credential_id": mine.pk, "version": 7, "field": "password", "data_key_id": own.data_key_id}
    if column == "credential_id":
        own.delete()
    SecretValue.objects.filter(pk=stolen.pk).update(**{column: changed[column]})
    with pytest.raises(SealBroken):
        crypto.open_value(SecretValue.objects.select_related("data_key").get(pk=stolen.pk))


def test_swapped_ciphertexts_do_not_open(token: Make, cast: Cast) -> None:
    token("victim", by=cast.mia)
    token("mine")
    one, two = SecretValue.objects.order_by("pk")
    assert one.data_key_id == two.data_key_id
    SecretValue.objects.filter(pk=two.pk).update(ciphertext=one.ciphertext)
    with pytest.raises(SealBroken):
        crypto.open_value(SecretValue.objects.select_related("data_key").get(pk=two.pk))


def test_a_data_key_that_was_moved_does_not_open(token: Make, cast: Cast) -> None:
    token()
    token(team=None)
    one, two = DataKey.objects.order_by("pk")
    DataKey.objects.filter(pk=two.pk).update(wrapped=one.wrapped)
    with pytest.raises(SealBroken):
        crypto.open_key(DataKey.objects.get(pk=two.pk))


def test_without_a_key_ring_nothing_is_stored_and_lists_still_work(token: Make, cast: Cast, settings: Any) -> None:
    made = token()
    settings.CREDENTIAL_KEYS, settings.CREDENTIAL_KEYS_FILE = "", "/nonexistent/credential.keys"
    for attempt in (token, lambda: services.replace_credential(made, {"token": "another-token"}, by=cast.alice)):
        with pytest.raises(KeyUnavailable):
            attempt() if attempt is not token else token("second")
    assert list(Credential.objects.visible_to(cast.alice, "view").values_list("name", "version")) == [("my-git", 1)]
    services.delete_credential(made, by=cast.alice)


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("git_https", {"host": "a", "username": "b", "token": "12345"}, "values.token"),
        ("git_https", {"host": "a b", "username": "b", "token": CANARY}, "values.host"),
        ("git_https", {"host": "a", "username": "b\nc", "token": CANARY}, "values.username"),
        ("git_https", {"host": "a", "username": "b"}, "values.token"),
        ("git_https", {"host": "a", "username": "b", "token": CANARY, "tokn": CANARY}, "values"),
        ("git_https", {"host": "a", "username": "b", "token": [CANARY]}, "values.token"),
        ("git_https", CANARY, "values"),
        ("git_ssh", {"host": "a", "known_hosts": "a ssh-rsa x", "private_key": CANARY}, "values.private_key"),
        ("database", {"url": CANARY}, "values.url"),
        ("database", {"url": f"postgresql://{CANARY}:x@h:port/"}, "values.url"),
        ("keytab", {"principal": "a@B", "keytab": f"{CANARY}!"}, "values.keytab"),
        ("keytab", {"principal": "-k", "keytab": "QUJDREVGR0g="}, "values.principal"),
        ("keytab", {"principal": "a@B", "keytab": "QUJDREVGR0g=", "krb5_conf": "[plugins]\n"}, "values.krb5_conf"),
        ("keytab", {"principal": "a@B", "keytab": "QUJDREVGR0g=", "krb5_conf": "a\ninclude /x\n"}, "values.krb5_conf"),
        ("s3", {"access_key_id": "a", "secret_access_key": CANARY, "endpoint_url": "ftp://x"}, "values.endpoint_url"),
        ("generic", {"value": "x" * 70_000}, "values.value"),
        ("generic", {"files": {"lower": CANARY}}, "values.files"),
        ("generic", {"files": {"A": CANARY}, "value": CANARY}, "values"),
        ("generic", {"files": {}}, "values"),
        ("no-such", {"value": CANARY}, "kind"),
    ],
)
def test_what_is_refused_is_named_and_not_repeated(cast: Cast, kind: str, fields: Any, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        services.create_credential("bad", kind, fields, by=cast.alice)
    assert list(refused.value.errors) == [named]
    assert CANARY not in str(refused.value.errors)
    assert not Credential.objects.exists()


def test_files_of_a_browser_form_arrive_as_unix_text(cast: Cast) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nabcdefgh\r\n-----END OPENSSH PRIVATE KEY-----"
    fields = {"host": "git.example.org", "known_hosts": "git.example.org ssh-ed25519 AAAA", "private_key": key}
    made = services.create_credential("ssh", "git_ssh", fields, by=cast.alice)
    assert _opened(made) == {"private_key": key.replace("\r\n", "\n").encode() + b"\n"}


def test_named_files(cast: Cast) -> None:
    made = services.create_credential("g", "generic", {"files": {"CA": CANARY, "PIN": "123456"}}, by=cast.alice)
    assert made.public == {}
    assert _opened(made) == {"CA": CANARY.encode(), "PIN": b"123456"}
