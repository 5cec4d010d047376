from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.audit.models import AuditEvent
from apps.compute.contract import WorkloadSpec
from apps.core.errors import Invalid, NotAllowed
from apps.credentials import services
from apps.credentials.models import Credential, CredentialUse, SecretValue
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.teams import services as teams
from tests.credentials.conftest import CANARY
from tests.factories import FOREVER, Stage, fresh
from tests.people import Cast

Make = Callable[..., Credential]
WANTED = [{"name": "my-git", "as": "GIT"}]


def _given(stage: Stage) -> WorkloadSpec | None:
    """Return what the fake cluster was given, if anything."""
    specs = [workload.spec for workload in stage.world.workloads.values()]
    assert len(specs) <= 1
    return specs[0] if specs else None


def _assert_refused(stage: Stage, experiment: Experiment, reason: str) -> None:
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("failed", "CredentialRefused")
    assert reason in workload.message
    assert _given(stage) is None
    assert not CredentialUse.objects.exists()
    assert not AuditEvent.objects.filter(action="use").exists()


def test_a_job_gets_files_variables_and_a_helper(cast: Cast, stage: Stage, token: Make) -> None:
    made = token()
    stage.world.plan = lambda _name, _spec: FOREVER
    experiment = stage.submit(cast.alice, credentials=WANTED, env={"MINE": "1"})
    assert CANARY not in str(fresh(experiment).template)
    stage.turn()
    spec = _given(stage)
    assert spec is not None
    assert spec.secrets["GIT_TOKEN"] == CANARY.encode()
    assert {name: value for name, value in spec.env.items() if "GIT" in name} == {
        "GIT_HOST": "git.example.org",
        "GIT_USERNAME": "robot",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.https://git.example.org.helper",
        "GIT_CONFIG_VALUE_0": spec.env["GIT_CONFIG_VALUE_0"],
    }
    assert CANARY not in str((spec.command, spec.env, spec.labels))
    use = CredentialUse.objects.get()
    assert (use.credential, use.alias, use.subject, use.user) == (made, "GIT", f"run:{experiment.pk}", cast.alice)
    assert (use.version, use.attempt_no) == (1, 1)
    made.refresh_from_db()
    assert made.last_used_at is not None
    event = AuditEvent.objects.get(action="use")
    assert (event.object_id, event.actor) == (str(made.pk), cast.alice)
    assert event.data == {"version": 1, "subject": f"run:{experiment.pk}", "attempt": 1}


def test_a_repeated_start_is_one_use(cast: Cast, stage: Stage, token: Make) -> None:
    token()
    with stage.world.unreachable():
        stage.submit(cast.alice, credentials=WANTED)
        stage.turn(times=3)
    stage.turn()
    assert _given(stage) is not None
    assert CredentialUse.objects.count() == 1
    assert AuditEvent.objects.filter(action="use").count() == 1


def test_a_new_attempt_is_a_new_use_of_the_present_version(cast: Cast, stage: Stage, token: Make) -> None:
    made = token()
    stage.plan(exit_code=1)
    stage.submit(cast.alice, credentials=WANTED, retries=1)
    stage.turn()
    services.replace_credential(made, {"token": "fresh-canary-1"}, by=cast.alice)
    stage.finish()
    assert list(CredentialUse.objects.order_by("attempt_no").values_list("attempt_no", "version")) == [(1, 1), (2, 2)]


def test_who_may_only_see_it_cannot_submit_with_it(cast: Cast, stage: Stage, token: Make) -> None:
    made = token()
    for name, error, said in (
        ("bob", NotAllowed, "use needs editor"),
        ("charlie", Invalid, "There is none that you may see"),
        ("sre", NotAllowed, "does not count here"),
    ):
        for reference in ("my-git", str(made.pk)):
            with pytest.raises(error, match=said):
                stage.submit(cast.again(name), credentials=[{"name": reference}])
    assert not Experiment.objects.exists()


def test_a_token_needs_the_scope(cast: Cast, stage: Stage, token: Make) -> None:
    token()
    scopes = ["experiment:create", "project:submit", "run:create", "team:view", "credential:view"]
    issued, _ = accounts.issue_token(cast.alice, by=SYSTEM, name="ci", scopes=scopes)
    alice = cast.again("alice")
    alice.token = issued
    with pytest.raises(NotAllowed, match="lacks the scope credential:use"):
        stage.submit(alice, credentials=WANTED)


