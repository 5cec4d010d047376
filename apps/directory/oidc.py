"""OpenID Connect through Authlib: code with PKCE, state and nonce; what the provider signs is checked by the library."""

import time
from collections.abc import Mapping
from typing import Any

import requests
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import DjangoIntegration, DjangoOAuth2App
from joserfc.errors import JoseError
from typing_extensions import override

from apps.accounts.choices import IdentitySource
from apps.accounts.providers import canonical
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated, Unready
from apps.directory.config import OidcConfig
from apps.directory.person import Person, mail

logger = structlog.get_logger(__name__)

_SIGNATURES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_TIMEOUT_SECONDS = 5.0
_KEPT_SECONDS = 600.0  # what the provider says of itself is read again after this
_LEEWAY_SECONDS = 60
_LONGEST_NAME = 150


class _App(DjangoOAuth2App):  # type: ignore[misc]  # the library has no types
    """The library's client, which believes of the provider's own description only what fits the settings."""

    def __init__(self, config: OidcConfig) -> None:
        discovery = f"{config.issuer.rstrip('/')}/.well-known/openid-configuration"
        options: dict[str, Any] = {"scope": config.scopes, "code_challenge_method": "S256"}
        options |= {"default_timeout": _TIMEOUT_SECONDS, "verify": config.ca_file or True}
        if not config.client_secret:
            options["token_endpoint_auth_method"] = "none"  # noqa: S105 -- a method, not a secret
        super().__init__(
            DjangoIntegration("fathom"),
            name="fathom",
            client_id=config.client_id,
            client_secret=config.client_secret or None,
            client_kwargs=options,
            server_metadata_url=discovery,
        )
        self.config = config

    @override
    def load_server_metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = super().load_server_metadata()
        if metadata.get("issuer") != self.config.issuer:
            msg = f"The provider calls itself {metadata.get('issuer')!r}, not {self.config.issuer!r}."
            raise Unready(msg)
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        # SECURITY: neither unsigned tokens nor ones signed with a secret that others may share.
        metadata["id_token_signing_alg_values_supported"] = [name for name in offered if name in _SIGNATURES]
        return metadata


_known: tuple[float, _App] | None = None


def _app(config: OidcConfig) -> _App:
    global _known  # noqa: PLW0603 -- one client per process, renewed now and then
    if _known is None or _known[1].config != config or _known[0] < time.monotonic():
        _known = (time.monotonic() + _KEPT_SECONDS, _App(config))
    return _known[1]


def begin(config: OidcConfig, session: Any, *, redirect_uri: str, anew: bool = False) -> str:
    """Return where the browser goes; what must come back is kept in the session. `anew` asks for the password again.

    Raises: Unready.
    """
    app = _app(config)
    try:
        made = app.create_authorization_url(redirect_uri, **({"prompt": "login", "max_age": 0} if anew else {}))
    except (requests.RequestException, ValueError, RuntimeError) as error:
        raise _unreachable(error) from error
    kept = {key: made[key] for key in ("nonce", "code_verifier")}
    app.framework.set_state_data(session, made["state"], {"redirect_uri": redirect_uri, **kept})
    return str(made["url"])


def finish(config: OidcConfig, request: Any) -> Person:
    """Return who has come back from the provider.

    Raises: Invalid for a login that was not begun in this browser, NotAllowed when the provider says no, NotAuthenticated
    for a token that is not right, Unready.
    """
    app = _app(config)
    state = str(request.GET.get("state", ""))
    if not app.framework.get_state_data(request.session, state):
        msg = "This login was not begun in this browser, was finished already, or took too long. Begin again."
        raise Invalid(msg)
    if request.GET.get("error"):
        app.framework.clear_state_data(request.session, state)
        msg = f"{config.name} did not let you in ({_word(request.GET['error'])})."
        raise NotAllowed(msg)
    if request.GET.get("iss", config.issuer) != config.issuer:
        app.framework.clear_state_data(request.session, state)
        why = "the answer names another issuer"
        raise _wrong(why)
    options = {
        "iss": {"essential": True, "value": config.issuer},
        "aud": {"essential": True, "value": config.client_id},
    }
    try:
        token = app.authorize_access_token(request, claims_options=options, leeway=_LEEWAY_SECONDS)
    except (AuthlibBaseError, JoseError) as error:
        raise _wrong(str(error)) from error
    except (requests.RequestException, ValueError, RuntimeError) as error:
        raise _unreachable(error) from error
    claims = token.get("userinfo")
    if not claims:
        why = "no ID token was given"
        raise _wrong(why)
    return _person(config, _with_userinfo(app, config, token, claims))


def _with_userinfo(
    app: _App, config: OidcConfig, token: Mapping[str, Any], claims: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask for what the token does not say. Many providers keep profile and groups for this second question."""
    wanted = (config.username_claim, config.groups_claim, "email")
    if all(name in claims for name in wanted) or "userinfo_endpoint" not in app.load_server_metadata():
        return dict(claims)
    try:
        more = app.userinfo(token=token)
    except AuthlibBaseError as error:
        raise _wrong(str(error)) from error
    except (requests.RequestException, ValueError) as error:
        raise _unreachable(error) from error
    if more.get("sub") != claims["sub"]:  # SECURITY: the answer could be somebody else's
        why = "the user info is of another person"
        raise _wrong(why)
    return {**more, **claims}


def _person(config: OidcConfig, claims: Mapping[str, Any]) -> Person:
    groups = claims.get(config.groups_claim)
    named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Person(
        source=IdentitySource.OIDC,
        external_id=f"{config.issuer}|{claims['sub']}",
        username=canonical(_text(claims, config.username_claim)),
        email=mail(_text(claims, "email")),
        first_name=_text(claims, "given_name")[:_LONGEST_NAME],
        last_name=_text(claims, "family_name")[:_LONGEST_NAME],
        groups=frozenset(group.strip() for group in named if isinstance(group, str)),
        logged_in_at=float(claims["auth_time"]) if isinstance(claims.get("auth_time"), int) else None,
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value.replace("\x00", "").strip() if isinstance(value, str) else ""


def _word(text: str) -> str:
    """Repeat an error code of the specification; nothing else of what stands in the address."""
    return text if text.isascii() and text.replace("_", "").isalnum() and len(text) < 60 else "no reason given"  # noqa: PLR2004 -- codes are short


def _wrong(why: str) -> NotAuthenticated:
    logger.warning("oidc_refused", reason=why)
    return NotAuthenticated(
        "The answer of the provider was not accepted. Begin again; if this happens again, tell an operator."
    )


def _unreachable(error: Exception) -> Unready:
    logger.warning("oidc_unavailable", error=str(error))
    return Unready("The login provider cannot be reached at the moment. Try again soon.")
