"""Onboarding from a file: what is told before, what is done, and that a wrong line changes nothing."""

from typing import Any

import pytest

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, NotAllowed
from apps.teams import people_file, services
from apps.teams.models import Invitation, Membership
from tests.people import PASSWORD, Cast

HEADER = "username,email,first_name,last_name,team,role,platform_role\n"
GOOD = HEADER + (
    "newt,newt@example.org,Newt,S,vision,member,\n"
    "newt,,,,speech,viewer,\n"
    "\n"
    "fay,,Fay,,,,auditor\n"
    "bob,,,,vision,maintainer,\n"
    "alice,,,,vision,member,\n"
)


def told(report: Any) -> list[str]:
    return [planned.does for planned in report.lines]


def everything() -> list[Any]:
    return [list(model._base_manager.order_by("pk").values()) for model in (User, Membership, Invitation, AuditEvent)]


def test_a_dry_run_tells_line_by_line_and_changes_nothing(cast: Cast) -> None:
    before = everything()
    report = services.import_people(GOOD.encode(), by=cast.sre, dry_run=True)
    assert told(report) == [
        "creates newt; member of vision",
        "viewer of speech",
        "creates fay as auditor",
        "maintainer of vision, was viewer",
        "nothing: it is so already",
    ]
    assert [planned.line.number for planned in report.lines] == [2, 3, 5, 6, 7]
    assert (report.new_people, report.changes, report.errors, report.applied) == (["newt", "fay"], 4, {}, False)
    assert everything() == before


def test_it_is_done_once_however_often_it_is_uploaded(cast: Cast) -> None:
    report = services.import_people(GOOD.encode(), by=cast.sre)
    newt = User.objects.get(username="newt")
    assert (newt.email, newt.first_name, newt.last_name) == ("newt@example.org", "Newt", "S")
    roles = set(
        Membership.objects.filter(user__username__in=["newt", "fay", "bob"]).values_list(
            "user__username", "team__slug", "role"
        )
    )
    assert roles == {("newt", "vision", "member"), ("newt", "speech", "viewer"), ("bob", "vision", "maintainer")}
    assert User.objects.get(username="fay").platform_role == "auditor"
    assert [name for name, _ in report.links] == ["newt", "fay"]
    before = everything()
    again = services.import_people(GOOD.encode(), by=cast.sre)
    assert (again.changes, again.links) == (0, [])
    assert everything() == before


def test_the_link_opens_the_account(cast: Cast) -> None:
    report = services.import_people(GOOD.encode(), by=cast.sre)
    value = dict(report.links)["newt"].removeprefix("/join/").removesuffix("/")
    services.redeem_invitation(value, password=PASSWORD)
    assert accounts.log_in("newt", PASSWORD).username == "newt"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("newt,,,,nowhere,member,", "team: there is no team nowhere."),
        ("newt,,,,vision,god,", "role: one of viewer, member, maintainer."),
        ("newt,,,,,member,", "role: a role without a team."),
        ("newt,,,,vision,member,king", "platform_role: admin, auditor, or empty."),
        ("newt,nonsense,,,vision,member,", "email: Enter a valid email address."),
        ("ALICE,,,,vision,member,", "username: alice exists, in other letters."),
        ("ivan,,,,vision,member,", "username: ivan is disabled. Enable the account first."),
        ("svc.vision.x,,,,vision,member,", "username: Names that begin with svc. are service accounts'."),
        ("sre,,,,,,auditor", "platform_role: you cannot change your own."),
        ("a b,,,,vision,member,", "username: Enter a valid username."),
        (",,,,vision,member,", "username: This field cannot be blank."),
        (f"{'x' * 151},,,,vision,member,", "username: Ensure this value has at most 150 characters"),
        (f"newt,,{'x' * 151},,vision,member,", "first_name: Ensure this value has at most 150 characters"),
        ("newt,,,,vision,member,,more", "It has 8 cells, and there are 7 columns."),
        ("=cmd|' /C calc'!A0,,,,vision,member,", "username: Enter a valid username."),
    ],
)
def test_a_wrong_line_is_told_and_nothing_is_done(line: str, sentence: str, cast: Cast) -> None:
    before = everything()
    data = (HEADER + "good,,,,vision,member,\n" + line + "\n").encode()
    report = services.import_people(data, by=cast.sre, dry_run=True)
    assert list(report.errors) == ["line 3"]
    assert any(sentence in found for found in report.errors["line 3"]), report.errors
    with pytest.raises(Invalid) as refusal:
        services.import_people(data, by=cast.sre)
    assert refusal.value.errors == report.errors
    assert everything() == before


