"""What every installation has in common. Values that differ between installations come through `config.env`."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from psycopg import IsolationLevel

from config import log_format
from config.env import (
    REPOSITORY,
    broker_from_url,
    database_from_url,
    env_bool,
    env_int,
    env_list,
    env_path,
    env_secret,
    env_str,
    origin,
    running_addresses,
)

# --- Where things are -------------------------------------------------------------------------------------------------

FATHOM_HOME = env_path("FATHOM_HOME", REPOSITORY / ".fathom")
BLOB_ROOT = env_path("FATHOM_BLOB_ROOT", FATHOM_HOME / "blobs")
# Where blobs lie (docs/adr/0026): empty is the folder above, s3://bucket[/prefix] a bucket of an S3 server.
ARTIFACT_STORE = env_str("FATHOM_ARTIFACT_STORE").rstrip("/")
S3_ENDPOINT = env_str("FATHOM_S3_ENDPOINT").rstrip("/")
S3_PUBLIC_ENDPOINT = env_str("FATHOM_S3_PUBLIC_ENDPOINT").rstrip("/")
S3_REGION = env_str("FATHOM_S3_REGION", "us-east-1")
S3_ACCESS_KEY = env_secret("FATHOM_S3_ACCESS_KEY") or ""
S3_SECRET_KEY = env_secret("FATHOM_S3_SECRET_KEY") or ""
JOBS_ROOT = env_path("FATHOM_JOBS_ROOT", FATHOM_HOME / "jobs")
_running = running_addresses(FATHOM_HOME)

FATHOM_HOST = env_str("FATHOM_HOST", _running.get("FATHOM_HOST", "127.0.0.1"))
FATHOM_PORT = env_int("FATHOM_PORT", int(_running.get("FATHOM_PORT", 8080)), high=65535)
FATHOM_CONTENT_PORT = env_int("FATHOM_CONTENT_PORT", int(_running.get("FATHOM_CONTENT_PORT", 8081)), high=65535)
_public_host = "127.0.0.1" if FATHOM_HOST in {"0.0.0.0", "::"} else FATHOM_HOST  # noqa: S104 -- compared, not bound
FATHOM_URL = env_str("FATHOM_URL", f"http://{_public_host}:{FATHOM_PORT}").rstrip("/")
# SECURITY: cookies ignore the port, so on one machine the second origin also has a second host name; otherwise the
# browser would send the session of 127.0.0.1:8080 to 127.0.0.1:8081 as well.
_content_host = "localhost" if _public_host == "127.0.0.1" else _public_host
FATHOM_CONTENT_URL = env_str("FATHOM_CONTENT_URL", f"http://{_content_host}:{FATHOM_CONTENT_PORT}").rstrip("/")
IS_HTTPS = FATHOM_URL.startswith("https://")

# --- Secrets ----------------------------------------------------------------------------------------------------------

SECRET_KEY = env_secret("SECRET_KEY", FATHOM_HOME / "secret.key") or ""
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")
FATHOM_DATA_KEY = env_secret("FATHOM_DATA_KEY", FATHOM_HOME / "data.key") or ""
# Read when they are needed (apps/core/sealing.py): without them everything works but storing and using secrets.
CREDENTIAL_KEYS = env_str("FATHOM_CREDENTIAL_KEYS")
CREDENTIAL_KEYS_FILE = env_path("FATHOM_CREDENTIAL_KEYS_FILE", FATHOM_HOME / "credential.keys")

# --- Application ------------------------------------------------------------------------------------------------------

DEBUG = False
AUTH_USER_MODEL = "accounts.User"
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SITE_ID = None

INSTALLED_APPS = [
    "apps.portal.apps.OperatorAdminConfig",  # Django's admin, with the operators' site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "channels",
    "csp",
    "django_htmx",
    "apps.core.apps.CoreConfig",
    "apps.audit.apps.AuditConfig",
    "apps.access.apps.AccessConfig",
    "apps.accounts.apps.AccountsConfig",
    "apps.teams.apps.TeamsConfig",
    "apps.credentials.apps.CredentialsConfig",
    "apps.directory.apps.DirectoryConfig",
    "apps.sharing.apps.SharingConfig",
    "apps.quotas.apps.QuotasConfig",
    "apps.storage.apps.StorageConfig",
    "apps.budgets.apps.BudgetsConfig",
    "apps.compute.apps.ComputeConfig",
    "apps.lineage.apps.LineageConfig",
    "apps.environments.apps.EnvironmentsConfig",
    "apps.sources.apps.SourcesConfig",
    "apps.tracking.apps.TrackingConfig",
    "apps.experiments.apps.ExperimentsConfig",
    "apps.models.apps.ModelsConfig",
    "apps.mlflow.apps.MlflowConfig",
    "apps.portal.apps.PortalConfig",
]

MIDDLEWARE = [
    "apps.core.middleware.RequestContextMiddleware",
    "apps.audit.middleware.DenialMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "apps.accounts.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.ActingUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "apps.accounts.seeing_middleware.SeeingMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [REPOSITORY / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

COMPUTE_BACKENDS = {
    "local": "apps.compute.backends.local.backend.LocalBackend",
    "fake": "apps.compute.backends.fake.backend.FakeBackend",
}

# --- PostgreSQL: the truth --------------------------------------------------------------------------------------------

DATABASE_URL = env_secret("DATABASE_URL") or _running.get("DATABASE_URL", "")


def _database() -> dict[str, Any]:
    # Without an address the name is empty and the first query fails with a sentence that says so.
    chosen = database_from_url(DATABASE_URL or "postgresql:///")
    chosen["CONN_MAX_AGE"] = env_int("FATHOM_DB_CONN_MAX_AGE", 60)
    chosen["CONN_HEALTH_CHECKS"] = True
    chosen["OPTIONS"] = {
        "connect_timeout": 5,
        "application_name": "fathom",
        # Quota sums are wrong under a snapshot that began earlier, so the level does not depend on the server's default.
        "isolation_level": IsolationLevel.READ_COMMITTED,
        **chosen["OPTIONS"],
    }
    return chosen


DATABASES = {"default": _database()}

# --- Redis or Valkey: hints only --------------------------------------------------------------------------------------

REDIS_URL = env_secret("REDIS_URL") or _running.get("REDIS_URL", "")
HINTS_ENABLED = bool(REDIS_URL)
CHANNEL_LAYERS: dict[str, Any] = (
    {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL], "prefix": "fathom"},
        }
    }
    if REDIS_URL
    else {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
)
# Nothing that has to be right is cached, so each process keeps its own.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

CELERY_BROKER_URL = broker_from_url(REDIS_URL) if REDIS_URL else "memory://"
CELERY_RESULT_BACKEND = None
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_TIME_LIMIT = 30
CELERY_TASK_DEFAULT_QUEUE = "fathom"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A request that leaves a hint must not wait for a broker that is down.
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "retry_on_timeout": False,
}
CELERY_TIMEZONE = "UTC"

# --- People -----------------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

# Directories: docs/operate/directory.md. Each is off until its first setting is given.
FATHOM_LDAP_URL = env_list("FATHOM_LDAP_URL")
FATHOM_LDAP_STARTTLS = env_bool("FATHOM_LDAP_STARTTLS", default=True)
FATHOM_LDAP_CA_FILE = env_str("FATHOM_LDAP_CA_FILE")
FATHOM_LDAP_BIND_DN = env_str("FATHOM_LDAP_BIND_DN")
FATHOM_LDAP_BIND_PASSWORD = env_secret("FATHOM_LDAP_BIND_PASSWORD") or ""
FATHOM_LDAP_USER_BASE = env_str("FATHOM_LDAP_USER_BASE")
FATHOM_LDAP_USER_FILTER = env_str("FATHOM_LDAP_USER_FILTER", "(objectClass=person)")
FATHOM_LDAP_USER_ATTRIBUTE = env_str("FATHOM_LDAP_USER_ATTRIBUTE", "uid")
FATHOM_LDAP_ID_ATTRIBUTE = env_str("FATHOM_LDAP_ID_ATTRIBUTE", "entryUUID")
FATHOM_LDAP_ATTRIBUTES = env_list("FATHOM_LDAP_ATTRIBUTES", "email=mail,first_name=givenName,last_name=sn")
FATHOM_LDAP_GROUP_BASE = env_str("FATHOM_LDAP_GROUP_BASE")
FATHOM_LDAP_GROUP_FILTER = env_str("FATHOM_LDAP_GROUP_FILTER", "(objectClass=groupOfNames)")
FATHOM_LDAP_MEMBER_ATTRIBUTE = env_str("FATHOM_LDAP_MEMBER_ATTRIBUTE", "member")
FATHOM_LDAP_TIMEOUT_SECONDS = env_int("FATHOM_LDAP_TIMEOUT_SECONDS", 3, low=1, high=60)
FATHOM_OIDC_ISSUER = env_str("FATHOM_OIDC_ISSUER")
FATHOM_OIDC_CLIENT_ID = env_str("FATHOM_OIDC_CLIENT_ID")
FATHOM_OIDC_CLIENT_SECRET = env_secret("FATHOM_OIDC_CLIENT_SECRET") or ""
FATHOM_OIDC_NAME = env_str("FATHOM_OIDC_NAME", "single sign-on")
FATHOM_OIDC_SCOPES = env_str("FATHOM_OIDC_SCOPES", "openid profile email")
FATHOM_OIDC_USERNAME_CLAIM = env_str("FATHOM_OIDC_USERNAME_CLAIM", "preferred_username")
FATHOM_OIDC_GROUPS_CLAIM = env_str("FATHOM_OIDC_GROUPS_CLAIM", "groups")
FATHOM_OIDC_CA_FILE = env_str("FATHOM_OIDC_CA_FILE")
FATHOM_DIRECTORY_CREATE_ACCOUNTS = env_bool("FATHOM_DIRECTORY_CREATE_ACCOUNTS", default=True)
FATHOM_DIRECTORY_SYNC_CREATES = env_bool("FATHOM_DIRECTORY_SYNC_CREATES")
FATHOM_DIRECTORY_SYNC_MINUTES = env_int("FATHOM_DIRECTORY_SYNC_MINUTES", 60)
FATHOM_DIRECTORY_MOST_LEAVERS = env_int("FATHOM_DIRECTORY_MOST_LEAVERS", 5)
FATHOM_DIRECTORY_MOST_LEAVERS_PERCENT = env_int("FATHOM_DIRECTORY_MOST_LEAVERS_PERCENT", 20, high=100)
FATHOM_DIRECTORY_PLATFORM_ROLES = env_bool("FATHOM_DIRECTORY_PLATFORM_ROLES")

# --- The browser ------------------------------------------------------------------------------------------------------

ALLOWED_HOSTS = [
    *dict.fromkeys([urlsplit(FATHOM_URL).hostname or "127.0.0.1", *env_list("FATHOM_ALLOWED_HOSTS")]),
]
CSRF_TRUSTED_ORIGINS = [origin(FATHOM_URL)] if IS_HTTPS else []

SESSION_ENGINE = "apps.accounts.sessions"
SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
SESSION_COOKIE_NAME = "__Host-fathom_session" if IS_HTTPS else "fathom_session"
SESSION_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env_int("FATHOM_SESSION_DAYS", 7, low=1, high=90) * 24 * 3600
SESSION_IDLE = timedelta(minutes=env_int("FATHOM_SESSION_IDLE_MINUTES", 480, low=1, high=90 * 24 * 60))
CSRF_USE_SESSIONS = False
CSRF_FAILURE_VIEW = "apps.portal.failures.csrf_failure"
CSRF_COOKIE_NAME = "__Host-fathom_csrf" if IS_HTTPS else "fathom_csrf"
CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_HTTPONLY = False  # htmx reads it to send the header
CSRF_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_SSL_REDIRECT = False
if env_bool("FATHOM_BEHIND_TLS_PROXY"):
    # SECURITY: only for a proxy that always sets this header itself.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", origin(FATHOM_CONTENT_URL)],
        "connect-src": [SELF, origin(FATHOM_URL).replace("http", "ws", 1)],
        "font-src": [SELF],
        "object-src": [NONE],
        "frame-src": [origin(FATHOM_CONTENT_URL)],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 100
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FATHOM_MAX_BODY_BYTES = env_int("FATHOM_MAX_BODY_BYTES", 5 * 1024**3)
FATHOM_WEB_THREADS = env_int("FATHOM_WEB_THREADS", 8, low=1, high=256)
ELEVATION_MINUTES = env_int("FATHOM_ELEVATION_MINUTES", 15, low=1, high=480)
REQUIRE_ADMIN_TOTP = env_bool("FATHOM_REQUIRE_ADMIN_TOTP")
RESET_LINK_HOURS = env_int("FATHOM_RESET_LINK_HOURS", 24, low=1, high=168)
ADMIN_TOKEN_HOURS = env_int("FATHOM_ADMIN_TOKEN_HOURS", 24, low=1, high=720)
INVITATION_HOURS = env_int("FATHOM_INVITATION_HOURS", 168, low=1, high=8760)
SELF_REGISTRATION = env_bool("FATHOM_SELF_REGISTRATION")
TOKEN_KEPT_SECONDS = env_int("FATHOM_TOKEN_KEPT_MS", 500, high=500) / 1000

# --- API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.api.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.access.api_permission.DeclaredPermission"],
    "DEFAULT_PAGINATION_CLASS": "apps.core.api.CursorPage",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.core.api.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Fathom",
    "DESCRIPTION": "Submit experiments, follow them and keep what they measured.",
    "VERSION": "2.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]+",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ExperimentStateEnum": "apps.compute.choices.State",
        "KindEnum": "apps.accounts.choices.TokenKind",
        "CredentialKindEnum": "apps.credentials.choices.Kind",
        "ClusterStateEnum": "apps.compute.choices.ClusterState",
        "TeamRoleEnum": "apps.teams.choices.TeamRole",
        "ServiceRoleEnum": "apps.teams.choices.SERVICE_ROLES",
        "AccessRequestStateEnum": "apps.sharing.choices.RequestState",
        "HeldRoleEnum": "apps.sharing.choices.HELD_ROLES",
        "BudgetPolicyEnum": "apps.budgets.choices.BudgetPolicy",
        "CadenceEnum": "apps.budgets.choices.Cadence",
        "PostingKindEnum": "apps.budgets.choices.TxKind",
        "LedgerAccountEnum": "apps.budgets.choices.Account",
        "AlertLevelEnum": "apps.budgets.choices.AlertLevel",
        "ShareRoleEnum": "apps.sharing.choices.ShareRole",
        "BuildStateEnum": "apps.environments.choices.BuildState",
        "FetchStateEnum": "apps.sources.choices.FetchState",
        "SourceKindEnum": "apps.sources.choices.SourceKind",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Static files -----------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = env_path("FATHOM_STATIC_ROOT", REPOSITORY / "staticfiles")
STATICFILES_DIRS = [REPOSITORY / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- Language, time, log ----------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

LOGGING = log_format.logging_config(env_str("FATHOM_LOG_LEVEL", "INFO").upper())
log_format.configure()

# --- The audit trail --------------------------------------------------------------------------------------------------

AUDIT_ANCHOR = env_str("FATHOM_AUDIT_ANCHOR")

# --- Limits of the compute apps ---------------------------------------------------------------------------------------

LOG_LIMIT_BYTES = env_int("FATHOM_LOG_LIMIT_BYTES", 64 * 1024**2)
CODE_LIMIT_BYTES = env_int("FATHOM_CODE_LIMIT_BYTES", 100 * 1024**2)
ARTIFACT_LIMIT_BYTES = env_int("FATHOM_ARTIFACT_LIMIT_BYTES", 5 * 1024**3)
UPLOAD_HOURS = env_int("FATHOM_UPLOAD_HOURS", 24, low=1, high=7 * 24)
# Longer than anything may last between the bytes and the row that refers to them.
GARBAGE_GRACE_HOURS = env_int("FATHOM_GARBAGE_GRACE_HOURS", 24, low=1, high=365 * 24)

# What was built of an environment goes when no work has begun in it for so long; its lock stays.
ENVIRONMENT_DAYS = env_int("FATHOM_ENVIRONMENT_DAYS", 30, low=1, high=3650)

# Code that the platform fetches: which addresses beside public ones may be asked, whose certificates are accepted besides
# the machine's, how much one fetch may bring, and where and as whom its tools work (as whom: when the platform is root).
FETCH_NETWORKS = env_list("FATHOM_FETCH_NETWORKS")
FETCH_CA_FILE = env_str("FATHOM_FETCH_CA_FILE")
FETCH_SECONDS = env_int("FATHOM_FETCH_SECONDS", 600, low=1, high=24 * 3600)
FETCH_BYTES = env_int("FATHOM_FETCH_BYTES", 2 * 1024**3, low=1)
FETCH_FILES = env_int("FATHOM_FETCH_FILES", 50_000, low=1)
FETCH_ROOT = env_path("FATHOM_FETCH_ROOT", FATHOM_HOME / "fetching")
FETCH_UID = env_int("FATHOM_FETCH_UID", 1_999_999, low=1, high=2**32 - 2)

# What a node starts with when it comes into being, in base units; an admin changes these in `QuotaDefault`.
QUOTA_DEFAULTS: dict[str, dict[str, int]] = {
    "user": {"cpu": 16_000, "memory": 64 * 1024**3, "gpu": 8_000, "experiments": 20},
    "team": {"cpu": 64_000, "memory": 256 * 1024**3, "gpu": 32_000, "experiments": 100},
}
# Fair share: how fast what was used is forgotten, and for how many seconds a start pays in advance.
FAIR_SHARE_HALF_LIFE = timedelta(hours=env_int("FATHOM_FAIR_SHARE_HALF_LIFE_HOURS", 3, low=1, high=365 * 24))
FAIR_SHARE_ENTRY_SECONDS = env_int("FATHOM_FAIR_SHARE_ENTRY_SECONDS", 60, high=3600)
# The oldest of what has waited so long goes before everything else: nobody waits for ever.
QUEUE_PATIENCE = timedelta(hours=env_int("FATHOM_QUEUE_PATIENCE_HOURS", 168, low=1, high=365 * 24))
# How long work without a time limit is taken to run when others are planned around it. It is not stopped then.
QUEUE_ASSUMED_RUN = timedelta(hours=env_int("FATHOM_ASSUMED_RUN_HOURS", 48, low=1, high=365 * 24))

# --- Money ------------------------------------------------------------------------------------------------------------

CURRENCY = env_str("FATHOM_CURRENCY", "EUR")
CHARGE_SECONDS = env_int("FATHOM_CHARGE_SECONDS", 60, low=1, high=3600)
MEASURE_SECONDS = env_int("FATHOM_MEASURE_SECONDS", 15, low=1, high=3600)
BUDGET_LEASE_SECONDS = env_int("FATHOM_BUDGET_LEASE_SECONDS", 600, low=10, high=86_400)
ALERTS_MAY_GO_INSIDE = env_bool("FATHOM_ALERTS_MAY_GO_INSIDE")

# --- E-mail -----------------------------------------------------------------------------------------------------------

EMAIL_HOST = env_str("FATHOM_SMTP_HOST")  # without one no e-mail is sent
EMAIL_PORT = env_int("FATHOM_SMTP_PORT", 25, high=65535)
EMAIL_HOST_USER = env_str("FATHOM_SMTP_USER")
EMAIL_HOST_PASSWORD = env_secret("FATHOM_SMTP_PASSWORD") or ""
EMAIL_USE_TLS = env_bool("FATHOM_SMTP_STARTTLS")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str("FATHOM_MAIL_FROM", "fathom@localhost")
