"""The specification: what it means, and that nothing else is accepted."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.core.errors import Invalid
from apps.experiments import spec


def refused(document: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as refusal:
        spec.parse(document)
    return refusal.value.errors


def test_the_schema_is_valid_and_describes_itself() -> None:
    Draft202012Validator.check_schema(spec.schema())
    assert spec.schema()["additionalProperties"] is False


def test_only_the_command_is_needed() -> None:
    parsed = spec.parse({"command": "echo hi"})
    assert (parsed.name, parsed.kind, parsed.command) == ("echo hi", "shell", ("/bin/sh", "-c", "echo hi"))
    assert (parsed.cpu_milli, parsed.memory_bytes, parsed.gpu_milli, parsed.disk_bytes) == (1000, 1 << 30, 0, 0)
    assert (parsed.timeout_seconds, parsed.grace_seconds, parsed.code_sha256) == (None, 10, "")


def test_everything_that_can_be_said() -> None:
    document = {
        "name": "n",
        "kind": "python",
        "command": "train.py --rate '0 1'",
        "code": {"upload": f"sha256:{'a' * 64}"},
        "resources": {"cpu": "1500m", "memory": "2Gi", "gpu": 0.5, "disk": "10G"},
        "env": {"A_1": "x"},
        "timeout": "1h",
        "grace": 5,
        "priority": -3,
        "retries": 2,
        "cluster": {"name": "c", "kind": "local", "labels": {"zone": "a"}},
        "project": "p",
        "team": None,
        "visibility": "public",
        "tags": {"k": "v"},
    }
    parsed = spec.parse(document)
    assert parsed.command == ("train.py", "--rate", "0 1")
    assert (parsed.cpu_milli, parsed.memory_bytes, parsed.gpu_milli, parsed.disk_bytes) == (1500, 2 << 30, 500, 10**10)
    assert (parsed.timeout_seconds, parsed.grace_seconds, parsed.code_sha256) == (3600, 5, "a" * 64)
    assert parsed.document == document


@pytest.mark.parametrize(
    ("kind", "command", "words"),
    [
        ("shell", "a | b", ("/bin/sh", "-c", "a | b")),
        ("shell", ["a", "b c"], ("a", "b c")),
        ("python", "a 'b c' d\\ e", ("a", "b c", "d e")),
        ("python", ["a", ""], ("a", "")),
        ("shell", "ключ = '✓'\n", ("/bin/sh", "-c", "ключ = '✓'\n")),
    ],
)
def test_a_command_becomes_words(kind: str, command: Any, words: tuple[str, ...]) -> None:
    assert spec.parse({"kind": kind, "command": command}).command == words


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("spec", {"command": ...}),
        ("command", {"command": ""}),
        ("command", {"command": " \n\t"}),
        ("command", {"command": []}),
        ("command", {"command": [""]}),
        ("command", {"command": ["", "x"]}),
        ("command", {"command": [1]}),
        ("command", {"command": None}),
        ("command", {"command": True}),
        ("command", {"command": "a\x00b"}),
        ("command", {"command": ["a\x00"]}),
        ("command", {"command": "x" * 65_537}),
        ("command", {"command": ["x"] * 1025}),
        ("command", {"kind": "python", "command": "a 'b"}),
        ("command", {"kind": "python", "command": "''"}),
        ("kind", {"kind": "perl"}),
        ("kind", {"kind": ["shell"]}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "a\n"}),
        ("name", {"name": 7}),
        ("code", {"code": {}}),
        ("code.upload", {"code": {"upload": "sha256:abc"}}),
        ("code.upload", {"code": {"upload": f"sha256:{'A' * 64}"}}),
        ("code.upload", {"code": {"upload": f"sha256:{'a' * 64}\n"}}),
        ("code.path", {"code": {"upload": f"sha256:{'a' * 64}", "path": "/etc"}}),
        ("resources.cpu", {"resources": {"cpu": "many"}}),
        ("resources.cpu", {"resources": {"cpu": True}}),
        ("resources.cpu", {"resources": {"cpu": -1}}),
        ("resources.cpu", {"resources": {"cpu": None}}),
        ("resources.cpu", {"resources": {"cpu": float("nan")}}),
        ("resources.cpu", {"resources": {"cpu": float("inf")}}),
        ("resources.cpu", {"resources": {"cpu": 9_007_199_254_740_991}}),
        ("resources.memory", {"resources": {"memory": "1Gi\n"}}),
        ("resources.memory", {"resources": {"memory": "\uff11Gi"}}),
        ("resources.memory", {"resources": {"memory": 10**30}}),
        ("resources.tpu", {"resources": {"tpu": 1}}),
        ("resources", {"resources": []}),
        ("env", {"env": {"FATHOM_TOKEN": "x"}}),
        ("env", {"env": {"1A": "x"}}),
        ("env", {"env": {"A\n": "x"}}),
        ("env", {"env": {"": "x"}}),
        ("env.A", {"env": {"A": 1}}),
        ("env.A", {"env": {"A": "x\x00"}}),
        ("env", {"env": {f"A{number}": "" for number in range(501)}}),
        ("timeout", {"timeout": "soon"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": 1.5}),
        ("timeout", {"timeout": True}),
        ("timeout", {"timeout": "0s"}),
        ("timeout", {"timeout": "9999999d"}),
        ("timeout", {"timeout": None}),
        ("grace", {"grace": 301}),
        ("grace", {"grace": "6m"}),
        ("priority", {"priority": 101}),
        ("priority", {"priority": "1"}),
        ("priority", {"priority": True}),
        ("priority", {"priority": 0.5}),
        ("retries", {"retries": 21}),
        ("retries", {"retries": -1}),
        ("cluster.zone", {"cluster": {"zone": "a"}}),
        ("cluster.labels.a", {"cluster": {"labels": {"a": 1}}}),
        ("project", {"project": ""}),
        ("project", {"project": "a\x00"}),
        ("team", {"team": 5}),
        ("visibility", {"visibility": "all"}),
        ("tags.a", {"tags": {"a": 1}}),
        ("tags", {"tags": {"": "x"}}),
        ("tags", {"tags": {"x" * 251: "x"}}),
        ("unknown", {"unknown": 1}),
        ("Command", {"Command": "x"}),
        ("__proto__", {"__proto__": {}}),
    ],
)
def test_a_bad_field_is_named(field: str, change: dict[str, Any]) -> None:
    document = {key: value for key, value in {"command": "true", **change}.items() if value is not ...}
    errors = refused(document)
    assert list(errors) == [field]
    assert all(sentence for sentence in errors[field])


@pytest.mark.parametrize("document", [None, [], "x", 1, True, 1.5, [{"command": "x"}]])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert list(refused(document)) == ["spec"]


def test_all_problems_are_told_at_once() -> None:
    errors = refused({"command": "", "x": 1, "resources": {"cpu": "a", "y": 1}, "priority": 1000})
    assert set(errors) == {"command", "x", "resources.cpu", "resources.y", "priority"}


def test_an_error_does_not_repeat_a_megabyte() -> None:
    errors = refused({"command": "true", "x" * 100_000: 1, "name": "y" * 1_000_000, "tags": {"k": ["z"] * 100_000}})
    assert len(json.dumps(errors)) < 2000


@pytest.mark.parametrize(("number", "seconds"), [(90.0, 90), (1e3, 1000)])
def test_json_knows_no_integers(number: float, seconds: int) -> None:
    parsed = spec.parse({"command": "true", "timeout": number, "grace": 5.0, "priority": 1.0, "retries": 2.0})
    assert (parsed.timeout_seconds, parsed.grace_seconds) == (seconds, 5)


@pytest.mark.parametrize(
    ("command", "name"),
    [("a\n\tb", "a b"), (["a", "b"], "a b"), ("x" * 61, "x" * 57 + "…"), ("x" * 60, "x" * 60)],
)
def test_a_name_is_made_from_the_command(command: Any, name: str) -> None:
    assert spec.parse({"command": command}).name == name


def test_a_command_of_control_characters_has_a_name() -> None:
    assert spec.parse({"command": ["\x01"]}).name == "unnamed"


def test_a_long_hostile_command_is_judged_at_once() -> None:
    assert "command" in refused({"command": "a" * 60_000 + "\x00"})
    assert "command" in refused({"command": " " * 60_000})
