"""`fathom credentials`: secrets for jobs. SECURITY: a secret value comes from a file, standard input or a prompt, and
never from the command line, which every user of the machine can read.
"""

import base64
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fathom.cli.output import ago, clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state, short
from fathom.cli.submit import pairs
from fathom.models import CREDENTIAL_KINDS, Credential, CredentialField

VISIBILITIES = ["private", "team", "organization", "public"]
set_option = click.option("--set", "public", multiple=True, metavar="FIELD=TEXT", help="A field that is no secret.")
file_option = click.option(
    "--from-file", "files", multiple=True, metavar="FIELD=PATH", help="A field from a file, secret or not; - is stdin."
)


@click.group()
def credentials() -> None:
    """Secrets that jobs may use and nobody can read."""


@credentials.command("list")
@click.option("--kind", type=click.Choice(list(CREDENTIAL_KINDS)))
@click.option("--usable", is_flag=True, help="Only those you may use.")
@output_option
@pass_state
def list_credentials(state: State, kind: str | None, usable: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """List the credentials you may see."""
    found = list(state.client.credentials.list(kind=kind, usable=usable))
    headers = ["ID", "NAME", "KIND", "TEAM", "OWNER", "FINGERPRINT", "REPLACED", "LAST USED"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_row(item) for item in found]))


@credentials.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(CREDENTIAL_KINDS)), required=True)
@set_option
@file_option
@click.option("--team", help="The team it belongs to; without one it is your own.")
@click.option("--visibility", type=click.Choice(VISIBILITIES))
@click.option("--description")
@click.option("--expires-at", help="From then on no job gets it: 2027-01-31T00:00:00Z.")
@output_option
@pass_state
def create_credential(
    state: State, /, name: str, kind: str, public: Sequence[str], files: Sequence[str], output: str, **details: Any
) -> None:
    """Store a secret. What is not given and is needed is asked for, when there is a terminal."""
    values = read_values(kind, pairs(public), pairs(files))
    made = state.client.credentials.create(name, kind, values, **details)
    emit(output, made.raw, lambda: _facts(made))


@credentials.command("show")
@click.argument("credential", metavar="CREDENTIAL")
@output_option
@pass_state
def show_credential(state: State, credential: str, output: str) -> None:
    """Show everything of a credential but its value."""
    found = state.client.credentials.get(state.credential_id(credential))
    emit(output, found.raw, lambda: _facts(found))


@credentials.command("uses")
@click.argument("credential", metavar="CREDENTIAL")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@output_option
@pass_state
def list_uses(state: State, credential: str, limit: int, output: str) -> None:
    """List the jobs a credential was given to."""
    found = state.client.credentials.uses(state.credential_id(credential)).first(limit)
    rows = [
        [short(use.run), str(use.attempt_no), clean(use.alias), str(use.version), clean(use.user), ago(use.at)]
        for use in found
    ]
    headers = ["RUN", "ATTEMPT", "AS", "VERSION", "BY", "WHEN"]
    emit(output, [use.raw for use in found], lambda: table(headers, rows))


@credentials.command("update")
@click.argument("credential", metavar="CREDENTIAL")
@click.option("--name")
@click.option("--description")
@click.option("--visibility", type=click.Choice(VISIBILITIES))
@click.option("--expires-at")
@output_option
@pass_state
def update_credential(state: State, /, credential: str, output: str, **changes: str | None) -> None:
    """Change what is not secret."""
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        message = "Nothing to change: give at least one option."
        raise click.UsageError(message)
    found = state.client.credentials.update(state.credential_id(credential), **given)
    emit(output, found.raw, lambda: _facts(found))


@credentials.command("replace")
@click.argument("credential", metavar="CREDENTIAL")
@set_option
@file_option
@click.option("--reason", default="", help="For the audit trail.")
@output_option
@pass_state
def replace_credential(
    state: State, /, credential: str, public: Sequence[str], files: Sequence[str], reason: str, output: str
) -> None:
    """Put a new value in place of the old one, which is destroyed."""
    found = state.client.credentials.get(state.credential_id(credential))
    values = read_values(found.kind, pairs(public), pairs(files), keep=found.public)
    fresh = state.client.credentials.replace(found.id, values, reason=reason)
    emit(output, fresh.raw, lambda: _facts(fresh))


@credentials.command("delete")
@click.argument("credential", metavar="CREDENTIAL")
@pass_state
def delete_credential(state: State, credential: str) -> None:
    """Destroy a credential's value at once."""
    state.client.credentials.delete(state.credential_id(credential))
    click.echo(f"Deleted {credential}.")


def read_values(
    kind: str, public: Mapping[str, str], files: Mapping[str, str], keep: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Put the fields of a kind together. Raises: UsageError for a secret on the command line, or one that is missing."""
    fields = {field.name: field for field in CREDENTIAL_KINDS[kind]}
    for name in public:
        if name not in fields or fields[name].secret:
            message = f"--set takes fields that are no secret: {', '.join(_open(kind)) or 'this kind has none'}."
            raise click.UsageError(message)
    if kind == "generic" and files and not set(files) <= set(fields):
        return {"files": {name: _content(where).decode() for name, where in files.items()}}
    values: dict[str, Any] = dict(public)
    for name, where in files.items():
        field = fields.get(name)
        if field is None:
            message = f"The kind {kind} has no field {name}; it has {', '.join(fields)}."
            raise click.UsageError(message)
        values[name] = _encoded(field, _content(where))
    for field in fields.values():
        if field.required and field.name not in values and field.name not in (keep or {}):
            values[field.name] = _ask(field)
    return values


def _open(kind: str) -> list[str]:
    return [field.name for field in CREDENTIAL_KINDS[kind] if not field.secret]


def _content(where: str) -> bytes:
    return sys.stdin.buffer.read() if where == "-" else Path(where).read_bytes()


def _encoded(field: CredentialField, data: bytes) -> str:
    if field.binary:
        return base64.b64encode(data).decode()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"The file of {field.name} is not text."
        raise click.UsageError(message) from error


def _ask(field: CredentialField) -> str:
    if field.multiline or field.binary or not sys.stdin.isatty():
        message = f"Give {field.name} with --from-file {field.name}=PATH" + (
            "." if field.secret else f" or --set {field.name}=TEXT."
        )
        raise click.UsageError(message)
    answer: str = click.prompt(field.name, hide_input=field.secret, err=True)
    return answer


def _row(item: Credential) -> list[str]:
    return [
        short(item.id),
        clean(item.name),
        clean(item.kind),
        clean(item.team),
        clean(item.owner),
        clean(item.fingerprint),
        ago(item.replaced_at),
        ago(item.last_used_at) or "never",
    ]


def _facts(item: Credential) -> str:
    return facts(
        [
            ("id", item.id),
            ("name", clean(item.name)),
            ("kind", clean(item.kind)),
            *((clean(name), clean(text)) for name, text in item.public.items()),
            ("description", clean(item.description)),
            ("team", clean(item.team)),
            ("owner", clean(item.owner)),
            ("visibility", clean(item.visibility)),
            ("fingerprint", clean(item.fingerprint)),
            ("version", str(item.version)),
            ("replaced", str(item.replaced_at or "")),
            ("last used", str(item.last_used_at or "never")),
            ("expires", str(item.expires_at or "never")),
        ]
    )


COMMANDS = {"credentials": credentials}
