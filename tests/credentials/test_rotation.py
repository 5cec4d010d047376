import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core import failpoints, sealing
from apps.core.errors import Conflict, NotAllowed
from apps.core.sealing import Ring
from apps.credentials import crypto, services
from apps.credentials.checks import key_ring_is_there
from apps.credentials.models import Credential, DataKey, SecretValue
from tests.factories import in_threads
from tests.people import Cast

Make = Callable[..., Credential]


class Crash(BaseException):
    """The process dies here, as far as the code can tell."""


@pytest.fixture
def ring(settings: Any, tmp_path: Path) -> Path:
    path = tmp_path / "credential.keys"
    settings.CREDENTIAL_KEYS, settings.CREDENTIAL_KEYS_FILE = "", path
    sealing.write_ring(path, Ring({"first": b"1" * 32}))
    return path


@pytest.fixture
def many(ring: Path, cast: Cast, token: Make) -> dict[Any, bytes]:
    """Credentials of two tenants; the value of each."""
    rows = [token(f"team-{number}") for number in range(3)] + [token(f"own-{number}", team=None) for number in range(3)]
    for number, row in enumerate(rows):
        services.replace_credential(row, {"token": f"value-{number}"}, by=cast.alice)
    return {row.pk: f"value-{number}".encode() for number, row in enumerate(rows)}


def _values() -> dict[Any, bytes]:
    rows = SecretValue.objects.select_related("data_key")
    return {row.credential_id: crypto.open_value(row) for row in rows}


def _keys(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out, stderr=out)
    return out.getvalue()


def _crash_at(monkeypatch: pytest.MonkeyPatch, passes: int) -> None:
    left = [passes]

    def hit(name: str) -> None:
        assert name == "secret.rotate.mid"
        left[0] -= 1
        if left[0] == 0:
            raise Crash

    monkeypatch.setattr(failpoints, "hit", hit)


def test_a_new_key_reseals_data_keys_and_leaves_values_alone(many: dict[Any, bytes], ring: Path) -> None:
    before = dict(SecretValue.objects.values_list("pk", "ciphertext"))
    assert "2 sealed anew, 0 encrypted anew" in _keys("rotate")
    assert ring.stat().st_mode & 0o777 == 0o600
    assert {pk: bytes(text) for pk, text in SecretValue.objects.values_list("pk", "ciphertext")} == {
        pk: bytes(text) for pk, text in before.items()
    }
    primary = sealing.ring().primary
    assert set(sealing.references()) == {primary} != {"first"}
    assert _values() == many
    assert AuditEvent.objects.filter(action="reseal").count() == 2


def test_new_data_keys_encrypt_every_value_anew(many: dict[Any, bytes], ring: Path) -> None:
    old = set(DataKey.objects.values_list("pk", flat=True))
    assert "2 sealed anew, 6 encrypted anew" in _keys("rotate", "--values")
    assert not old & set(DataKey.objects.values_list("pk", flat=True))
    assert DataKey.objects.filter(retired_at=None).count() == 2
    assert _values() == many


def test_the_whole_way_rotate_verify_retire(many: dict[Any, bytes], ring: Path, cast: Cast) -> None:
    with pytest.raises(CommandError, match="It is the primary key"):
        _keys("retire", "first")
    services.rotate_keys(by=SYSTEM)
    said = _keys("verify")
    assert f"{sealing.ring().primary} (primary): 2 references" in said
    assert "first: 0 references" in said
    assert "6 values, 0 cannot be opened" in said
    _keys("retire", "first")
    assert list(sealing.ring().keys) == [sealing.ring().primary]
    assert b"1" * 32 not in ring.read_bytes()
    assert (b"1" * 32).hex() not in ring.read_text()
    assert _values() == many


def test_a_key_in_use_is_not_retired(many: dict[Any, bytes], ring: Path) -> None:
    sealing.write_ring(ring, Ring({"second": b"2" * 32, **sealing.ring().keys}))
    with pytest.raises(Conflict, match="2 secrets are sealed under it"):
        services.retire_key("first", by=SYSTEM)
    assert "first" in sealing.ring().keys


