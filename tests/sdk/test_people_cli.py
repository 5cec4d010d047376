"""The command line for people, teams and tokens: what is asked of the platform, and what a shell sees."""

from pathlib import Path

import pytest

from tests.sdk.stub_platform import StubPlatform
from tests.sdk.test_cli import Fathom, env, fathom

__all__ = ["env", "fathom"]


def test_a_token_is_made_with_scopes_networks_and_a_life(platform: StubPlatform, fathom: Fathom) -> None:
    made = fathom("tokens", "create", "ci", "--scope", "read", "--address", "10.0.0.0/8", "--expires", "30d")
    assert made.stdout == "fth_pat_secret\n"
    assert platform.requests[0].json() == {
        "name": "ci", "scopes": ["read"], "expires_in_days": 30, "addresses": ["10.0.0.0/8"],
    }  # fmt: skip


@pytest.mark.parametrize(("given", "hours"), [("24h", 24), ("7d", 168), ("0", 0)])
def test_a_token_is_rotated_with_an_overlap(given: str, hours: int, platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("tokens", "rotate", "tok-2", "--overlap", given).stdout == "fth_pat_secret\n"
    assert platform.requests[0].json() == {"overlap_hours": hours}


@pytest.mark.parametrize(
    ("given", "sent"), [(("--address", "10.0.0.0/8", "--reason", "moved"), ["10.0.0.0/8"]), (("--everywhere",), [])]
)
def test_networks_of_a_token_are_changed(
    given: tuple[str, ...], sent: list[str], platform: StubPlatform, fathom: Fathom
) -> None:
    assert fathom("tokens", "update", "tok-2", *given).stdout == "ci may be used from everywhere.\n"
    assert platform.requests[0].json() == {"addresses": sent, "reason": "moved" if sent else ""}


@pytest.mark.parametrize("given", [(), ("--address", "10.0.0.0/8", "--everywhere")])
def test_what_says_nothing_of_networks_is_refused(
    given: tuple[str, ...], platform: StubPlatform, fathom: Fathom
) -> None:
    assert fathom("tokens", "update", "tok-2", *given).returncode == 2
    assert platform.requests == []


@pytest.mark.parametrize("given", ["soon", "-1h", "24", "1w"])
def test_what_is_no_length_of_time_is_refused(given: str, platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("tokens", "rotate", "tok-2", "--overlap", given).returncode == 2
    assert platform.requests == []


def test_teams_are_listed_and_shown_in_short(platform: StubPlatform, fathom: Fathom) -> None:
    for short, long in ((("teams",), ("teams", "list")), (("teams", "vision"), ("teams", "show", "vision"))):
        said = fathom(*short)
        assert said.returncode == 0
        assert said.stdout == fathom(*long).stdout
    assert "members" in fathom("teams", "--help").stdout


def test_members_are_added_and_removed(platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("teams", "members", "add", "vision", "bob", "--role", "viewer").stdout == "bob is viewer of vision.\n"
    assert fathom("teams", "members", "remove", "vision", "bob").returncode == 0
    assert [(sent.method, sent.path) for sent in platform.requests] == [
        ("PUT", "/api/v2/teams/vision/members/bob/"),
        ("DELETE", "/api/v2/teams/vision/members/bob/"),
    ]


def test_a_service_accounts_token_is_alone_on_standard_output(platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("teams", "service-accounts", "token", "vision", "ci", "deploy").stdout == "fth_svc_secret\n"
    assert platform.requests[0].path == "/api/v2/teams/vision/service-accounts/ci/tokens/"


def test_an_invitation_is_alone_on_standard_output(platform: StubPlatform, fathom: Fathom) -> None:
    made = fathom("invitations", "create", "--team", "vision", "--team", "speech=viewer", "--expires", "3d")
    assert made.stdout == f"{platform.url}/join/fth_inv_x/\n"
    assert platform.requests[0].json() == {
        "teams": [{"team": "vision", "role": "member"}, {"team": "speech", "role": "viewer"}],
        "expires_in_days": 3,
    }


def test_a_file_is_imported(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    file, links = tmp_path / "people.csv", tmp_path / "links.csv"
    file.write_bytes("\ufeffusername\nnewt\n".encode())
    dry = fathom("users", "import", str(file), "--dry-run")
    assert (dry.returncode, "creates newt" in dry.stdout) == (0, True)
    assert platform.requests[0].query == {"dry_run": ["true"]}
    done = fathom("users", "import", str(file), "--links", str(links))
    assert done.returncode == 0
    assert platform.requests[1].json() == {"csv": "username\nnewt\n"}
    assert links.read_text() == f"newt,{platform.url}/join/x/\n"
    assert links.stat().st_mode & 0o077 == 0
    assert "/join/" not in done.stdout


def test_a_wrong_file_ends_with_an_error(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("username,team\nnewt,nowhere\n")
    said = fathom("users", "import", str(file), "--dry-run")
    assert (said.returncode, "WRONG: team: there is no team nowhere." in said.stdout) == (2, True)
    file.write_bytes(b"username\ncaf\xe9\n")
    assert fathom("users", "import", str(file)).returncode == 2
    assert len(platform.requests) == 1


def test_an_offboarding_is_previewed(platform: StubPlatform, fathom: Fathom) -> None:
    said = fathom(
        "users", "offboard", "bob", "--reason", "left", "--assets", "transfer", "--transfer-to", "mia", "--dry-run"
    )
    assert "bob would be off-boarded:" in said.stdout
    assert "tokens revoked" in said.stdout
    sent = platform.requests[0]
    assert sent.query == {"dry_run": ["true"]}
    assert sent.json() == {
        "reason": "left", "assets": "transfer", "jobs": "stop", "memberships": "keep", "transfer_to": "mia",
    }  # fmt: skip
    assert fathom("users", "offboard", "bob").returncode == 2  # without a reason nothing is asked
    assert len(platform.requests) == 1


def test_nothing_to_change_is_said(platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("users", "update", "bob").returncode == 2
    assert fathom("teams", "update", "vision").returncode == 2
    assert platform.requests == []
