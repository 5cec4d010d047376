"""One machine: `manage.py up` starts PostgreSQL and Valkey itself, and made the keys."""

import secrets

from config.env import env_bool
from config.settings.base import *  # noqa: F403 -- a settings module is the sum of its base and its changes
from config.settings.base import ALLOWED_HOSTS, FATHOM_DATA_KEY, SECRET_KEY

DEBUG = env_bool("FATHOM_DEBUG")

# Before the first `up` there are no keys, and commands that keep nothing (check, makemigrations) do not need lasting ones.
SECRET_KEY = SECRET_KEY or secrets.token_urlsafe(50)
FATHOM_DATA_KEY = FATHOM_DATA_KEY or secrets.token_hex(32)

ALLOWED_HOSTS = [*dict.fromkeys([*ALLOWED_HOSTS, "127.0.0.1", "localhost", "[::1]"])]

# Static files are served from where they lie: nothing to collect on a laptop.
STATIC_ROOT = None  # type: ignore[assignment]  # Django knows None, base.py a folder
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
