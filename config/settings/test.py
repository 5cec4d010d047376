"""The test suite: real PostgreSQL and Valkey, whose addresses tests/conftest.py has put into the environment."""

import tempfile
from pathlib import Path

from config.env import env_path
from config.settings.local import *  # noqa: F403 -- a settings module is the sum of its base and its changes

SECRET_KEY = "test-only-key-that-protects-nothing-and-is-long-enough-for-checks"  # noqa: S105 -- not a secret
FATHOM_DATA_KEY = "11" * 32
CREDENTIAL_KEYS = "test:" + "22" * 32
FATHOM_HOME = env_path("FATHOM_HOME", Path(tempfile.gettempdir()) / "fathom-test")
BLOB_ROOT = FATHOM_HOME / "blobs"
JOBS_ROOT = FATHOM_HOME / "jobs"

ALLOWED_HOSTS = ["*"]
# The real hasher takes 30 ms per login on purpose; its own tests name it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", "django.contrib.auth.hashers.Argon2PasswordHasher"]
TOKEN_KEPT_SECONDS = 0.0  # tests change rows behind the services' backs; its own tests name another
# Otherwise every test client lists all static files first: 100 ms each.
WHITENOISE_AUTOREFRESH = True
