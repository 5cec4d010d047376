"""`fathom model`: registered models, their versions, aliases, stages, rules and approvals; and `fathom lineage`."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fathom.cli.output import ago, clean, emit, facts, mapping, output_option, size, table
from fathom.cli.state import State, pass_state, short
from fathom.cli.submit import pairs
from fathom.models.registry import ModelMove, ModelVersion, MoveRequest, RegisteredModel

F = TypeVar("F", bound=Callable[..., Any])
STAGES = click.Choice(["None", "Staging", "Production", "Archived"])
VISIBILITIES = click.Choice(["private", "team", "organization", "public"])
model_argument = click.argument("model_", metavar="MODEL")
version_argument = click.argument("version", metavar="VERSION")
reason_option = click.option("--reason", default="", help="Kept in the history.")
tag_option = click.option("--tag", "tags", multiple=True, metavar="K=V", help="Repeatable.")
_THRESHOLD = re.compile(r"(.+?)\s*(>=|<=|==|>|<)\s*(\S+)")


@click.group()
def model() -> None:
    """Registered models. MODEL is a name or an id, VERSION a number, an alias or `latest`."""


@model.command("list")
@click.option("--name", "q", help="Its name contains this.")
@click.option("--team")
@click.option("--tag", metavar="K=V")
@click.option("--shared", is_flag=True, help="Only what was shared with you.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@output_option
@pass_state
def list_models(state: State, /, limit: int, output: str, **filters: Any) -> None:
    """List the models you may see, newest first."""
    found = state.client.models.list(**filters).first(limit)
    headers = ["ID", "NAME", "VERSIONS", "ALIASES", "TEAM", "OWNER", "CHANGED"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_model_row(item) for item in found], right=(2,)))


@model.command("create")
@click.argument("name")
@click.option("--team", help="The team it belongs to; without one it is your own.")
@click.option("--visibility", type=VISIBILITIES)
@click.option("--description", help="The card, in Markdown.")
@tag_option
@output_option
@pass_state
def create_model(state: State, /, name: str, tags: Sequence[str], output: str, **details: Any) -> None:
    """Make a name to register versions under."""
    made = state.client.models.create(name, tags=pairs(tags) or None, **details)
    emit(output, made.raw, lambda: _model_facts(made))


@model.command("show")
@model_argument
@output_option
@pass_state
def show_model(state: State, model_: str, output: str) -> None:
    """Show a model: aliases, tags, card."""
    found = state.client.models.get(_id(state, model_))
    emit(output, found.raw, lambda: _model_facts(found))


@model.command("update")
@model_argument
@click.option("--name")
@click.option("--description", help="The card, in Markdown.")
@click.option("--visibility", type=VISIBILITIES)
@tag_option
@click.option("--untag", multiple=True, metavar="K", help="Repeatable.")
@output_option
@pass_state
def update_model(
    state: State, /, model_: str, tags: Sequence[str], untag: Sequence[str], output: str, **changes: Any
) -> None:
    """Change name, card, visibility or tags."""
    given = {key: value for key, value in changes.items() if value is not None}
    found = state.client.models.update(_id(state, model_), **given, **_tags(tags, untag))
    emit(output, found.raw, lambda: _model_facts(found))


@model.command("delete")
@model_argument
@reason_option
@pass_state
def delete_model(state: State, model_: str, reason: str) -> None:
    """Take a model and its versions out of sight."""
    state.client.models.delete(_id(state, model_), reason=reason)
    click.echo(f"Deleted {model_}.")


@model.command("register")
@click.argument("name")
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--run", help="A run or experiment, in place of local files.")
@click.option("--path", "folder", default="", help="The folder or file of the run; default: all it kept.")
@click.option("--team", help="Whose the model is, if it is new.")
@click.option("--description", help="About this version, in Markdown.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME[@DIGEST]", help="It was made with; repeatable.")
@click.option("--metric", "metrics", multiple=True, metavar="K=NUMBER", help="Repeatable.")
@tag_option
@output_option
@pass_state
def register_version(
    state: State, /, name: str, source: Path | None, run: str | None, folder: str, output: str, **details: Any
) -> None:
    """Register the next version of NAME from a local folder or file, or from a run. Makes the model if need be."""
    if (source is None) == (run is None):
        message = "Name either local files or --run."
        raise click.UsageError(message)
    run_id = state.run_id(run) if run else None
    made = state.client.models.register(name, source, run=run_id, path=folder, **_details(**details))
    emit(output, made.raw, lambda: f"{clean(made.model_name)} {made.number}")


@model.command("versions")
@model_argument
@click.option("--stage", type=STAGES)
@click.option("--tag", metavar="K=V")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@output_option
@pass_state
def list_versions(state: State, /, model_: str, limit: int, output: str, **filters: Any) -> None:
    """List the versions of a model, newest first."""
    found = state.client.models.versions(_id(state, model_), **filters).first(limit)
    headers = ["VERSION", "STAGE", "ALIASES", "BY", "SIZE", "PICKLES", "MADE"]
    emit(
        output, [item.raw for item in found], lambda: table(headers, [_version_row(item) for item in found], right=(4,))
    )


@model.command("version")
@model_argument
@version_argument
@output_option
@pass_state
def show_version(state: State, model_: str, version: str, output: str) -> None:
    """Show a version."""
    found = state.client.models.version(_id(state, model_), version)
    emit(output, found.raw, lambda: _version_facts(found))


@model.command("update-version")
@model_argument
@version_argument
@click.option("--description")
@tag_option
@click.option("--untag", multiple=True, metavar="K", help="Repeatable.")
@output_option
@pass_state
def update_version(
    state: State,
    /,
    model_: str,
    version: str,
    description: str | None,
    tags: Sequence[str],
    untag: Sequence[str],
    output: str,
) -> None:
    """Change a version's card or tags; all else of it stays as it was made."""
    given = {} if description is None else {"description": description}
    found = state.client.models.update_version(_id(state, model_), version, **given, **_tags(tags, untag))
    emit(output, found.raw, lambda: _version_facts(found))


