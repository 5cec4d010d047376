"""Coming in by LDAP: a real server answers each of these."""

import time

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import LoginFailure, User
from apps.audit.models import AuditEvent
from apps.core.errors import NotAuthenticated, Throttled, Unready
from tests.directory.conftest import use
from tests.directory.slapd import PASSWORD, Authority, Slapd, dn_of
from tests.factories import in_threads
from tests.people import PASSWORD as LOCAL_PASSWORD
from tests.people import Cast
from tests.portal.reading import text_of

pytestmark = pytest.mark.django_db


def refused(name: str, password: str = PASSWORD) -> str:
    """Be refused in the words everybody hears; return the reason that operators read."""
    users = User.objects.count()
    with pytest.raises(NotAuthenticated, match=r"^The name or the password is wrong\.$"):
        accounts.log_in(name, password)
    assert User.objects.count() == users
    return LoginFailure.objects.latest("pk").reason


def test_the_first_login_makes_an_account(slapd: Slapd) -> None:
    user = accounts.log_in("ana", PASSWORD)
    assert (user.username, user.email, user.first_name, user.last_name) == ("ana", "ana@example.org", "Ana", "Example")
    assert user.identity_source == "ldap"
    assert len(user.external_id) == 36  # the entryUUID
    assert not user.has_usable_password()
    assert set(AuditEvent.objects.filter(object_label="ana").values_list("action", flat=True)) == {"create", "link"}
    assert accounts.log_in("ana", PASSWORD).pk == user.pk
    assert LoginFailure.objects.count() == 0


@pytest.mark.parametrize("typed", ["ANA", " ana ", "Ana", "\uff41\uff4e\uff41"])
def test_the_name_is_the_directorys_however_it_is_typed(typed: str, slapd: Slapd) -> None:
    assert accounts.log_in(typed, PASSWORD).username == "ana"
    assert accounts.log_in("ana", PASSWORD).username == "ana"
    assert User.objects.count() == 1


def test_attributes_follow_the_directory_at_each_login(slapd: Slapd) -> None:
    accounts.log_in("ana", PASSWORD)
    slapd.change(dn_of("ana"), mail=["new@example.org"], sn=["Wed"])
    accounts.log_in("ana", PASSWORD)
    assert User.objects.values_list("email", "first_name", "last_name").get() == ("new@example.org", "Ana", "Wed")


def test_a_malformed_address_keeps_nobody_out(slapd: Slapd) -> None:
    slapd.change(dn_of("ana"), mail=["no address at all"])
    assert accounts.log_in("ana", PASSWORD).email == ""


def test_a_renamed_person_keeps_the_account(slapd: Slapd) -> None:
    before = accounts.log_in("ana", PASSWORD)
    slapd.rename("ana", "anastasia")
    after = accounts.log_in("anastasia", PASSWORD)
    assert (after.pk, after.username) == (before.pk, "anastasia")
    assert refused("ana") == ""


def test_a_name_given_to_somebody_else_opens_nothing(slapd: Slapd) -> None:
    """The directory deletes ana and hires another ana: the account stays the first one's."""
    first = accounts.log_in("ana", PASSWORD)
    slapd.remove_person("ana")
    slapd.add_person("ana")
    assert refused("ana").startswith("the name belongs to another identity")
    assert User.objects.get(username="ana").external_id == first.external_id


@pytest.mark.parametrize("password", ["wrong", PASSWORD.upper(), PASSWORD + " ", " ", "\x00", PASSWORD + "\x00"])
def test_a_wrong_password_is_refused(password: str, slapd: Slapd) -> None:
    assert refused("ana", password) == ""


def test_an_empty_password_never_reaches_the_server(slapd: Slapd) -> None:
    """A bind with a name and no password succeeds as nobody in LDAP; here it must not count as ana."""
    connection = slapd.root()
    assert connection.simple_bind_s(dn_of("ana"), "") is not None  # the server says yes: the trap is real
    assert refused("ana", "") == ""


