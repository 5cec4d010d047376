"""Coming in through an OpenID provider: a real one answers each of these."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from joserfc.jwk import RSAKey

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import LoginFailure, User
from apps.core.errors import NotAuthenticated
from apps.directory import oidc, services
from apps.directory.models import DirectoryPerson, DirectoryRule
from apps.teams.models import Membership
from tests.directory.openid import CLIENT, SECRET, OpenIdProvider, walk
from tests.people import PASSWORD, Cast
from tests.portal.reading import text_of

pytestmark = pytest.mark.django_db

HERE = "http://127.0.0.1:8080"
BACK = f"{HERE}/login/oidc/"
OLGA = {
    "preferred_username": "Olga",
    "given_name": "Olga",
    "family_name": "Wed",
    "email": "olga@example.org",
    "groups": ["research", "cooks"],
}


@pytest.fixture(scope="session")
def running_provider() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider(BACK)
    yield provider
    provider.remove()


@pytest.fixture
def provider(running_provider: OpenIdProvider, settings: Any) -> OpenIdProvider:
    running_provider.know({"1001": OLGA})
    use(settings, running_provider)
    return running_provider


def use(settings: Any, provider: OpenIdProvider, **more: str) -> None:
    values = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Example", **more}
    for name, value in values.items():
        setattr(settings, f"FATHOM_OIDC_{name}", value)
    settings.FATHOM_URL = HERE
    oidc._known = None


def begin(browser: Client, query: str = "") -> str:
    answer = browser.get(f"/login/oidc/{query}")
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def come_back(browser: Client, url: str) -> Any:
    parts = urlsplit(url)
    return browser.get(f"{parts.path}?{parts.query}")


def log_in(browser: Client, login: str = "1001", query: str = "") -> Any:
    return come_back(browser, walk(begin(browser, query), login, until=BACK))


def assert_refused(browser: Client, answer: Any, status: int, words: str) -> None:
    assert answer.status_code == status, text_of(answer)
    assert words in text_of(answer)
    assert "_auth_user_id" not in browser.session


def test_the_login_page_shows_the_way(provider: OpenIdProvider) -> None:
    page = text_of(Client().get("/login/?next=/usage/"))
    assert '<a class="button" href="/login/oidc/?next=/usage/">Log in with Example</a>' in page


def test_without_a_provider_there_is_no_way() -> None:
    assert "Log in with" not in text_of(Client().get("/login/"))
    assert Client().get("/login/oidc/").status_code == 404


def test_the_first_login_makes_an_account(provider: OpenIdProvider) -> None:
    browser = Client()
    answer = log_in(browser, query="?next=/usage/")
    assert (answer.status_code, answer["Location"]) == (302, "/usage/")
    user = User.objects.get()
    assert (user.username, user.email, user.first_name, user.last_name) == ("olga", "olga@example.org", "Olga", "Wed")
    assert (user.identity_source, user.external_id) == ("oidc", f"{provider.issuer}|1001")
    assert not user.has_usable_password()
    assert int(browser.session["_auth_user_id"]) == user.pk
    log_in(Client())
    assert User.objects.count() == 1


def test_what_is_asked_for(provider: OpenIdProvider) -> None:
    asked = parse_qs(urlsplit(begin(Client())).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [BACK]
    assert asked["scope"] == ["openid profile email"]
    assert all(len(asked[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize("client", ["elliptic", "public"])
def test_other_signatures_and_public_clients(client: str, provider: OpenIdProvider, settings: Any) -> None:
    use(settings, provider, CLIENT_ID=client, CLIENT_SECRET="" if client == "public" else SECRET)
    assert log_in(Client()).status_code == 302
    assert User.objects.get().username == "olga"


def test_the_session_gets_a_new_key_and_keeps_no_secret(provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    before = browser.session.session_key
    come_back(browser, url)
    assert browser.session.session_key != before
    assert {key for key in browser.session.keys() if not key.startswith("_auth")} == {"logged_in_at"}  # noqa: SIM118 -- no dictionary


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_next_never_leaves_the_platform(wanted: str, provider: OpenIdProvider) -> None:
    assert log_in(Client(), query=f"?next={wanted}")["Location"] == "/"


def test_who_is_in_already_is_led_home(provider: OpenIdProvider, cast: Cast) -> None:
    browser = Client()
    browser.force_login(cast.alice)
    assert browser.get("/login/oidc/")["Location"] == "/"


def test_logging_out(provider: OpenIdProvider) -> None:
    browser = Client()
    log_in(browser)
    assert browser.post("/logout/")["Location"] == "/login/"
    assert browser.get("/").status_code == 302
    assert "_auth_user_id" not in browser.session


def test_attributes_follow_and_the_name_does_not(provider: OpenIdProvider) -> None:
    """Many providers let people choose their user name; the account keeps the one it got."""
    log_in(Client())
    provider.know({"1001": {**OLGA, "preferred_username": "sre", "email": "new@example.org"}})
    log_in(Client())
    assert User.objects.values_list("username", "email").get() == ("olga", "new@example.org")


def test_groups_become_memberships(provider: OpenIdProvider, cast: Cast) -> None:
    made = DirectoryRule(source="oidc", group="research", team=cast.team, role="member")
    services.save_rule(made, by=SYSTEM)
    log_in(Client())
    assert Membership.objects.filter(user__username="olga").values_list("team__slug", "role", "source").get() == (
        "vision", "member", "directory",
    )  # fmt: skip
    assert DirectoryPerson.objects.get().groups == ["cooks", "research"]
    made.role = "viewer"
    services.save_rule(made, by=SYSTEM)
    plan = services.preview(by=SYSTEM)  # from the groups of the last login
    assert [str(change) for change in plan.changes] == ["olga becomes viewer of vision, was member"]
    provider.know({"1001": {**OLGA, "groups": []}})
    log_in(Client())
    assert not Membership.objects.filter(user__username="olga").exists()


def test_one_group_as_a_word(provider: OpenIdProvider) -> None:
    provider.know({"1001": {**OLGA, "groups": "research"}})
    log_in(Client())
    assert DirectoryPerson.objects.get().groups == ["research"]


@pytest.mark.parametrize("name", ["alice", "ALICE", "sre"])
def test_a_provider_never_opens_a_local_account(name: str, provider: OpenIdProvider, cast: Cast) -> None:
    users = User.objects.count()
    provider.know({"1001": {**OLGA, "preferred_username": name}})
    browser = Client()
    assert_refused(browser, log_in(browser), 403, "you have no account that may be used here")
    failure = LoginFailure.objects.get()
    assert failure.reason.startswith("a local account has this name")
    assert failure.username == f"{name.lower()} (oidc)"
    for _ in range(10):
        log_in(Client())
    assert accounts.log_in("alice", PASSWORD).pk == cast.alice.pk  # it was no guess at her password
    assert User.objects.count() == users


def test_a_local_password_never_opens_its_accounts(provider: OpenIdProvider) -> None:
    log_in(Client())
    with pytest.raises(NotAuthenticated):
        accounts.log_in("olga", PASSWORD)


def test_who_is_disabled_here_stays_out(provider: OpenIdProvider) -> None:
    log_in(Client())
    accounts.disable_user(User.objects.get(), by=SYSTEM, reason="left")
    browser = Client()
    assert_refused(browser, log_in(browser), 403, "you have no account that may be used here")
    assert LoginFailure.objects.get().reason == "the account is disabled"


def test_where_logins_make_no_accounts(provider: OpenIdProvider, settings: Any) -> None:
    settings.FATHOM_DIRECTORY_CREATE_ACCOUNTS = False
    browser = Client()
    assert_refused(browser, log_in(browser), 403, "you have no account that may be used here")
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["", "two words", None])
def test_a_name_that_cannot_be(name: Any, provider: OpenIdProvider) -> None:
    provider.know({"1001": {**OLGA, "preferred_username": name}})
    browser = Client()
    assert_refused(browser, log_in(browser), 403, "you have no account that may be used here")
    assert not User.objects.exists()


# --- What must not let anybody in -------------------------------------------------------------------------------------


def test_a_wrong_state(provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    state = parse_qs(urlsplit(url).query)["state"][0]
    answer = come_back(browser, url.replace(state, "x" * len(state)))
    assert_refused(browser, answer, 400, "This login was not begun in this browser")


def test_an_answer_in_another_browser(provider: OpenIdProvider) -> None:
    """Who is sent somebody else's answer must not end up in his account."""
    url = walk(begin(Client()), "1001", until=BACK)
    victim = Client()
    assert_refused(victim, come_back(victim, url), 400, "This login was not begun in this browser")
    begin(victim)
    assert_refused(victim, come_back(victim, url), 400, "This login was not begun in this browser")


