"""What a job sees of its credentials: files for what is secret, variables for what is not, and what makes them work.

Every name begins with the alias. A secret field is a file that `<ALIAS>_<FIELD>_FILE` names; a public one is the
variable `<ALIAS>_<FIELD>`.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from apps.credentials.choices import Kind
from apps.credentials.kinds import KINDS, field_of
from apps.credentials.models import Credential

KINIT_FAILED = 121
"""How a job ends whose `kinit` failed, before its command was started."""


_HELP: Mapping[str, Sequence[tuple[str, str]]] = {
    Kind.GIT_HTTPS: [("git", "asks for user name and token by itself")],
    Kind.GIT_SSH: [("GIT_SSH_COMMAND", "makes git use the key and the known hosts")],
    Kind.KEYTAB: [("KRB5CCNAME", "the ticket: kinit runs before the command")],
}


@dataclass(frozen=True, slots=True)
class Variables:
    """`files` by the name of the secret: a backend adds `_FILE` for the variable that names the file."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    first: str = ""


def of(alias: str, kind: str, public: Mapping[str, str], secret: Mapping[str, bytes]) -> Variables:
    """Return one credential's files and variables."""
    files = {_name(alias, name): value for name, value in secret.items()}
    env = {}
    for name, text in public.items():
        if field_of(kind, name).file:
            files[_name(alias, name)] = text.encode()
        else:
            env[_name(alias, name)] = text
    if kind == Kind.DATABASE and (password := urlsplit(secret["url"].decode()).password):
        files[_name(alias, "password")] = unquote(password).encode()  # masked in the log then, wherever it stands
    if kind == Kind.KEYTAB and "krb5_conf" not in public and "kdc" in public:
        files[_name(alias, "krb5_conf")] = _profile(public["principal"].rpartition("@")[2], public["kdc"]).encode()
    return Variables(files, env)


def names_of(alias: str, credential: Credential) -> set[str]:
    """Return every variable a credential may set, whatever optional fields it has."""
    names = {entry.name for entry in KINDS[credential.kind]}
    if credential.kind == Kind.GENERIC:
        names = {value.field for value in credential.values.all()}
    extra = {"password"} if credential.kind == Kind.DATABASE else set()
    plain = {_name(alias, name) for name in names | extra}
    return plain | {f"{name}_FILE" for name in plain}


def described(alias: str, credential: Credential) -> list[tuple[str, str]]:
    """Return the variables a job finds, each with what it is."""
    known = KINDS[credential.kind]
    if credential.kind == Kind.GENERIC:
        known = tuple(field_of(credential.kind, value.field) for value in credential.values.order_by("field"))
    found = []
    for entry in known:
        if not entry.secret and entry.name not in credential.public:
            continue
        is_file = entry.secret or entry.file
        said = f"path of the file with the {entry.label}" if is_file else credential.public[entry.name]
        found.append((_name(alias, entry.name) + ("_FILE" if is_file else ""), said))
    return found + list(_HELP.get(credential.kind, ()))


def helpers(opened: Iterable[tuple[str, Credential]]) -> Variables:
    """Return what lets git, ssh and Kerberos find the files without being told."""
    env: dict[str, str] = {}
    first = ""
    askers: list[tuple[str, str]] = []
    for alias, credential in opened:
        if credential.kind == Kind.GIT_HTTPS:
            askers.append((f"credential.https://{credential.public['host']}.helper", _git_helper(alias)))
        elif credential.kind == Kind.GIT_SSH:
            env.setdefault("GIT_SSH_COMMAND", _ssh(alias))
        elif credential.kind == Kind.KEYTAB:
            first = _kinit(alias, credential)
    for number, (key, value) in enumerate(askers):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if askers:
        env["GIT_CONFIG_COUNT"] = str(len(askers))
    return Variables(env=env, first=first)


def _name(alias: str, name: str) -> str:
    return f"{alias}_{name.upper()}"


def _git_helper(alias: str) -> str:
    said = f'printf "username=%s\\npassword=%s\\n" "${alias}_USERNAME" "$(cat "${alias}_TOKEN_FILE")"'
    return f'!f() {{ test "$1" = get && {said}; }}; f'


def _ssh(alias: str) -> str:
    return (
        f'ssh -i "${alias}_PRIVATE_KEY_FILE" -o IdentitiesOnly=yes -o BatchMode=yes '
        f'-o StrictHostKeyChecking=yes -o UserKnownHostsFile="${alias}_KNOWN_HOSTS_FILE"'
    )


def _kinit(alias: str, credential: Credential) -> str:
    principal = credential.public["principal"]
    failed = shlex.quote(f"[fathom] kinit failed for {principal}; the command was not started")
    has_profile = "krb5_conf" in credential.public or "kdc" in credential.public
    lines = [
        f'export KRB5_CONFIG="${alias}_KRB5_CONF_FILE"' if has_profile else "",
        'export KRB5CCNAME="FILE:${TMPDIR:-/tmp}/krb5cc"',
        f'kinit -k -t "${alias}_KEYTAB_FILE" {shlex.quote(principal)} || {{',
        f"  echo {failed}",
        f"  exit {KINIT_FAILED}",
        "}",
    ]
    return "\n".join(line for line in lines if line)


def _profile(realm: str, kdc: str) -> str:
    return (
        f"[libdefaults]\n default_realm = {realm}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n dns_canonicalize_hostname = false\n"
        f"[realms]\n {realm} = {{\n  kdc = {kdc}\n }}\n"
    )