@model.command("delete-version")
@model_argument
@version_argument
@reason_option
@pass_state
def delete_version(state: State, model_: str, version: str, reason: str) -> None:
    """Take a version out of sight with its aliases."""
    state.client.models.delete_version(_id(state, model_), version, reason=reason)
    click.echo(f"Deleted version {version} of {model_}.")


@model.command("alias")
@model_argument
@click.argument("alias")
@version_argument
@reason_option
@pass_state
def set_alias(state: State, model_: str, alias: str, version: str, reason: str) -> None:
    """Let ALIAS point to a version."""
    state.client.models.set_alias(_id(state, model_), alias, version, reason=reason)
    click.echo(f"{alias} points to {version} now.")


@model.command("unalias")
@model_argument
@click.argument("alias")
@reason_option
@pass_state
def remove_alias(state: State, model_: str, alias: str, reason: str) -> None:
    """Take ALIAS away."""
    state.client.models.remove_alias(_id(state, model_), alias, reason=reason)
    click.echo(f"{alias} points to nothing now.")


@model.command("stage")
@model_argument
@version_argument
@click.argument("stage", type=STAGES)
@click.option("--archive-others", is_flag=True, help="Those in the stage leave it.")
@reason_option
@pass_state
def set_stage(state: State, /, model_: str, version: str, stage: str, **how: Any) -> None:
    """Put a version into a stage."""
    found = state.client.models.set_stage(_id(state, model_), version, stage, **how)
    click.echo(f"Version {found.number} is in {found.stage} now.")


@model.command("moves")
@model_argument
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_state
def list_moves(state: State, model_: str, limit: int, output: str) -> None:
    """List every move of aliases and stages, newest first."""
    found = state.client.models.moves(_id(state, model_)).first(limit)
    headers = ["WHEN", "WHAT", "FROM", "TO", "WHO", "WHY"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_move_row(item) for item in found]))


@model.command("was")
@model_argument
@click.argument("alias")
@click.option("--at", help="A moment: 2027-01-31T00:00:00Z. Default: now.")
@output_option
@pass_state
def was(state: State, model_: str, alias: str, at: str | None, output: str) -> None:
    """Show what ALIAS pointed to at a moment."""
    found = state.client.models.pointed_to(_id(state, model_), alias, at=at)
    emit(output, found.raw, lambda: f"version {found.after}, moved {ago(found.at)} by {clean(found.by)}")