def test_a_replayed_answer(provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    assert come_back(browser, url).status_code == 302
    browser.post("/logout/")
    assert_refused(browser, come_back(browser, url), 400, "This login was not begun in this browser")


def test_a_replayed_code(provider: OpenIdProvider) -> None:
    """The same code with a fresh state: the provider refuses it, for it is used, and belongs to another challenge."""
    first = Client()
    url = walk(begin(first), "1001", until=BACK)
    come_back(first, url)
    code = parse_qs(urlsplit(url).query)["code"][0]
    browser = Client()
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/login/oidc/", {"code": code, "state": state})
    assert_refused(browser, answer, 401, "The answer of the provider was not accepted.")


@pytest.mark.parametrize("code", ["", "nonsense"])
def test_an_invented_code(code: str, provider: OpenIdProvider) -> None:
    browser = Client()
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/login/oidc/", {"code": code, "state": state})
    assert_refused(browser, answer, 401, "The answer of the provider was not accepted.")


def test_a_code_for_another_client(provider: OpenIdProvider) -> None:
    browser = Client()
    url = begin(browser).replace(f"client_id={CLIENT}", "client_id=other")
    answer = come_back(browser, walk(url, "1001", until=BACK))
    assert_refused(browser, answer, 401, "The answer of the provider was not accepted.")


@pytest.mark.parametrize(
    "how",
    [
        {"claims": {"aud": "other"}},
        {"claims": {"aud": ["other"]}},
        {"claims": {"aud": [CLIENT, "other"], "azp": "other"}},
        {"claims": {"iss": "https://elsewhere.example"}},
        {"claims": {"exp": 1_000_000_000}},
        {"claims": {"iat": 9_000_000_000}},
        {"claims": {"nonce": "of another login"}},
        {"without": ["nonce"]},
        {"without": ["aud"]},
        {"without": ["exp"]},
        {"without": ["sub"]},
        {"alg": "none"},
        {"alg": "HS256"},
        {"drop": True},
        {"key": "rsa"},
        {"key": "unknown"},
    ],
    ids=lambda how: "-".join(f"{key}={str(value)[:30]}" for key, value in how.items()),
)
def test_a_token_that_is_not_right(how: dict[str, Any], provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    if "key" in how:  # a stranger's, under a name that the provider publishes, and under another
        stranger = RSAKey.generate_key(2048, {"kid": how["key"], "alg": "RS256", "use": "sig"})
        how = {"key": stranger.as_dict(private=True)}
    provider.tamper(**how)
    assert_refused(browser, come_back(browser, url), 401, "The answer of the provider was not accepted.")
    assert not User.objects.exists()


def test_the_control_run_a_resigned_token_that_is_right(provider: OpenIdProvider) -> None:
    """The tampering itself is not what is refused above."""
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    provider.tamper(claims={})
    assert come_back(browser, url).status_code == 302


def test_the_person_says_no(provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK, cancel=True)
    assert parse_qs(urlsplit(url).query)["error"] == ["access_denied"]
    assert_refused(browser, come_back(browser, url), 403, "Example did not let you in (access_denied).")


def test_an_error_that_nobody_asked_for(provider: OpenIdProvider) -> None:
    browser = Client()
    answer = browser.get("/login/oidc/", {"error": "<script>alert(1)</script>", "state": "x"})
    assert_refused(browser, answer, 400, "This login was not begun in this browser")
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/login/oidc/", {"error": "<script>alert(1)</script>", "state": state})
    assert_refused(browser, answer, 403, "no reason given")


def test_an_answer_that_names_another_issuer(provider: OpenIdProvider) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    answer = come_back(browser, url.split("&iss=")[0] + "&iss=https%3A%2F%2Felsewhere.example")
    assert_refused(browser, answer, 401, "The answer of the provider was not accepted.")


def test_a_provider_that_calls_itself_otherwise(provider: OpenIdProvider, settings: Any) -> None:
    use(settings, provider, ISSUER=provider.issuer.replace("127.0.0.1", "localhost"))
    assert Client().get("/login/oidc/").status_code == 503


def test_while_the_provider_is_down(provider: OpenIdProvider, settings: Any, cast: Cast) -> None:
    browser = Client()
    url = walk(begin(browser), "1001", until=BACK)
    provider.stop()
    try:
        assert_refused(browser, come_back(browser, url), 503, "The login provider cannot be reached at the moment.")
        oidc._known = None
        assert_refused(browser, browser.get("/login/oidc/"), 503, "The login provider cannot be reached")
        answer = Client().post("/login/", {"username": "sre", "password": PASSWORD})
        assert answer.status_code == 302  # and the break-glass admin gets in
    finally:
        provider.start()


def test_a_new_signing_key_is_fetched(provider: OpenIdProvider) -> None:
    log_in(Client())
    assert oidc._known is not None
    old = RSAKey.generate_key(2048, {"kid": "of yesterday", "alg": "RS256", "use": "sig"})
    oidc._known[1].server_metadata["jwks"] = {"keys": [old.as_dict(private=False)]}
    assert log_in(Client()).status_code == 302
