"""Reading the environment: the only place that does, so that every setting has one spelling and one error sentence.

Django is not needed here: the supervisor and the embedded servers read their settings before it is loaded.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

REPOSITORY = Path(__file__).resolve().parent.parent

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


class BadSettingError(Exception):
    """A setting cannot be used. The message is one sentence that names it."""


def env_str(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def env_bool(name: str, *, default: bool = False) -> bool:
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    msg = f"{name} must be 1 or 0, not {value!r}."
    raise BadSettingError(msg)


def env_int(name: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    # Digits of other scripts are digits to int() too.
    if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
        msg = f"{name} must be a whole number from {low} to {high}, not {value!r}."
        raise BadSettingError(msg)
    return int(value)


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def env_path(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser().absolute()


def env_secret(name: str, *files: Path) -> str | None:
    """Return the secret in `name`, in the file that `<name>_FILE` names, or in the first of `files` that exists."""
    if os.environ.get(name):
        return os.environ[name]
    named = os.environ.get(f"{name}_FILE")
    if named:
        try:
            return Path(named).read_text().strip()
        except OSError as error:
            msg = f"{name}_FILE cannot be read: {error.strerror} ({named})."
            raise BadSettingError(msg) from error
    for path in files:
        try:
            return path.read_text().strip() or None
        except FileNotFoundError:
            continue
        except OSError as error:
            msg = f"The key file {path} cannot be read: {error.strerror}."
            raise BadSettingError(msg) from error
    return None


def running_addresses(home: Path) -> Mapping[str, str]:
    """Return what the embedded installation in `home` wrote down about itself; empty when it has never run."""
    try:
        found: Mapping[str, str] = orjson.loads((home / "run" / "env.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError, PermissionError, orjson.JSONDecodeError):
        return {}
    return found


def database_from_url(url: str) -> dict[str, Any]:
    """Translate `postgresql://user:password@host:port/name?option=…` into Django's dictionary.

    A socket folder is given as `?host=/folder`. Raises: BadSettingError.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        msg = f"DATABASE_URL must begin with postgresql://, not {parts.scheme or 'nothing'}://."
        raise BadSettingError(msg)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    try:
        port = str(parts.port or options.pop("port", ""))
    except ValueError as error:
        msg = "DATABASE_URL has a port that is not a number."
        raise BadSettingError(msg) from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": port,
        "OPTIONS": options,
    }


def broker_from_url(url: str) -> str:
    """Translate a Redis address into the form Celery's transport reads: it spells sockets in its own way."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    password = f":{parts.password}@" if parts.password else ""
    return f"redis+socket://{password}{parts.path}?virtual_host={dict(parse_qsl(parts.query)).get('db', '0')}"


def origin(url: str) -> str:
    """Return scheme, host and port of an address: what a browser compares."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