@model.command("compare")
@model_argument
@click.argument("versions", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is the same.")
@output_option
@pass_state
def compare(state: State, model_: str, versions: Sequence[str], everything: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """Put versions side by side."""
    found = state.client.models.compare(_id(state, model_), *versions)
    headers = ["", *(f"VERSION {number}" for number in found["versions"])]
    rows = [
        [f"{kind}: {clean(line['name'], 40)}", *(clean(value, 32) for value in line["values"])]
        for kind in ("metrics", "params", "signature", "files", "facts")
        for line in found[kind]
        if everything or line["differs"]
    ]
    emit(output, found, lambda: table(headers, rows) or "Nothing differs.")


@model.command("files")
@model_argument
@version_argument
@output_option
@pass_state
def list_files(state: State, model_: str, version: str, output: str) -> None:
    """List the files of a version."""
    found = list(state.client.models.files(_id(state, model_), version))
    rows = [[clean(item.path), size(item.size_bytes), item.sha256[:12]] for item in found]
    emit(output, [item.raw for item in found], lambda: table(["PATH", "SIZE", "SHA-256"], rows, right=(1,)))


@model.command("get")
@model_argument
@version_argument
@click.argument("path")
@click.option("--to", type=click.Path(path_type=Path), help="The file to write; default: its own name.")
@pass_state
def get_file(state: State, model_: str, version: str, path: str, to: Path | None) -> None:
    """Download one file of a version."""
    from fathom.resources.runs import safe_parts  # noqa: PLC0415 -- only here

    goal = to or Path(safe_parts(path)[-1])
    click.echo(state.client.models.get_file(_id(state, model_), version, path, goal))


@model.command("download")
@model_argument
@version_argument
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@pass_state
def download(state: State, model_: str, version: str, folder: Path) -> None:
    """Download all files of a version into FOLDER."""
    for file in state.client.models.download(_id(state, model_), version, folder):
        click.echo(file)


@model.command("rules")
@model_argument
@output_option
@pass_state
def list_rules(state: State, model_: str, output: str) -> None:
    """List what is protected, and by what."""
    found = state.client.models.rules(_id(state, model_))
    rows = [
        [
            short(item.id),
            f"{item.target} {clean(item.name) or '(every other)'}",
            str(item.approvals),
            "separate" if item.separate_duties else "",
            ", ".join(f"{clean(one['metric'])} {one['operator']} {one['value']}" for one in item.thresholds),
        ]
        for item in found
    ]
    headers = ["ID", "WHAT", "APPROVALS", "DUTIES", "METRICS"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows, right=(2,)))


@model.command("protect")
@model_argument
@click.argument("name", required=False, default="")
@click.option("--target", type=click.Choice(["alias", "stage"]), default="alias", show_default=True)
@click.option("--approvals", type=click.IntRange(0, 10), default=1, show_default=True)
@click.option(
    "--maker", type=click.Choice(["excluded", "counts"]), default="excluded", show_default=True, help="Of a version."
)
@click.option("--metric", "metrics", multiple=True, metavar="'K >= NUMBER'", help="Repeatable.")
@reason_option
@output_option
@pass_state
def protect(
    state: State, /, model_: str, name: str, maker: str, metrics: Sequence[str], output: str, **rule: Any
) -> None:
    """Protect the alias (or stage) NAME; without one, each that has no rule of its own."""
    thresholds = [_threshold(text) for text in metrics]
    found = state.client.models.protect(
        _id(state, model_), name, separate_duties=maker == "excluded", thresholds=thresholds, **rule
    )
    emit(output, found.raw, lambda: found.id)


@model.command("unprotect")
@model_argument
@click.argument("rule")
@reason_option
@pass_state
def unprotect(state: State, model_: str, rule: str, reason: str) -> None:
    """Lift a rule, named by its id or by what it protects."""
    full = _id(state, model_)
    found = [item.id for item in state.client.models.rules(full) if rule == item.name or item.id.startswith(rule)]
    if len(found) != 1:
        message = f"{rule} names no rule, or several." if rule else "Name a rule."
        raise click.UsageError(message)
    state.client.models.unprotect(full, found[0], reason=reason)
    click.echo("The rule is lifted.")


@model.command("request")
@model_argument
@click.argument("name")
@version_argument
@click.option("--target", type=click.Choice(["alias", "stage"]), default="alias", show_default=True)
@click.option("--remove", "removes", is_flag=True, help="The alias is to be taken away.")
@click.option("--reason", required=True)
@output_option
@pass_state
def request_move(state: State, /, model_: str, name: str, version: str, output: str, **how: Any) -> None:
    """Ask others to approve the move of something protected."""
    made = state.client.models.request_move(_id(state, model_), name, version, **how)
    emit(output, made.raw, lambda: made.id)


@model.command("requests")
@click.option("--state", "wanted", type=click.Choice(["open", "done", "refused", "withdrawn"]), default="open")
@click.option("--all", "everything", is_flag=True, help="In every state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_state
def list_requests(state: State, wanted: str, everything: bool, limit: int, output: str) -> None:  # noqa: FBT001 -- a flag
    """List requests to move something protected."""
    found = state.client.models.requests(state=None if everything else wanted).first(limit)
    headers = ["ID", "MODEL", "WHAT", "BY", "STATE", "ANSWERS", "WHY"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_request_row(item) for item in found]))