def test_lines_that_contradict_each_other(cast: Cast) -> None:
    data = HEADER + "newt,a@example.org,,,vision,member,\nnewt,b@example.org,,,vision,viewer,\nNewt,,,,speech,viewer,\n"
    errors = services.import_people(data.encode(), by=cast.sre, dry_run=True).errors
    assert errors == {
        "line 3": ["email: differs from line 2.", "The same person and team as line 2."],
        "line 4": ["username: line 2 spells it newt."],
    }


def test_an_archived_team_takes_nobody(cast: Cast) -> None:
    services.archive_team(cast.team, by=cast.sre, reason="over")
    report = services.import_people(GOOD.encode(), by=cast.sre, dry_run=True)
    assert report.errors == {"line 2": ["team: vision is archived."]}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The first line names the columns"),
        (b"name,mail\nx,y\n", "The first line names the columns"),
        (b"username;team\nx;y\n", "The first line names the columns"),
        (b"username,username\nx,y\n", "The first line names the columns"),
        (b"username,team\nok,vision\ncaf\xe9,vision\n", "Line 3 is not UTF-8"),
        ("username\nx\n".encode("utf-16"), "Line 1 is not UTF-8"),
        (b"username\na\x00b\n", "NUL"),
        (b'username\n"open\n', "Line 2"),
        (b"username\n" + b"x\n" * 5001, "At most 5000 lines"),
        (b"username\n" + b"x" * 900_001, "At most 900000 bytes"),
    ],
)
def test_an_unreadable_file_is_refused_as_a_whole(data: bytes, sentence: str, cast: Cast) -> None:
    for dry_run in (True, False):
        with pytest.raises(Invalid) as refusal:
            services.import_people(data, by=cast.sre, dry_run=dry_run)
        assert sentence in refusal.value.errors["file"][0]


def test_a_mark_of_byte_order_and_other_columns_orders_are_fine(cast: Cast) -> None:
    data = "\ufeffTeam, Username\r\nvision, newt\r\n".encode()
    assert told(services.import_people(data, by=cast.sre, dry_run=True)) == ["creates newt; member of vision"]


@pytest.mark.parametrize("name", ["mia", "alice", "charlie", "aud"])
def test_only_an_admin_imports(name: str, cast: Cast) -> None:
    for dry_run in (True, False):
        with pytest.raises(NotAllowed):
            services.import_people(GOOD.encode(), by=cast.people[name], dry_run=dry_run)
    assert not User.objects.filter(username="newt").exists()


def test_what_is_written_is_no_formula() -> None:
    written = people_file.write(("username", "link"), [("=1+1", "x"), ("@x", "+y"), ("plain", "-z")])
    assert written == "username,link\r\n'=1+1,x\r\n'@x,'+y\r\nplain,'-z\r\n"


def test_a_failure_in_the_middle_takes_everything_back(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.core.errors import Conflict
    from apps.teams.services import importing

    def refuse(_team: Any, user: User, **_facts: Any) -> None:
        if user.username == "bob":
            msg = "somebody was faster"
            raise Conflict(msg)

    before = everything()
    monkeypatch.setattr(importing, "set_member", refuse)
    with pytest.raises(Invalid) as refusal:
        services.import_people(GOOD.encode(), by=cast.sre)
    assert refusal.value.errors == {"line 6": ["somebody was faster"]}
    assert everything() == before


def test_a_dry_run_of_a_long_file_asks_the_database_little(cast: Cast, django_assert_max_num_queries: Any) -> None:
    data = HEADER + "".join(f"p{number},,,,vision,member,\n" for number in range(5000))
    with django_assert_max_num_queries(5):
        report = services.import_people(data.encode(), by=cast.sre, dry_run=True)
    assert len(report.new_people) == 5000