@pytest.mark.parametrize("passes", range(1, 9))
def test_a_rotation_that_was_stopped_anywhere_is_gone_on_with(
    many: dict[Any, bytes], ring: Path, passes: int, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    with monkeypatch.context() as patch:
        _crash_at(patch, passes)
        with pytest.raises(Crash):
            services.rotate_keys(by=SYSTEM, values=True)
    keys = len(sealing.ring().keys)
    assert keys == 2
    assert _values() == many
    mine = Credential.objects.get(name="own-0")
    services.replace_credential(mine, {"token": "written-meanwhile"}, by=cast.alice)
    services.rotate_keys(by=SYSTEM, values=True)
    if passes > 1:
        assert len(sealing.ring().keys) >= keys
    assert _values() == {**many, mine.pk: b"written-meanwhile"}
    found = services.verify_keys(by=SYSTEM)
    assert (found.references["first"], found.broken, found.values) == (0, [], 6)
    assert not DataKey.objects.exclude(retired_at=None).exists()


def test_a_value_that_is_replaced_under_the_rotations_hands_is_left_alone(
    many: dict[Any, bytes], ring: Path, cast: Cast
) -> None:
    mine = Credential.objects.get(name="own-0")
    row = SecretValue.objects.select_related("data_key", "credential__team").get(credential=mine)
    DataKey.objects.filter(pk=row.data_key_id).update(retired_at="2026-01-01T00:00:00Z")
    services.replace_credential(mine, {"token": "faster-than-it"}, by=cast.alice)
    assert not crypto.reencrypt(row, crypto.current_key(crypto.scope_of(mine)))
    assert _values()[mine.pk] == b"faster-than-it"


def test_verify_names_what_cannot_be_opened(many: dict[Any, bytes], ring: Path) -> None:
    victim = SecretValue.objects.order_by("pk")[0]
    SecretValue.objects.filter(pk=victim.pk).update(ciphertext=b"x" * 40)
    found = services.verify_keys(by=SYSTEM)
    assert [str(victim.credential_id) in sentence for sentence in found.broken] == [True]
    sealing.write_ring(ring, Ring({"other": b"3" * 32}))
    found = services.verify_keys(by=SYSTEM)
    assert found.references == {"first": 2}
    assert len(found.broken) == 2 + 6
    with pytest.raises(CommandError, match="cannot be opened"):
        _keys("verify")


def test_a_ring_from_the_environment_is_the_operators(many: dict[Any, bytes], settings: Any) -> None:
    settings.CREDENTIAL_KEYS = f"second:{'32' * 32},first:{(b'1' * 32).hex()}"
    done = services.rotate_keys(by=SYSTEM)
    assert (done.primary, done.is_new, done.resealed) == ("second", False, 2)
    with pytest.raises(Conflict, match="take it out of FATHOM_CREDENTIAL_KEYS"):
        services.retire_key("first", by=SYSTEM)
    settings.CREDENTIAL_KEYS = f"second:{'32' * 32}"
    assert _values() == many


def test_only_admins_rotate(many: dict[Any, bytes], ring: Path, cast: Cast) -> None:
    before = ring.read_bytes()
    for work in (services.rotate_keys, services.verify_keys):
        with pytest.raises(NotAllowed):
            work(by=cast.alice)
    with pytest.raises(NotAllowed):
        services.retire_key("first", by=cast.alice)
    assert ring.read_bytes() == before


def test_one_data_key_comes_into_being(committed: None, ring: Path) -> None:
    found = in_threads(6, lambda _number: crypto.current_key("org:1").pk)
    assert len(set(found)) == 1
    assert DataKey.objects.count() == 1


def test_writing_while_keys_rotate(committed: None, ring: Path, request: pytest.FixtureRequest) -> None:
    many: dict[Any, bytes] = request.getfixturevalue("many")
    cast: Cast = request.getfixturevalue("cast")

    def work(number: int) -> None:
        if number == 0:
            for _ in range(3):
                services.rotate_keys(by=SYSTEM, values=True)
            return
        row = Credential.objects.get(name=f"team-{number - 1}")
        for turn in range(10):
            services.replace_credential(row, {"token": f"turn-{turn}-{number}"}, by=cast.again("alice"))

    assert in_threads(4, work) == [None] * 4
    services.rotate_keys(by=SYSTEM, values=True)
    written = {Credential.objects.get(name=f"team-{n}").pk: f"turn-9-{n + 1}".encode() for n in range(3)}
    assert _values() == {**many, **written}


def test_a_deployment_without_a_ring_is_told(settings: Any) -> None:
    assert key_ring_is_there() == []
    settings.CREDENTIAL_KEYS, settings.CREDENTIAL_KEYS_FILE = "", "/nonexistent/credential.keys"
    assert [found.id for found in key_ring_is_there()] == ["credentials.W001"]


def test_a_rotation_that_is_killed_is_gone_on_with(committed: None, ring: Path, request: pytest.FixtureRequest) -> None:
    many: dict[Any, bytes] = request.getfixturevalue("many")
    chosen = connection.settings_dict
    account = f"{quote(chosen['USER'], safe='')}:{quote(chosen['PASSWORD'], safe='')}" if chosen["USER"] else ""
    place = f"?host={quote(chosen['HOST'], safe='')}&port={chosen['PORT']}" if chosen["HOST"] else ""
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{account}@/{chosen['NAME']}{place}",
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "FATHOM_CREDENTIAL_KEYS_FILE": str(ring),
        "FATHOM_FAILPOINTS": "secret.rotate.mid=kill*2",
    }
    command = [sys.executable, "manage.py", "keys", "rotate", "--values"]

    def rotate() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    killed = rotate()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert _values() == many
    environment["FATHOM_FAILPOINTS"] = ""
    again = rotate()
    assert again.returncode == 0, again.stderr
    assert sealing.references()["first"] == 0
    assert _values() == many
    assert not DataKey.objects.exclude(retired_at=None).exists()
