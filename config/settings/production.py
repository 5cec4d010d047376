"""Separate web, worker and beat processes with a PostgreSQL and a Redis of their own. Refuses to start half-configured."""

from django.core.exceptions import ImproperlyConfigured

from config.settings.base import *  # noqa: F403 -- a settings module is the sum of its base and its changes
from config.settings.base import DATABASE_URL, FATHOM_DATA_KEY, IS_HTTPS, SECRET_KEY, STORAGES

_MISSING = [
    sentence
    for value, sentence in (
        (SECRET_KEY, "SECRET_KEY (or SECRET_KEY_FILE): at least 50 random characters"),
        (FATHOM_DATA_KEY, "FATHOM_DATA_KEY (or FATHOM_DATA_KEY_FILE): 32 random bytes in hexadecimal"),
        (DATABASE_URL, "DATABASE_URL (or DATABASE_URL_FILE): postgresql://user:password@host:port/name"),
    )
    if not value
]
if _MISSING:
    msg = f"Production needs {'; '.join(_MISSING)}."
    raise ImproperlyConfigured(msg)
if len(FATHOM_DATA_KEY) != 64 or not all(c in "0123456789abcdef" for c in FATHOM_DATA_KEY.lower()):  # noqa: PLR2004 -- 32 bytes
    msg = "FATHOM_DATA_KEY must be 64 hexadecimal digits."
    raise ImproperlyConfigured(msg)

# A plain-http installation is for a closed network; TLS ends at a proxy, which also redirects.
SECURE_SSL_REDIRECT = False
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = False
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # the redirect to https is the proxy's, see above
    "security.W021",  # preloading is the choice of the domain's owner
]

STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
