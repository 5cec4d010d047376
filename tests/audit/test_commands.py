"""`fathom-admin` as an operator meets it: a process of its own, its exit code, and what it leaves in the trail."""

import getpass
import json
import os
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from apps.audit import sealing
from apps.audit.models import AuditEvent
from tests.architecture.source import ROOT
from tests.audit.test_chains import unguarded
from tests.people import make_cast

_CREATE = """
from apps.access.principal import SYSTEM
from apps.teams import services
services.create_organization(slug="far", name="Far", by=SYSTEM)
"""


@pytest.fixture
def admin(committed: None) -> Any:
    make_cast()
    while sealing.seal():
        pass
    url = urlsplit(settings.DATABASE_URL)
    env = {**os.environ, "DATABASE_URL": url._replace(path=f"/{connection.settings_dict['NAME']}").geturl()}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "fathom-admin"), *arguments], env=env, cwd="/", capture_output=True, text=True, check=False
        )

    return call


def test_verify_says_what_is_wrong_and_exits_with_one(admin: Any) -> None:
    clean = admin("audit", "verify")
    assert (clean.returncode, clean.stdout.endswith("events in 2 chains: intact\n"), clean.stderr) == (0, True, "")
    event = AuditEvent.objects.latest("pk")
    with unguarded("audit_auditevent") as cursor:
        cursor.execute("UPDATE audit_auditevent SET actor_label = 'somebody' WHERE id = %s", [event.pk])
    wrong = admin("audit", "verify", "--json")
    assert wrong.returncode == 1
    assert [problem["event"] for problem in json.loads(wrong.stdout)["problems"]] == [event.pk]
    unknown = admin("audit", "verify", "--organization", "none")
    assert (unknown.returncode, "There is no organization 'none'." in unknown.stderr) == (2, True)


def test_what_a_command_does_names_the_door_and_who_sat_before_it(admin: Any) -> None:
    assert admin("shell", "-c", _CREATE).returncode == 0
    event = AuditEvent.objects.get(object_label="Far", action="create")
    assert (event.actor_label, event.origin) == ("system", "command")
    assert event.on_behalf_of.partition("@")[0] == getpass.getuser()
    assert event.request_id
    row = AuditEvent.objects.get(action="row.insert", object_type="teams.organization", txid=event.txid)
    assert row.data["after"]["slug"] == "far"