@pytest.mark.parametrize(
    "name",
    ["*", "a*", "(", ")", "\\", "\\2a", "an\\61", "ana\x00", "\x00", "admin)(uid=*", "ana)(|(uid=*", "*)(objectClass=*",
     "ana,ou=people", "uid=ana", "é", "ana\n", "%s", "%(user)s", "x" * 150],
)  # fmt: skip
def test_injection_is_a_name_that_does_not_exist(name: str, slapd: Slapd) -> None:
    if name.strip() == "ana":
        assert accounts.log_in(name, PASSWORD).username == "ana"
    else:
        assert refused(name) == ""


def test_a_filter_with_a_percent_sign_is_a_filter(slapd: Slapd, settings: object) -> None:
    use(settings, slapd, USER_FILTER="(&(objectClass=person)(!(cn=100%)))")
    assert accounts.log_in("ana", PASSWORD).username == "ana"


def test_whom_the_filter_leaves_out_is_nobody(slapd: Slapd, settings: object) -> None:
    use(settings, slapd, USER_FILTER="(&(objectClass=person)(!(uid=ana)))")
    assert refused("ana") == ""
    assert accounts.log_in("ben", PASSWORD).username == "ben"


def test_who_is_deleted_in_the_directory_is_refused(slapd: Slapd) -> None:
    accounts.log_in("ana", PASSWORD)
    slapd.remove_person("ana")
    assert refused("ana") == ""


def test_who_is_disabled_here_stays_out(slapd: Slapd, cast: Cast) -> None:
    user = accounts.log_in("ana", PASSWORD)
    accounts.disable_user(user, by=SYSTEM, reason="left")
    slapd.change(dn_of("ana"), mail=["new@example.org"])
    assert refused("ana") == "the account is disabled"
    assert User.objects.get(pk=user.pk).email == "ana@example.org"


def test_the_directory_never_opens_a_local_account(slapd: Slapd, cast: Cast) -> None:
    slapd.add_person("alice")
    assert refused("alice") == ""  # the directory is not even asked for a local account's password
    assert accounts.log_in("alice", LOCAL_PASSWORD).pk == cast.alice.pk
    alice = User.objects.get(pk=cast.alice.pk)
    assert (alice.identity_source, alice.external_id, alice.email) == ("local", "", "")


@pytest.mark.parametrize("typed", ["ALICE", "Alice", "sre", "SRE"])
def test_nor_by_another_spelling(typed: str, slapd: Slapd, cast: Cast) -> None:
    slapd.add_person("alice")
    slapd.add_person("sre")
    refused(typed)
    assert User.objects.filter(identity_source="ldap").count() == 0


def test_a_local_account_of_another_spelling_shuts_nobody_out(slapd: Slapd, cast: Cast) -> None:
    ana = accounts.log_in("ana", PASSWORD)
    local = User.objects.create(username="Ana", password=make_password(LOCAL_PASSWORD))  # made before names were one
    assert accounts.log_in("ana", PASSWORD).pk == ana.pk
    assert accounts.log_in("Ana", LOCAL_PASSWORD).pk == local.pk
    assert accounts.log_in("ANA", PASSWORD).pk == ana.pk
    for name, password in (("ana", LOCAL_PASSWORD), ("Ana", PASSWORD), ("ANA", LOCAL_PASSWORD)):
        refused(name, password)


def test_nor_by_an_entry_that_is_found_under_another_name(slapd: Slapd, cast: Cast) -> None:
    """An entry with two user names is found by the one and would be the account of the other."""
    slapd.add_person("zoe", uid=["zoe", "alice"])
    slapd.change(dn_of("zoe"), uid=["alice", "zoe"])
    reason = refused("zoe") if not _first_is_zoe(slapd) else "a local account has this name"
    assert "a local account has this name" in reason


