"""Whose address a request has: the peer's, or what a proxy that is trusted says of it; never what a client says."""

import asyncio
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from apps.core.middleware import RequestContext, RequestContextMiddleware, address_of, current_request
from config import web

PROXY, OTHER_PROXY, PEER, CLIENT, SPOOFED = "10.0.0.1", "10.0.7.7", "198.51.100.9", "203.0.113.5", "192.0.2.66"


def seen(monkeypatch: pytest.MonkeyPatch, trusted: str, peer: str, *headers: str, kind: str = "http") -> str:
    """Return the client's address that the application gets, behind the web server as it is configured."""
    if trusted:
        monkeypatch.setenv("FATHOM_TRUSTED_PROXIES", trusted)
    found: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        found.append(scope["client"][0])

    config = web._config("config.asgi:application", websockets=True)
    config.app = application
    config.load()
    forwarded = [(b"x-forwarded-for", value.encode()) for value in headers]
    scope = {"type": kind, "headers": forwarded, "client": (peer, 1234), "scheme": "http", "asgi": {"version": "3.0"}}
    asyncio.run(config.loaded_app(scope, None, None))  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("trusted", "peer", "header", "address"),
    [
        ("", PEER, CLIENT, PEER),  # nobody is trusted
        ("", "127.0.0.1", CLIENT, "127.0.0.1"),
        (PROXY, PEER, CLIENT, PEER),  # a client that writes the header itself
        (PROXY, PROXY, CLIENT, CLIENT),
        (PROXY, PROXY, f"{SPOOFED}, {CLIENT}", CLIENT),  # what the client wrote stands left of what the proxy saw
        (f"{PROXY}, {OTHER_PROXY}", PROXY, f"{SPOOFED}, {CLIENT}, {OTHER_PROXY}", CLIENT),
        ("10.0.0.0/8", PROXY, f"{SPOOFED}, {CLIENT}, {OTHER_PROXY}", CLIENT),
        ("10.0.0.0/8", "11.0.0.1", CLIENT, "11.0.0.1"),
        ("2001:db8::/32", "2001:db8::1", f"{SPOOFED}, 2001:db9::5", "2001:db9::5"),
    ],
)
def test_the_right_most_address_that_is_no_proxys(
    trusted: str, peer: str, header: str, address: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(monkeypatch, trusted, peer, header, kind=kind) == address


@pytest.mark.parametrize("text", ["*", "proxy.example.org", "10.0.0.1/8", "10.0.0.0/8, *", "/run/proxy.sock"])
def test_only_addresses_and_networks_are_trusted(text: str) -> None:
    with pytest.raises(SystemExit, match="FATHOM_TRUSTED_PROXIES"):
        web.trusted_proxies(text)


def test_the_django_side_reads_no_header() -> None:
    found: list[RequestContext] = []

    def answer(_request: HttpRequest) -> HttpResponse:
        found.append(current_request.get())
        return HttpResponse()

    request = RequestFactory().get("/", REMOTE_ADDR=PEER, HTTP_X_FORWARDED_FOR=SPOOFED, HTTP_X_REAL_IP=SPOOFED)
    RequestContextMiddleware(answer)(request)
    assert found[0].ip == PEER


@pytest.mark.django_db
def test_a_spoofed_header_does_not_spread_guesses_over_addresses() -> None:
    from apps.accounts.models import LoginFailure

    for number in range(3):
        guess = {"username": f"user-{number}", "password": "wrong"}
        Client(REMOTE_ADDR=PEER, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}").post("/login/", guess)
    assert set(LoginFailure.objects.values_list("ip", flat=True)) == {PEER}


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8::0:1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("", None), (None, None),
     ("unix:", None), ("192.0.2.1:80", None), ("1; DROP", None)],
)  # fmt: skip
def test_what_is_no_address_is_none(text: Any, address: str | None) -> None:
    assert address_of(text) == address