@model.command("show-request")
@click.argument("request")
@output_option
@pass_state
def show_request(state: State, request: str, output: str) -> None:
    """Show a request and its answers."""
    found = state.client.models.request(_request_id(state, request))
    emit(
        output,
        found.raw,
        lambda: table(["ID", "MODEL", "WHAT", "BY", "STATE", "ANSWERS", "WHY"], [_request_row(found)]),
    )


@model.command("approve")
@click.argument("request")
@reason_option
@pass_state
def approve(state: State, request: str, reason: str) -> None:
    """Approve a request; the approval that completes the rule carries it out."""
    found = state.client.models.approve(_request_id(state, request), reason=reason)
    click.echo("It is moved." if found.state == "done" else "Your approval counts; others are needed still.")


@model.command("refuse")
@click.argument("request")
@click.option("--reason", required=True)
@pass_state
def refuse(state: State, request: str, reason: str) -> None:
    """Refuse a request, which ends it."""
    state.client.models.refuse(_request_id(state, request), reason=reason)
    click.echo("Refused.")


@model.command("withdraw")
@click.argument("request")
@pass_state
def withdraw(state: State, request: str) -> None:
    """Take back what you asked for."""
    state.client.models.withdraw(_request_id(state, request))
    click.echo("Withdrawn.")


@click.command()
@click.argument("kind", type=click.Choice(["run", "version", "dataset", "code", "environment"]))
@click.argument("node", metavar="ID")
@click.option("--direction", type=click.Choice(["both", "up", "down"]), default="both", show_default=True)
@click.option("--depth", type=click.IntRange(1, 10), default=3, show_default=True)
@output_option
@pass_state
def lineage(state: State, kind: str, node: str, direction: str, depth: int, output: str) -> None:
    """Show what something came from and what became of it."""
    wanted = state.run_id(node) if kind == "run" else node
    name = "modelversion" if kind == "version" else kind
    found = state.client.models.lineage(name, wanted, direction=direction, depth=depth)
    labels = {node["key"]: f"{clean(node['label'])} {clean(node['hint'], 16)}".strip() for node in found["nodes"]}
    rows = [[labels[edge["source"]], edge["relation"], labels[edge["target"]]] for edge in found["edges"]]
    emit(output, found, lambda: table(["SOURCE", "RELATION", "RESULT"], rows) or "Nothing is connected to it.")


def _id(state: State, given: str) -> str:
    """The full id of a model by id or name."""
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", given.lower()):
        return given
    return state.client.models.find(given).id


def _request_id(state: State, given: str) -> str:
    if len(given) >= 36:  # noqa: PLR2004 -- a whole id
        return given
    found = [item.id for item in state.client.models.requests() if item.id.startswith(given)]
    if len(found) != 1:
        message = f"{given} names no request, or several."
        raise click.UsageError(message)
    return found[0]


