"""`check --deploy`: an installation that cannot store secrets says so before somebody tries."""

from typing import Any

from django.core import checks

from apps.core import sealing
from apps.core.errors import KeyUnavailable


def key_ring_is_there(**_: Any) -> list[checks.CheckMessage]:
    try:
        sealing.ring()
    except KeyUnavailable as error:
        hint = "Give FATHOM_CREDENTIAL_KEYS or FATHOM_CREDENTIAL_KEYS_FILE; see docs/operate/keys.md."
        return [checks.Warning(error.detail, hint=hint, id="credentials.W001")]
    return []
