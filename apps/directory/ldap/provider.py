"""LDAP as one of the platform's password providers."""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from apps.accounts.choices import IdentitySource
from apps.accounts.models import User
from apps.core.errors import Unready
from apps.directory.config import LdapConfig, ldap_config
from apps.directory.ldap.away import AWAY, Away
from apps.directory.person import Person

logger = structlog.get_logger(__name__)

_PAUSE_SECONDS = 5.0  # after a server did not answer, logins are told so without asking it again


class LdapProvider:
    """Asks the server about each password; while it is down nobody waits for it more than once in a while."""

    source = IdentitySource.LDAP

    def __init__(self, enter: Callable[[Person], User]) -> None:
        self._enter = enter
        self._lock = threading.Lock()
        self._backend: Any = None
        self._down_until = 0.0

    def is_on(self) -> bool:
        return ldap_config() is not None

    def log_in(self, username: str, password: str) -> User | None:
        """Return whose name and password these are, None when they are not. Raises: Refused, Unready."""
        config = ldap_config()
        if config is None:
            return None
        backend = self._backend_for(config)
        if time.monotonic() < self._down_until:
            raise Away(AWAY)
        try:
            user: User | None = backend.authenticate(None, username=username, password=password)
        except Unready as error:
            logger.warning("ldap_unavailable", error=str(error.__cause__))
            if isinstance(error, Away):
                self._down_until = time.monotonic() + _PAUSE_SECONDS
            raise
        return user

    def _backend_for(self, config: LdapConfig) -> Any:
        from apps.directory.ldap.backend import DirectoryBackend  # noqa: PLC0415 -- needs python-ldap

        with self._lock:
            if self._backend is None or self._backend.config != config:
                self._backend, self._down_until = DirectoryBackend(config, self._enter), 0.0
            return self._backend
