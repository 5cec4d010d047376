"""Writes docs/operate/settings.md: every environment variable the platform reads, and every setting of its backends.

Usage: python -m tools.settings_doc [--check]. Names, kinds and defaults are read from the code; the sentence about each
stands below. A variable without a sentence, or a sentence without a variable, is an error.
"""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/operate/settings.md"

_KINDS = {
    "env_str": "text",
    "env_bool": "1 or 0",
    "env_int": "whole number",
    "env_list": "list, separated by commas",
    "env_path": "path",
    "env_secret": "secret",
}

# Defaults that are put together from other settings.
_SHOWN = {
    "FATHOM_URL": "`http://<FATHOM_HOST>:<FATHOM_PORT>`",
    "FATHOM_CONTENT_URL": "`http://localhost:<FATHOM_CONTENT_PORT>`",
}

SECTIONS: dict[str, dict[str, str]] = {
    "Where things are": {
        "FATHOM_HOME": "The data folder of an embedded installation. Created with mode 0700; back up all of it.",
        "FATHOM_BLOB_ROOT": "The content-addressed store of code and artifacts. All web and worker processes need the same one.",
        "FATHOM_JOBS_ROOT": "Where the local backend keeps a folder per attempt.",
        "FATHOM_STATIC_ROOT": "Where `manage.py collectstatic` puts static files; production serves them from there.",
    },
    "Servers": {
        "DATABASE_URL": "PostgreSQL: `postgresql://user:password@host:port/name`, options after `?`. Empty: the embedded one.",
        "REDIS_URL": "Redis or Valkey: `redis://…` or `unix:///path`. Empty in production: everything works on polls alone.",
        "FATHOM_DB_CONN_MAX_AGE": "Seconds for which a thread keeps its PostgreSQL connection.",
    },
    "Addresses": {
        "FATHOM_HOST": "The address the web process binds.",
        "FATHOM_PORT": "The port of the platform.",
        "FATHOM_CONTENT_PORT": "The port of the content origin, from which users' files are served.",
        "FATHOM_URL": "The public address of the platform, as browsers and jobs see it. `https://` turns on secure cookies and HSTS.",
        "FATHOM_CONTENT_URL": "The public address of the content origin. Its host must differ from the platform's.",
        "FATHOM_ALLOWED_HOSTS": "Further host names under which the platform answers.",
    },
    "Proxies": {
        "FATHOM_BEHIND_TLS_PROXY": "Trust `X-Forwarded-Proto`. Only for a proxy that always sets it.",
        "FATHOM_TRUSTED_PROXIES": "Addresses and networks of proxies whose `X-Forwarded-For` is believed, from the right: the first address that is not theirs is the client's. Empty: nobody's.",
    },
    "Secrets": {
        "SECRET_KEY": "Signs sessions and forms; at least 50 random characters. The embedded one lies in `secret.key`.",
        "SECRET_KEY_FALLBACKS": "Former keys whose signatures are still accepted.",
        "FATHOM_DATA_KEY": "64 hexadecimal digits. Run tokens are derived from it and links to files signed with it. The embedded one lies in `data.key`.",
        "FATHOM_CREDENTIAL_KEYS": "The key ring of stored secrets: `id:key` entries with 64 hexadecimal digits each, separated by commas, the primary first.",
        "FATHOM_CREDENTIAL_KEYS_FILE": "A file with the key ring, an entry per line; read anew when it changes.",
    },
    "LDAP": {
        "FATHOM_LDAP_URL": "`ldap://` or `ldaps://` addresses, tried in turn. Empty: no LDAP. Everything about it: directory.md.",
        "FATHOM_LDAP_STARTTLS": "Encrypt `ldap://` with StartTLS, or do not speak at all. 0 sends passwords in the clear.",
        "FATHOM_LDAP_CA_FILE": "Certificates that vouch for the server; empty: the system's.",
        "FATHOM_LDAP_BIND_DN": "The account that searches; empty: anonymous.",
        "FATHOM_LDAP_BIND_PASSWORD": "Its password.",
        "FATHOM_LDAP_USER_BASE": "Below this people are searched.",
        "FATHOM_LDAP_USER_FILTER": "Who may come in.",
        "FATHOM_LDAP_USER_ATTRIBUTE": "The user name; `sAMAccountName` in Active Directory.",
        "FATHOM_LDAP_ID_ATTRIBUTE": "What names a person for ever; `objectGUID` in Active Directory.",
        "FATHOM_LDAP_ATTRIBUTES": "Fields that follow the directory at each login and sync.",
        "FATHOM_LDAP_GROUP_BASE": "Below this groups are searched; empty: no groups.",
        "FATHOM_LDAP_GROUP_FILTER": "What is a group; `(objectClass=group)` in Active Directory.",
        "FATHOM_LDAP_MEMBER_ATTRIBUTE": "Where a group lists the names (DN) of people and groups in it.",
        "FATHOM_LDAP_TIMEOUT_SECONDS": "How long an address may take to answer.",
    },
    "OpenID Connect": {
        "FATHOM_OIDC_ISSUER": "The provider, as it calls itself. Empty: no button.",
        "FATHOM_OIDC_CLIENT_ID": "What the provider calls this platform.",
        "FATHOM_OIDC_CLIENT_SECRET": "The secret it shares with this platform; empty for a public client.",
        "FATHOM_OIDC_NAME": "What the button on the login page says after `Log in with`.",
        "FATHOM_OIDC_SCOPES": "What is asked for, separated by spaces.",
        "FATHOM_OIDC_USERNAME_CLAIM": "The user name of a new account.",
        "FATHOM_OIDC_GROUPS_CLAIM": "The groups, for the directory rules.",
        "FATHOM_OIDC_CA_FILE": "Certificates that vouch for the provider; empty: those of the `requests` library.",
    },
    "Directory rules": {
        "FATHOM_DIRECTORY_CREATE_ACCOUNTS": "A person's first login makes the account.",
        "FATHOM_DIRECTORY_SYNC_CREATES": "A sync makes accounts for those to whom a rule gives something.",
        "FATHOM_DIRECTORY_SYNC_MINUTES": "Between two syncs; 0: only when asked.",
        "FATHOM_DIRECTORY_MOST_LEAVERS": "A sync that would shut out more people than this, and a larger share than the next, does nothing and says so.",
        "FATHOM_DIRECTORY_MOST_LEAVERS_PERCENT": "The share, in percent of the active accounts of the directory.",
        "FATHOM_DIRECTORY_PLATFORM_ROLES": "Rules may also make admins and auditors of the platform. Whoever administers the directory can then become one.",
    },
    "Artifacts": {
        "FATHOM_ARTIFACT_STORE": "Where code and artifacts are kept: empty is `FATHOM_BLOB_ROOT`, `s3://bucket/prefix` a bucket. Everything about it: artifacts.md.",
        "FATHOM_S3_ENDPOINT": "The address of the S3 server, as the platform reaches it; empty: Amazon's.",
        "FATHOM_S3_PUBLIC_ENDPOINT": "The same server as clients reach it: they are given links that go past the platform. Empty: none.",
        "FATHOM_S3_REGION": "The region that requests are signed for.",
        "FATHOM_S3_ACCESS_KEY": "The access key; empty: what boto3 finds on the machine.",
        "FATHOM_S3_SECRET_KEY": "Its secret.",
        "FATHOM_UPLOAD_HOURS": "Hours within which an upload in parts must be completed.",
        "FATHOM_GARBAGE_GRACE_HOURS": "How long bytes that nobody refers to are left alone before they are marked, and again before they are deleted. Longer than any upload lasts.",
    },
    "Environments": {
        "FATHOM_ENVIRONMENT_DAYS": "Days without use after which what was built of an environment is removed. Its lock stays: it can be built again.",
    },
    "Code that is fetched": {
        "FATHOM_FETCH_NETWORKS": "Networks beside public addresses from which code may be fetched: `10.1.0.0/16`. A server inside is asked only when its address lies in one of them.",
        "FATHOM_FETCH_CA_FILE": "Certificates, in PEM, that vouch for servers besides those that the machine trusts.",
        "FATHOM_FETCH_SECONDS": "Time limit of one fetch.",
        "FATHOM_FETCH_BYTES": "Most that one fetch may bring, unpacked, and most that its tools may have on disk meanwhile.",
        "FATHOM_FETCH_FILES": "Most files and folders in what is fetched.",
        "FATHOM_FETCH_ROOT": "Where the tools of a fetch work. Emptied after each.",
        "FATHOM_FETCH_UID": "The user id they run under, where the platform runs as root. Nobody else should have it.",
    },
    "Limits": {
        "FATHOM_LOG_LIMIT_BYTES": "Most bytes of log kept of one attempt; the rest is cut off, with a mark.",
        "FATHOM_CODE_LIMIT_BYTES": "Largest archive of code.",
        "FATHOM_FAIR_SHARE_HALF_LIFE_HOURS": "After how long what somebody used counts half, when it is decided whose turn it is.",
        "FATHOM_FAIR_SHARE_ENTRY_SECONDS": "For how many seconds each start pays in advance in fair share, so that a burst lowers a rank at once.",
        "FATHOM_QUEUE_PATIENCE_HOURS": "The oldest of what has waited so long goes before everything else.",
        "FATHOM_ASSUMED_RUN_HOURS": "How long work without a time limit is taken to run when the queue plans around it. It is not stopped then.",
        "FATHOM_ARTIFACT_LIMIT_BYTES": "Largest artifact.",
        "FATHOM_MAX_BODY_BYTES": "Largest body of any request.",
    },
    "Money": {
        "FATHOM_CURRENCY": "The name that stands behind amounts of money. It converts nothing.",
        "FATHOM_MEASURE_SECONDS": "Between two looks at what runs uses: CPU and memory, shown as charts of its run.",
        "FATHOM_CHARGE_SECONDS": "Between two charges of what runs. What has no time limit needs a lease of several times this.",
        "FATHOM_BUDGET_LEASE_SECONDS": "How long the money lasts that is held in advance for work without a time limit.",
        "FATHOM_ALERTS_MAY_GO_INSIDE": "Let webhooks of budgets go to private addresses, too. Off: a webhook cannot reach what is behind the firewall.",
    },
    "E-mail": {
        "FATHOM_SMTP_HOST": "The server that takes e-mail. Empty: none is sent.",
        "FATHOM_SMTP_PORT": "Its port.",
        "FATHOM_SMTP_USER": "The name to log in with; empty: without a login.",
        "FATHOM_SMTP_PASSWORD": "The password to it.",
        "FATHOM_SMTP_STARTTLS": "Encrypt with STARTTLS, or send nothing.",
        "FATHOM_MAIL_FROM": "The sender.",
    },
    "The audit trail": {
        "FATHOM_AUDIT_ANCHOR": "A file to which the worker appends the heads of the hash chains each hour; empty: none. Keep it where the database's operators cannot write.",
    },
    "Processes": {
        "FATHOM_WEB_WORKERS": "Web processes that share the ports.",
        "FATHOM_WEB_THREADS": "Threads for synchronous views in each web process; each holds one PostgreSQL connection.",
        "FATHOM_ELEVATION_MINUTES": "How long an admin acts as one after he has taken up admin rights.",
        "FATHOM_REQUIRE_ADMIN_TOTP": "Nobody acts as an admin without a code from a second factor.",
        "FATHOM_RESET_LINK_HOURS": "How long a link lives by which a person sets a new password.",
        "FATHOM_SESSION_DAYS": "Days after which a browser has to log in again, however much it was used.",
        "FATHOM_SESSION_IDLE_MINUTES": "Minutes without a request after which a browser has to log in again.",
        "FATHOM_ADMIN_TOKEN_HOURS": "The longest life of a token with the scope `admin`.",
        "FATHOM_INVITATION_HOURS": "How long an invitation link can be used, unless less was chosen.",
        "FATHOM_SELF_REGISTRATION": "Let people ask for an account at `/register/`; an admin approves or rejects it.",
        "FATHOM_TOKEN_KEPT_MS": "How long a web process believes a token it has just looked up: what is revoked elsewhere ends that much later.",
        "FATHOM_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR.",
        "FATHOM_DEBUG": "Django's debug pages. For development on one's own machine only; ignored in production.",
    },
    "Tests only": {
        "FATHOM_FAILPOINTS": "Points at which a process kills itself: failpoints.md.",
        "FATHOM_FAILPOINT_ONCE_DIR": "A folder that makes each failpoint fire once: failpoints.md.",
    },
}