def test_a_share_that_was_revoked_before_the_start(cast: Cast, stage: Stage, token: Make) -> None:
    made = token()
    grants.grant(cast.dana, made, Role.EDITOR)
    experiment = stage.submit(cast.again("dana"), credentials=[{"name": str(made.pk), "as": "GIT"}], retries=2)
    grants.revoke(cast.dana, made)
    stage.finish()
    _assert_refused(stage, experiment, f"dana may no longer use the credential {made.pk}")


def test_a_team_that_was_left_before_the_start(cast: Cast, stage: Stage, token: Make) -> None:
    token(by=cast.mia)
    experiment = stage.submit(cast.alice, credentials=WANTED)
    teams.remove_member(cast.team, cast.alice, by=SYSTEM)
    stage.finish()
    _assert_refused(stage, experiment, "alice may no longer use the credential my-git")


def test_a_submitter_who_was_disabled(cast: Cast, stage: Stage, token: Make) -> None:
    token(by=cast.mia)
    experiment = stage.submit(cast.alice, credentials=WANTED)
    type(cast.alice).objects.filter(pk=cast.alice.pk).update(is_active=False)
    stage.finish()
    _assert_refused(stage, experiment, "may no longer use")


def test_one_that_was_deleted_before_the_start(cast: Cast, stage: Stage, token: Make) -> None:
    made = token()
    experiment = stage.submit(cast.alice, credentials=WANTED)
    services.delete_credential(made, by=cast.alice)
    stage.finish()
    _assert_refused(stage, experiment, "The credential my-git was deleted")
    with pytest.raises(Invalid, match="There is none"):
        stage.submit(cast.alice, credentials=WANTED)


def test_one_that_expired_before_the_start(cast: Cast, stage: Stage, token: Make) -> None:
    made = token(expires_at=timezone.now() + timedelta(hours=1))
    experiment = stage.submit(cast.alice, credentials=WANTED)
    Credential.objects.filter(pk=made.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    stage.finish()
    _assert_refused(stage, experiment, "The credential my-git expired on")
    with pytest.raises(Invalid, match="It expired on"):
        stage.submit(cast.alice, credentials=WANTED)


def test_one_that_was_tampered_with(cast: Cast, stage: Stage, token: Make) -> None:
    token()
    experiment = stage.submit(cast.alice, credentials=WANTED)
    value = SecretValue.objects.get()
    broken = bytes(value.ciphertext)[:-1] + bytes([bytes(value.ciphertext)[-1] ^ 1])
    SecretValue.objects.filter(pk=value.pk).update(ciphertext=broken)
    stage.finish()
    _assert_refused(stage, experiment, "changed or moved")


def test_a_missing_key_lets_it_wait_and_says_so(cast: Cast, stage: Stage, token: Make, settings: Any) -> None:
    token()
    experiment = stage.submit(cast.alice, credentials=WANTED)
    ring, settings.CREDENTIAL_KEYS = settings.CREDENTIAL_KEYS, f"other:{'44' * 32}"
    stage.turn(times=2)
    workload = fresh(experiment)
    assert workload.state == "starting"
    assert "its credentials cannot be opened (The key test is not in the key ring" in workload.message
    assert _given(stage) is None
    settings.CREDENTIAL_KEYS = ring
    stage.finish()
    assert fresh(experiment).state == "succeeded"


def test_a_copy_is_judged_as_whoever_copies(cast: Cast, stage: Stage, token: Make) -> None:
    token()
    experiment = stage.submit(cast.alice, credentials=WANTED, team=cast.team.slug)
    with pytest.raises(NotAllowed, match="use needs editor"):
        experiments.clone_experiment(experiment, by=cast.again("bob"), without=["team"])


def test_names_are_found_where_one_means_them(cast: Cast, stage: Stage, token: Make) -> None:
    token()
    mine = token(team=None)
    experiment = stage.submit(cast.alice, credentials=[{"name": "my-git"}])
    assert fresh(experiment).template["credentials"] == [
        {"id": str(mine.pk), "name": "my-git", "as": "MY_GIT", "kind": "git_https"}
    ]
    other = token(by=cast.olaf, team=cast.other_team)
    grants.grant(cast.mia, other, Role.EDITOR)
    with pytest.raises(Invalid, match="Several"):
        stage.submit(cast.again("mia"), credentials=[{"name": "my-git"}])


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"credentials": [{"name": "my-git", "as": "lower"}]}, "credentials.0.as"),
        ({"credentials": [{"name": "my-git", "as": "FATHOM_X"}]}, "credentials.0.as"),
        ({"credentials": [{"name": "my-git", "as": "A"}, {"name": "my-git", "as": "A"}]}, "credentials"),
        ({"credentials": WANTED, "env": {"GIT_TOKEN_FILE": "x"}}, "credentials"),
        ({"credentials": WANTED, "env": {"GIT_TOKEN": "x"}}, "credentials"),
        ({"credentials": [{"name": "none"}]}, "credentials.0.name"),
        ({"credentials": [{"as": "X"}]}, "credentials.0"),
        ({"credentials": [{"name": "my-git", "value": "x"}]}, "credentials.0.value"),
        ({"credentials": "my-git"}, "credentials"),
    ],
)
def test_a_specification_that_is_refused(
    cast: Cast, stage: Stage, token: Make, spec: dict[str, Any], named: str
) -> None:
    token()
    with pytest.raises(Invalid) as refused:
        stage.submit(cast.alice, **spec)
    assert list(refused.value.errors) == [named]


