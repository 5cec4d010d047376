"""The submit form: it only collects. What it makes is judged by the one specification parser."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from typing_extensions import override

from apps.access.choices import Visibility
from apps.compute import services as compute
from apps.compute.models import Cluster, PriorityClass
from apps.core.errors import Invalid
from apps.credentials.choices import Kind
from apps.credentials.models import Credential
from apps.environments.models import Environment
from apps.experiments import spec as specs
from apps.experiments.models import Experiment
from apps.quotas.choices import BUILT_IN, GPU, Known
from apps.quotas.forms import parse_amount, write_amount
from apps.quotas.models import Resource
from apps.teams.models import Team
from apps.tracking.models import Project

ARCHIVES = {".zip": "application/zip", ".tar.gz": "application/gzip", ".tgz": "application/gzip"}
_MAGIC = {"application/zip": b"PK\x03\x04", "application/gzip": b"\x1f\x8b"}
_RESOURCES = ("cpu", "memory", "gpu", "disk")
CLONED = _RESOURCES  # what the address of the form for a copy may say otherwise
_NOT_ASKED_FOR = {one.name for one in BUILT_IN}  # what work asks for by itself, and has fields of its own
_SAME = ("name", "kind", "environment", "timeout", "grace", "priority", "priority_class", "retries")
_USUAL = {"cpu": "1", "memory": "1Gi", "gpu": "0", "disk": ""}
_PLAIN = ("name", "kind", "environment", "timeout", "grace", "priority", "priority_class", "retries", "visibility")
_FOLDED = ("cluster", "priority_class", "priority", "retries", "grace", "disk", "gpu_model")
_MOST = 500
_FOR_CODE = {Kind.GIT_HTTPS, Kind.GIT_SSH, Kind.S3}
_GIT = {  # the form's fields -> the specification's
    "git_url": "url",
    "git_ref": "ref",
    "git_subfolder": "subfolder",
    "git_submodules": "submodules",
    "code_credential": "credential",
}
_SHOWN_AT = {  # where in the form the parser's sentences stand
    **{f"code.git.{name}": field for field, name in _GIT.items()},
    "code.archive": "archive_url",
    "code.credential": "code_credential",
    "code.git.patch": "git_ref",
    "code": "code_file",
    "Content-Type": "code_file",
    "sha256": "code_file",
}
_AREA = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})


class CheckBoxes(forms.CheckboxSelectMultiple):
    """Boxes of which none need be ticked: an empty value means none."""

    @override
    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return [value for value in super().value_from_datadict(data, files, name) or [] if value]


class SubmitForm(forms.Form):
    name = forms.CharField(required=False)
    kind = forms.ChoiceField(choices=[("shell", "Shell"), ("python", "Python")], initial="shell", required=False)
    command = forms.CharField(widget=_AREA, strip=False, error_messages={"required": "Say what to run."})
    code_file = forms.FileField(required=False)
    code_ref = forms.CharField(required=False, widget=forms.HiddenInput)
    git_url = forms.CharField(required=False, max_length=500)
    git_ref = forms.CharField(required=False, max_length=200)
    git_subfolder = forms.CharField(required=False, max_length=500)
    git_submodules = forms.BooleanField(required=False)
    archive_url = forms.CharField(required=False, max_length=500)
    code_credential = forms.ChoiceField(required=False)
    environment = forms.ChoiceField(required=False)
    cpu = forms.CharField(required=False, initial="1")
    memory = forms.CharField(required=False, initial="1Gi")
    gpu = forms.CharField(required=False, initial="0")
    disk = forms.CharField(required=False)
    timeout = forms.CharField(required=False)
    grace = forms.CharField(required=False)
    retries = forms.IntegerField(required=False, initial=0)
    priority = forms.IntegerField(required=False, initial=0)
    priority_class = forms.ChoiceField(required=False)
    gpu_model = forms.ChoiceField(required=False)
    env = forms.CharField(required=False, widget=_AREA, strip=False)
    tags = forms.CharField(required=False, widget=_AREA, strip=False)
    project = forms.ChoiceField(required=False)
    new_project = forms.CharField(required=False, max_length=120)
    team = forms.ChoiceField(required=False)
    visibility = forms.ChoiceField(choices=[("", "As the project"), *Visibility.choices], required=False)
    cluster = forms.ChoiceField(required=False)
    credentials = forms.MultipleChoiceField(required=False, widget=CheckBoxes)

    def __init__(self, *args: Any, by: Any, source: Experiment | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.source = source
        self.parsed: specs.Parsed | None = None
        self._offer(by)

    def _offer(self, by: Any) -> None:
        rows = Project.objects.visible_to(by, "submit").filter(archived_at=None).select_related("team").order_by("name")
        projects = list(rows)
        self.project_names = {str(row.pk): row.name for row in projects}
        named = [(str(row.pk), f"{row.name} · {row.team}" if row.team else row.name) for row in projects]
        teams = list(Team.objects.visible_to(by, "submit").order_by("name"))
        clusters = Cluster.objects.visible_to(by, "view").filter(is_enabled=True).order_by("name")
        self._choose("project", [("", "default"), *named])
        self._choose("team", [("", "Only me"), *((team.slug, team.name) for team in teams)])
        self._choose("cluster", [("", "Any that fits"), *((row.name, f"{row.name} ({row.kind})") for row in clusters)])
        classes = compute.usable_classes(by, [team.pk for team in teams])
        self._choose("priority_class", [("", "Usual"), *((row.name, _described(row)) for row in classes)])
        self._offer_resources(Resource.objects.visible_to(by, "view").known())
        self._offer_credentials(by)
        self._offer_environments(by)

    def _offer_environments(self, by: Any) -> None:
        """Offer the newest version of each, by name where that is clear, and the version that the original ran in."""
        rows: Any = Environment.objects.visible_to(by, "view").live().filter(newest__gt=0).with_details()
        found = list(rows.order_by("name")[:_MOST])
        times = Counter(row.name for row in found)
        offered = [
            (
                row.name if times[row.name] == 1 or _is_own(row, by) else str(row.pk),
                f"{row.name}{f' · {row.team}' if row.team else ''} · version {row.newest}",
            )
            for row in found
        ]
        kept = self.source.spec.get("environment", "") if self.source else ""
        asked = (kept, self.initial.get("environment"), self.data.get("environment"))  # judged when it is submitted
        others = [(name, name) for name in dict.fromkeys(asked) if name and name not in dict(offered)]
        self._choose("environment", [("", "None: the cluster's own Python"), *others, *offered])

    def _offer_resources(self, known: Sequence[Known]) -> None:
        """Offer the models of GPUs, and a field for everything else that was added: also what the original asked for."""
        wish = self.source.spec.get("resources", {}) if self.source else {}
        models = {one.name.partition(":")[2]: one.title for one in known if one.name.startswith(f"{GPU}:")}
        if asked := wish.get("gpu_model"):
            models.setdefault(asked, asked)
        self._choose("gpu_model", [("", "Any"), *models.items()])
        self.others = {
            f"other-{one.name}": one.name
            for one in known
            if one.name not in _NOT_ASKED_FOR and not one.name.startswith(f"{GPU}:")
        }
        titles = {one.name: one.title for one in known}
        for name, resource in self.others.items():
            self.fields[name] = forms.CharField(required=False, max_length=40, label=titles[resource])
            self.initial.setdefault(name, write_amount(resource, wish.get("other", {}).get(resource)))

    @property
    def other_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.others]

    @property
    def has_hidden_problems(self) -> bool:
        """Whether something is wrong under "More settings"."""
        return any(self[name].errors for name in (*_FOLDED, *self.others))

    @property
    def has_fetched_code(self) -> bool:
        """Whether something is filled in, or wrong, where code is fetched from."""
        return any(self[name].errors or self[name].value() for name in (*_GIT, "archive_url"))

    def _offer_credentials(self, by: Any) -> None:
        """Offer what may be used; each is named in the specification by its name where that is clear, else by its id."""
        usable = Credential.objects.visible_to(by, "use").live().select_related("team").order_by("name")[:_MOST]
        rows = [row for row in usable if not row.is_expired]
        times = Counter(row.name for row in rows)
        self.credential_names = {
            str(row.pk): row.name if times[row.name] == 1 or _is_own(row, by) else str(row.pk) for row in rows
        }
        for_code = [row for row in rows if row.kind in _FOR_CODE]
        kept = _code_of(self.source).get("credential", "")
        asked = (kept, self.data.get("code_credential"))  # judged when it is submitted
        named = [(self.credential_names[str(row.pk)], f"{row.name} · {row.get_kind_display()}") for row in for_code]
        others = [(name, name) for name in dict.fromkeys(asked) if name and name not in dict(named)]
        self._choose("code_credential", [("", "None: it is public"), *others, *named])
        field = self.fields["credentials"]
        if isinstance(field, forms.MultipleChoiceField):
            field.choices = [
                (str(row.pk), f"{row.name} · {row.get_kind_display()}{f' · {row.team}' if row.team else ''}")
                for row in rows
            ]

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean_command(self) -> str:
        command = str(self.cleaned_data["command"]).replace("\r\n", "\n").strip("\n")
        if not command.strip():
            msg = "Say what to run."
            raise forms.ValidationError(msg)
        return command

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        if "command" in self.cleaned_data:
            try:
                self.parsed = specs.parse(self.document())
            except Invalid as refusal:
                self.take_over(refusal)
        return self.cleaned_data

    def take_over(self, refusal: Invalid) -> None:
        """Show the sentences of the parser and the services beside the fields they speak of."""
        for path, sentences in refusal.errors.items():
            parts = path.split(".")
            name = parts[1] if parts[0] == "resources" and len(parts) > 1 else parts[0]
            name = f"other-{'.'.join(parts[2:])}" if name == "other" else name
            name = _SHOWN_AT.get(path, _SHOWN_AT.get(name, name))
            said = [
                f"{'.'.join(parts[1:])}: {sentence}" if parts[0] in {"env", "tags"} else sentence
                for sentence in sentences
            ]
            self.add_error(name if name in self.fields else None, said)
        if not refusal.errors:
            self.add_error(None, refusal.detail)

    def document(self) -> dict[str, Any]:
        """Build the specification from what was typed; what was left empty is left to the defaults."""
        given = self.cleaned_data
        document: dict[str, Any] = {name: given[name] for name in _PLAIN if given.get(name) not in ("", None)}
        for name in ("priority", "retries"):
            if document.get(name) == 0:
                del document[name]
        document["command"] = given["command"]
        resources: dict[str, Any] = {
            name: _number(given[name]) for name in _RESOURCES if given.get(name) not in ("", None, "0")
        }
        if model := given.get("gpu_model"):
            resources["gpu_model"] = model
        if other := self._other():
            resources["other"] = other
        parts = {
            "code": self._code(),
            "resources": resources,
            "env": self._pairs("env"),
            "tags": self._pairs("tags"),
            "credentials": self._credentials(),
            "project": given.get("project"),
            "team": given.get("team"),
            "cluster": self._cluster(),
        }
        document |= {name: value for name, value in parts.items() if value}
        return document

    def _code(self) -> dict[str, Any]:
        """Return where the code comes from. Of more than one place the parser says that one is enough."""
        given, original = self.cleaned_data, _code_of(self.source)
        fetched: dict[str, Any] = {"git": self._git()} if given.get("git_url") else {}
        if archive := given.get("archive_url"):
            facts = {"credential": given.get("code_credential")}
            facts["sha256"] = original.get("sha256") if archive == original.get("archive") else None
            fetched |= {"archive": archive} | {name: value for name, value in facts.items() if value}
        upload = given.get("code_ref")
        if fetched and upload == original.get("upload"):
            return fetched  # in place of what the original had
        return {"upload": upload, **fetched} if upload else fetched

    def _git(self) -> dict[str, Any]:
        """Return the repository; what the form does not show of the original's stays, as long as its commit does."""
        given, original = self.cleaned_data, _code_of(self.source)
        git = {name: given[field] for field, name in _GIT.items() if given.get(field)}
        if all((git.get(name) or "") == (original.get(name) or "") for name in _GIT.values()):
            return original
        same = all(git.get(name) == original.get(name) for name in ("url", "ref"))
        kept = {name: original[name] for name in ("branch", "patch") if same and name in original}
        return git | kept

    def _other(self) -> dict[str, int]:
        found = {}
        for name, resource in self.others.items():
            try:
                if amount := parse_amount(resource, str(self.cleaned_data.get(name, "")).strip()):
                    found[resource] = amount
            except ValueError as error:
                self.add_error(name, str(error).replace("; nothing means no limit", ""))
        return found

    def _credentials(self) -> list[dict[str, str]]:
        """Return the chosen ones, with the aliases they have in the experiment this is a copy of."""
        source = self.source.spec.get("credentials", []) if self.source else []
        aliases = {entry["name"]: entry["as"] for entry in source if "as" in entry}
        found = []
        for pk in self.cleaned_data.get("credentials") or ():
            name = self.credential_names[pk]
            alias = aliases.get(name) or aliases.get(pk)
            found.append({"name": name} | ({"as": alias} if alias else {}))
        return found

    def _cluster(self) -> Mapping[str, Any] | None:
        if chosen := self.cleaned_data.get("cluster"):
            return {"name": chosen}
        wish = (self.source.spec if self.source else {}).get("cluster", {})
        return {key: value for key, value in wish.items() if key != "name"} or None

    def _pairs(self, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, line in enumerate(str(self.cleaned_data.get(name, "")).splitlines(), 1):
            key, separator, value = line.partition("=")
            if not line.strip():
                continue
            if not separator or not key.strip():
                self.add_error(name, f"Line {number} should look like NAME=value.")
            found[key.strip()] = value.strip() if name == "tags" else value
        return found

    @property
    def archive_type(self) -> str:
        """Return the content type of the uploaded archive, "" when there is none. Raises: Invalid for anything else."""
        file = self.cleaned_data.get("code_file")
        if file is None:
            return ""
        kind = next((kind for suffix, kind in ARCHIVES.items() if file.name.lower().endswith(suffix)), "")
        start = file.read(4)
        file.seek(0)
        if not kind or not start.startswith(_MAGIC[kind]):
            raise Invalid(errors={"code_file": ["A .zip or .tar.gz archive, please."]})
        return kind


def initial_from(experiment: Experiment) -> dict[str, Any]:
    """Return what the form shows for a copy of `experiment`."""
    spec = experiment.spec
    command = spec.get("command", "")
    return {
        **{name: spec.get(name, "") for name in _SAME},
        "command": shlex.join(command) if isinstance(command, list) else command,
        **{name: spec.get("resources", {}).get(name, usual) for name, usual in _USUAL.items()},
        "gpu_model": spec.get("resources", {}).get("gpu_model", ""),
        "code_ref": spec.get("code", {}).get("upload", ""),
        **{field: _code_of(experiment).get(name, "") for field, name in _GIT.items()},
        "archive_url": spec.get("code", {}).get("archive", ""),
        "env": "\n".join(f"{key}={value}" for key, value in spec.get("env", {}).items()),
        "tags": "\n".join(f"{key}={value}" for key, value in spec.get("tags", {}).items()),
        "project": str(experiment.run.project_id),
        "team": experiment.run.team.slug if experiment.run.team else "",
        "visibility": spec.get("visibility", ""),
        "cluster": spec.get("cluster", {}).get("name", ""),
    }


def _code_of(source: Experiment | None) -> dict[str, Any]:
    """Return what an experiment's specification says of a repository, or of an archive."""
    code: dict[str, Any] = source.spec.get("code", {}) if source else {}
    git: dict[str, Any] = code.get("git") or code
    return git


def chosen_credentials(experiment: Experiment, names: Mapping[str, str]) -> list[str]:
    """Return which of the offered ones (`names` by id) a copy of `experiment` starts with."""
    wanted = {entry["name"] for entry in experiment.spec.get("credentials", [])}
    return [pk for pk, name in names.items() if name in wanted or pk in wanted]


def _described(row: PriorityClass) -> str:
    return f"{row.name} · {row.description}" if row.description else row.name


def _is_own(row: Credential | Environment, by: Any) -> bool:
    """Say whether the bare name means this one, whatever others are called."""
    return row.team_id is None and row.owner_id == by.pk


def _number(text: str) -> int | str:
    """Whole numbers as numbers, quantities with a unit as they were written."""
    text = str(text).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else text  # noqa: PLR2004 -- 2**53