_HEAD = """# Settings

Made by `python -m tools.settings_doc`; do not edit.

Each setting is an environment variable, read once at start. A secret may also be given as a file: `NAME_FILE` names it.
Without `DATABASE_URL` and `REDIS_URL`, commands find the servers of an embedded installation that is running through
`run/env.json` in its data folder.
"""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as the code reads it."""

    name: str
    kind: str
    default: str
    path: str


def variables() -> dict[str, Variable]:
    """Find what `config` and `apps` read from the environment, by name; the first place counts."""
    found: dict[str, Variable] = {}
    for path in sorted([*(ROOT / "config").rglob("*.py"), *(ROOT / "apps").rglob("*.py")]):
        relative = path.relative_to(ROOT).as_posix()
        if relative in {"config/env.py", "config/settings/test.py"} or "/backends/" in relative:
            continue
        for variable in _read_in(ast.parse(path.read_text()), relative):
            known = found.get(variable.name)
            if known is None or relative == "config/settings/base.py":
                found[variable.name] = variable
    return found


def _read_in(tree: ast.Module, path: str) -> Iterator[Variable]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        name = node.args[0]
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            continue
        if called in _KINDS:
            yield Variable(name.value, _KINDS[called], _default(called, node), path)
        elif called == "os.environ.get" and name.value.startswith("FATHOM_"):
            yield Variable(name.value, "text", "", path)


def _default(called: str, node: ast.Call) -> str:
    if called == "env_bool":
        return (
            "1" if any(word.arg == "default" and ast.unparse(word.value) == "True" for word in node.keywords) else "0"
        )
    given = node.args[1] if len(node.args) > 1 else None
    if given is None:
        return ""
    for inner in ast.walk(given):  # what a running installation wrote down is not a default: show what stands behind it
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "_running.get":
            given = inner.args[1]
            break
    if called == "env_int":
        return _bytes(_number(given))
    if isinstance(given, ast.JoinedStr):
        return ""  # depends on other settings: _SHOWN says what comes out
    text = ast.unparse(given).replace("'", "")
    return text.replace("FATHOM_HOME / ", "FATHOM_HOME/").replace("REPOSITORY / ", "<repository>/")


def _number(node: ast.expr) -> int:
    """Compute a constant such as `5 * 1024**3`."""
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left, ast.Mult(), right):
            return _number(left) * _number(right)
        case ast.BinOp(left, ast.Pow(), right):
            return int(_number(left) ** _number(right))
    sys.exit(f"not a number: {ast.unparse(node)}")


def _bytes(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if number >= size and number % size == 0:
            return f"{number} ({number // size} {unit})"
    return str(number)


def document() -> str:
    """Build the page. Raises: SystemExit when code and sentences do not match."""
    found = variables()
    told = {name for section in SECTIONS.values() for name in section}
    if told != set(found):
        sys.exit(f"without a sentence: {sorted(set(found) - told)}; without a reader: {sorted(told - set(found))}")
    parts = [_HEAD]
    for title, section in SECTIONS.items():
        parts.append(f"## {title}\n\n| name | kind | default | what it does |\n|---|---|---|---|")
        for name, sentence in section.items():
            variable = found[name]
            default = f"`{variable.default}`" if variable.default else ""
            default = _SHOWN.get(name, default)
            parts.append(f"| `{name}` | {variable.kind} | {default} | {sentence} |")
        parts.append("")
    return "\n".join([*parts, *_backends()])


def _backends() -> Iterator[str]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.conf import settings  # noqa: PLC0415 -- only now is it said which
    from django.utils.module_loading import import_string  # noqa: PLC0415 -- as above

    yield "## Clusters\n\nA cluster's settings are a JSON object, edited in the admin and checked by its backend.\n"
    for kind, path in sorted(settings.COMPUTE_BACKENDS.items()):
        yield f"### {kind}\n\n| name | kind | default | what it does |\n|---|---|---|---|"
        for field in import_string(path).settings_schema.fields():
            default = f"`{field.default!r}`" if field.default not in ("", None) else ""
            kind_of_field = "secret" if field.secret else field.type.__name__
            yield f"| `{field.name}` | {kind_of_field} | {default} | {field.help} |"
        yield ""


def main(arguments: list[str]) -> None:
    text = document()
    if "--check" in arguments:
        sys.exit(0 if TARGET.read_text() == text else "docs/operate/settings.md is out of date")
    TARGET.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