def test_every_kind_becomes_files_and_variables(cast: Cast, stage: Stage) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdefgh\n-----END OPENSSH PRIVATE KEY-----\n"
    given: dict[str, dict[str, Any]] = {
        "git_ssh": {"host": "git.example.org", "known_hosts": "git.example.org ssh-ed25519 AAAA", "private_key": key},
        "registry": {"server": "registry.example.org", "username": "robot", "password": "registry-word"},
        "s3": {"access_key_id": "AKIA", "secret_access_key": "s3-secret-word", "region": "eu-1"},
        "database": {"url": "postgresql://robot:p%40ssword@db.example.org/x"},
        "keytab": {"principal": "robot@EXAMPLE.ORG", "keytab": "BQIAAAECAwQF/w==", "kdc": "kdc.example.org:88"},
        "generic": {"files": {"CA": "ca-certificate"}},
    }
    for kind, fields in given.items():
        services.create_credential(kind, kind, fields, by=cast.alice)
    stage.submit(cast.alice, credentials=[{"name": kind} for kind in given], command=["python", "train.py"])
    stage.turn()
    spec = _given(stage)
    assert spec is not None
    secrets = {name: value for name, value in spec.secrets.items() if name != "FATHOM_TOKEN"}
    profile = secrets.pop("KEYTAB_KRB5_CONF")
    assert b"kdc = kdc.example.org:88" in bytes(profile)
    assert secrets == {
        "GIT_SSH_PRIVATE_KEY": key.encode(),
        "GIT_SSH_KNOWN_HOSTS": b"git.example.org ssh-ed25519 AAAA",
        "REGISTRY_PASSWORD": b"registry-word",
        "S3_SECRET_ACCESS_KEY": b"s3-secret-word",
        "DATABASE_URL": b"postgresql://robot:p%40ssword@db.example.org/x",
        "DATABASE_PASSWORD": b"p@ssword",
        "KEYTAB_KEYTAB": bytes.fromhex("050200000102030405ff"),
        "GENERIC_CA": b"ca-certificate",
    }
    own = ("FATHOM_", "MLFLOW_")  # of the platform
    assert {name: spec.env[name] for name in sorted(spec.env) if not name.startswith(own)} == {
        "GIT_SSH_COMMAND": spec.env["GIT_SSH_COMMAND"],
        "GIT_SSH_HOST": "git.example.org",
        "KEYTAB_KDC": "kdc.example.org:88",
        "KEYTAB_PRINCIPAL": "robot@EXAMPLE.ORG",
        "REGISTRY_SERVER": "registry.example.org",
        "REGISTRY_USERNAME": "robot",
        "S3_ACCESS_KEY_ID": "AKIA",
        "S3_REGION": "eu-1",
    }
    assert spec.command[:2] == ("/bin/sh", "-c")
    assert "kinit -k -t" in spec.command[2]
    assert spec.command[3:] == ("fathom", "python", "train.py")


def test_a_job_has_one_keytab(cast: Cast, stage: Stage) -> None:
    for name in ("one", "two"):
        fields = {"principal": "a@EXAMPLE.ORG", "keytab": "BQIAAAECAwQF/w=="}
        services.create_credential(name, "keytab", fields, by=cast.alice)
    with pytest.raises(Invalid, match="one keytab"):
        stage.submit(cast.alice, credentials=[{"name": "one"}, {"name": "two"}])


def test_work_without_credentials_asks_nothing(cast: Cast, stage: Stage, settings: Any) -> None:
    settings.CREDENTIAL_KEYS, settings.CREDENTIAL_KEYS_FILE = "", "/nonexistent/credential.keys"
    experiment = stage.submit(cast.alice)
    stage.finish()
    assert fresh(experiment).state == "succeeded"