def _first_is_zoe(slapd: Slapd) -> bool:
    found = slapd.root().search_s(dn_of("zoe"), 0, "(objectClass=*)", ["uid"])
    return found[0][1]["uid"][0] == b"zoe"


def test_a_local_password_never_opens_a_directory_account(slapd: Slapd) -> None:
    user = accounts.log_in("ana", PASSWORD)
    user.set_password(LOCAL_PASSWORD)
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError, match="outside_accounts_have_no_password"), transaction.atomic():
        user.save()
    refused("ana", LOCAL_PASSWORD)


def test_guessing_is_slowed_down_as_ever(slapd: Slapd) -> None:
    for _ in range(10):
        refused("ana", "wrong")
    with pytest.raises(Throttled):
        accounts.log_in("ana", PASSWORD)
    assert not User.objects.exists()


def test_another_spelling_is_no_further_guess(slapd: Slapd) -> None:
    spellings = ["ana", "ANA", " ana", "Ana ", "aNA", "anA", "\uff41na", "An\uff41", "AnA", "aNa"]
    for spelling in spellings:
        refused(spelling, "wrong")
    with pytest.raises(Throttled):
        accounts.log_in("ana", PASSWORD)


@pytest.mark.parametrize("typed", ["an\u00ada", "a\u200bna", "a na", "an  a"])
def test_what_only_matches_the_name_is_not_asked_for(typed: str, slapd: Slapd) -> None:
    """The server may find ana by it, even with the right password."""
    refused(typed)


@pytest.mark.django_db(transaction=True)
def test_one_person_in_many_windows_gets_one_account(slapd: Slapd) -> None:
    found = in_threads(6, lambda _index: accounts.log_in("ana", PASSWORD).pk)
    assert set(found) == {User.objects.get().pk}


def test_where_logins_make_no_accounts(slapd: Slapd, settings: object) -> None:
    settings.FATHOM_DIRECTORY_CREATE_ACCOUNTS = False
    assert refused("ana") == "there is no account for this person, and logins do not make accounts here"


def test_the_page_lets_in_and_changes_the_session_key(slapd: Slapd) -> None:
    client = Client()
    client.get("/login/")
    session = client.session
    session["seen"] = "before"
    session.save()
    before = session.session_key
    assert client.post("/login/", {"username": "ana", "password": PASSWORD})["Location"] == "/"
    assert client.session.session_key != before
    assert client.get("/").status_code == 200


def test_the_api_gives_a_token(slapd: Slapd) -> None:
    body = {"username": "ana", "password": PASSWORD, "name": "laptop"}
    assert Client().post("/api/v2/auth/login/", body, content_type="application/json").status_code == 201