def _details(
    tags: Sequence[str], datasets: Sequence[str], metrics: Sequence[str], team: str | None, description: str | None
) -> dict[str, Any]:
    named = [text.partition("@") for text in datasets]
    found: dict[str, Any] = {"team": team, "description": description, "tags": pairs(tags) or None}
    found["datasets"] = [{"name": name, "digest": digest} for name, _, digest in named] or None
    try:
        found["metrics"] = {key: float(value) for key, value in pairs(metrics).items()} or None
    except ValueError as error:
        message = f"A metric is K=NUMBER: {error}"
        raise click.UsageError(message) from error
    return found


def _tags(tags: Sequence[str], untag: Sequence[str]) -> dict[str, Any]:
    found = {**pairs(tags), **dict.fromkeys(untag)}
    return {"tags": found} if found else {}


def _threshold(text: str) -> dict[str, Any]:
    found = _THRESHOLD.fullmatch(text.strip())
    try:
        if found is not None:
            return {"metric": found[1], "operator": found[2], "value": float(found[3])}
    except ValueError:
        pass
    message = f"--metric is like 'accuracy >= 0.9', not {text!r}."
    raise click.UsageError(message)


def _model_row(item: RegisteredModel) -> list[str]:
    aliases = ", ".join(f"{clean(name)}={number}" for name, number in item.aliases.items())
    changed = ago(item.updated_at)
    return [
        short(item.id), clean(item.name, 40), str(item.newest_number), aliases, clean(item.team), clean(item.owner), changed,
    ]  # fmt: skip


def _model_facts(item: RegisteredModel) -> str:
    return facts(
        [
            ("id", item.id),
            ("name", clean(item.name)),
            ("team", clean(item.team)),
            ("owner", clean(item.owner)),
            ("visibility", clean(item.visibility)),
            ("versions", str(item.newest_number)),
            ("aliases", mapping(item.aliases)),
            ("tags", mapping(item.tags)),
            ("changed", ago(item.updated_at)),
            ("card", clean(item.description, 400)),
        ]
    )


def _version_row(item: ModelVersion) -> list[str]:
    return [
        str(item.number),
        "" if item.stage == "None" else clean(item.stage),
        clean(", ".join(item.aliases)),
        clean(item.created_by),
        size(item.size_bytes),
        clean(item.scan.get("verdict", "")),
        ago(item.created_at),
    ]


def _version_facts(item: ModelVersion) -> str:
    return facts(
        [
            ("id", item.id),
            ("model", clean(item.model_name)),
            ("version", str(item.number)),
            ("stage", "" if item.stage == "None" else clean(item.stage)),
            ("aliases", clean(", ".join(item.aliases))),
            ("made by", f"{clean(item.created_by)}, {ago(item.created_at)}"),
            ("run", f"{item.run or ''} {clean(item.run_path)}".strip()),
            ("files", f"{item.files_count}, {size(item.size_bytes)}"),
            ("metrics", mapping(item.metrics)),
            ("params", mapping(item.params)),
            ("datasets", clean(", ".join(f"{one['name']}@{one.get('digest', '')}" for one in item.datasets))),
            ("pickles", clean(item.scan.get("verdict", ""))),
            ("tags", mapping(item.tags)),
            ("about", clean(item.description, 400)),
        ]
    )


def _move_row(item: ModelMove) -> list[str]:
    what = clean(item.name) if item.target == "alias" else f"stage of {item.version}"
    return [ago(item.at), what, clean(item.before), clean(item.after), clean(item.by), clean(item.reason, 60)]


def _request_row(item: MoveRequest) -> list[str]:
    wish = f"{clean(item.name)} away" if item.removes else f"{clean(item.name)} to {item.version}"
    answers = ", ".join(f"{clean(one['by'])} {'yes' if one['approved'] else 'no'}" for one in item.decisions)
    who = clean(item.requested_by)
    return [short(item.id), clean(item.model_name), wish, who, item.state, answers, clean(item.reason, 40)]


COMMANDS = {"model": model, "lineage": lineage}