def test_an_admin_of_the_directory_opens_the_admin(slapd: Slapd) -> None:
    user = accounts.log_in("ben", PASSWORD)
    client = Client()
    form = {"username": "ben", "password": PASSWORD, "next": "/admin/"}
    assert client.post("/login/", form)["Location"] == "/admin/"
    assert client.get("/admin/", follow=True).status_code == 403
    accounts.set_platform_role(user, "admin", by=SYSTEM)
    assert client.post("/elevate/", {**form, "password": "wrong", "reason": "to see"}).status_code == 401
    assert client.post("/elevate/", {**form, "reason": "to see"})["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


# --- The server is down -----------------------------------------------------------------------------------------------


def test_while_the_directory_is_down(slapd: Slapd, cast: Cast) -> None:
    accounts.log_in("ana", PASSWORD)
    slapd.stop()
    for name in ("ana", "ben"):  # with an account and without
        with pytest.raises(Unready, match="The directory is unavailable"):
            accounts.log_in(name, PASSWORD)
    assert LoginFailure.objects.count() == 0  # nobody guessed
    began = time.monotonic()
    assert accounts.log_in("sre", LOCAL_PASSWORD).pk == cast.sre.pk
    with pytest.raises(NotAuthenticated):
        accounts.log_in("sre", "wrong")
    assert time.monotonic() - began < 1


def test_the_pages_say_so(slapd: Slapd, cast: Cast) -> None:
    slapd.stop()
    page = Client().post("/login/", {"username": "ana", "password": PASSWORD})
    assert page.status_code == 503
    assert "The directory is unavailable at the moment." in text_of(page)
    body = {"username": "ana", "password": PASSWORD}
    answer = Client().post("/api/v2/auth/login/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "unavailable", "2")
    browser, form = Client(), {"username": "sre", "password": LOCAL_PASSWORD, "next": "/admin/"}
    assert browser.post("/login/", form)["Location"] == "/admin/"
    assert browser.post("/elevate/", {**form, "reason": "the directory is down"})["Location"] == "/admin/"


def test_a_server_that_hangs_is_waited_for_once(slapd: Slapd, settings: object) -> None:
    """It accepts and never answers: bounded, and the next login does not wait at all."""
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(8)
        use(settings, slapd, URL=[f"ldap://127.0.0.1:{deaf.getsockname()[1]}"], TIMEOUT_SECONDS=1)
        for most in (4.0, 0.5):
            began = time.monotonic()
            with pytest.raises(Unready):
                accounts.log_in("ana", PASSWORD)
            assert time.monotonic() - began < most


def test_the_second_server_is_tried(slapd: Slapd, settings: object) -> None:
    use(settings, slapd, URL=["ldap://127.0.0.1:1", slapd.url])
    assert accounts.log_in("ana", PASSWORD).username == "ana"


def test_it_comes_back(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.directory.ldap.provider._PAUSE_SECONDS", 0.0)
    slapd.stop()
    with pytest.raises(Unready):
        accounts.log_in("ana", PASSWORD)
    slapd.start()
    assert accounts.log_in("ana", PASSWORD).username == "ana"


def test_a_searching_account_that_may_not_is_no_fault_of_the_person(slapd: Slapd, settings: object) -> None:
    use(settings, slapd, BIND_PASSWORD="wrong")
    with pytest.raises(Unready):
        accounts.log_in("ana", PASSWORD)
    assert LoginFailure.objects.count() == 0


# --- Encryption -------------------------------------------------------------------------------------------------------


def test_passwords_travel_encrypted(settings: object) -> None:
    """A server that answers nothing in the clear: with StartTLS one comes in, without not."""
    server = Slapd(security="security tls=1 simple_bind=128")
    try:
        server.fill()
        use(settings, server)
        assert accounts.log_in("ana", PASSWORD).username == "ana"
        use(settings, server, STARTTLS=False)
        with pytest.raises(Unready):
            accounts.log_in("ana", PASSWORD)
    finally:
        server.remove()


def test_ldaps(slapd: Slapd, settings: object) -> None:
    use(settings, slapd, URL=[slapd.tls_url])
    assert accounts.log_in("ana", PASSWORD).username == "ana"


@pytest.mark.parametrize("over", ["url", "tls_url"])
def test_a_certificate_of_another_authority_is_refused(over: str, slapd: Slapd, settings: object) -> None:
    stranger = Authority(name="Somebody else").write(slapd.folder / "stranger.pem")
    use(settings, slapd, URL=[getattr(slapd, over)], CA_FILE=str(stranger))
    with pytest.raises(Unready):
        accounts.log_in("ana", PASSWORD)
    assert not User.objects.exists()


@pytest.mark.parametrize("over", ["url", "tls_url"])
def test_a_certificate_of_another_host_is_refused(over: str, settings: object) -> None:
    server = Slapd(names=("elsewhere.example",))
    try:
        use(settings, server, URL=[getattr(server, over)])
        with pytest.raises(Unready):
            accounts.log_in("ana", PASSWORD)
        assert not User.objects.exists()
    finally:
        server.remove()
