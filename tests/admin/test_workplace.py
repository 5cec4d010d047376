"""An SRE's day: every number leads to its rows, every filter answers its question, lists are kept and taken home."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from apps.access.admin import counting, questions
from apps.access.admin.exports import harmless
from apps.access.models import SavedFilter
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, LoginFailure, Registration, User
from apps.audit.models import AuditEvent
from apps.compute.models import Attempt, Cluster, Loop, Workload, WorkloadEvent
from apps.experiments.models import CodeUpload
from apps.experiments.services import quota_node
from apps.quotas.models import QuotaLimit, Reservation
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, Project, Run
from tests import people
from tests.admin.rows import age, bring, make_row, submit, write_limits
from tests.admin.test_access import LABELS, url_of

DAY = timedelta(days=1)


def listed(browser: Client, label: str, **query: str) -> set[Any]:
    answer = browser.get(url_of(label, "changelist"), query)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def keys(*rows: Model) -> set[Any]:
    return {row.pk for row in rows}


def told(answer: Any) -> str:
    """Return the last thing that was said; what nobody has read yet is said again."""
    return str(list(get_messages(answer.wsgi_request))[-1])


@pytest.fixture
def auditor(db: None) -> User:
    user = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(user, "auditor", by=SYSTEM)
    return user


# --- The front page ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trouble(sre: User) -> None:
    """Something for every number of the front page, and beside it what does not count."""
    owner = make_row(1).run.owner
    other = make_row(2).run.owner
    for number in range(3):
        submit(owner, cluster="cluster-1", name=f"waits-{number}")
    submit(other, cluster="cluster-1", name="waits-too", team="team-2")
    full = submit(owner, cluster="cluster-1", name="full").workload
    Workload.objects.filter(pk=full.pk).update(reason="QuotaFull")
    failed = submit(owner, cluster="cluster-1", name="failed").workload
    bring(failed, "failed")
    stuck = submit(owner, cluster="cluster-1", name="stuck").workload
    bring(stuck, "stopping")
    age(stuck, state_changed_at=timedelta(minutes=20))
    node = quota_node(owner, None)
    write_limits(QuotaLimit.objects.filter(node=node, resource__in=["cpu", "gpu"]), limit=1000, used=950)
    for number in range(6):
        LoginFailure.objects.create(username="root", ip=f"198.51.100.{number}")
    for number in range(5):
        LoginFailure.objects.create(username=f"name-{number}", ip="203.0.113.9")
    LoginFailure.objects.create(username="root", ip="203.0.113.9", at=timezone.now() - 2 * timedelta(hours=1))
    Registration.objects.create(username="newt")
    Loop.objects.create(name="sweep", ran_at=timezone.now() - DAY, lease_until=timezone.now() - DAY)
    Loop.objects.filter(name="loop-1").update(lease_until=timezone.now() + DAY)


def test_every_number_is_the_number_of_rows_behind_its_link(trouble: None, browser: Client) -> None:
    now = browser.get("/admin/").context["now"]
    asked = [(question.count, question.url) for question in now.questions]
    asked += [(line.count, line.url) for line in (*now.waiting, *now.changes, *now.guesses)]
    asked += [(now.queued, f"{url_of('compute.workload', 'changelist')}?state__exact=queued")]
    asked += [
        (row.active, f"{url_of('compute.workload', 'changelist')}?cluster__id__exact={row.cluster.pk}&active=yes")
        for row in now.clusters
    ]
    page = browser.get("/admin/").text
    for count, url in asked:
        assert url.replace("&", "&amp;") in page
        answer = browser.get(url)
        assert answer.status_code == 200, url
        assert answer.context["cl"].result_count == count, url
    assert len(asked) > 20


def test_the_numbers_count_what_they_say(trouble: None, browser: Client) -> None:
    now = browser.get("/admin/").context["now"]
    found = {question.words: question.count for question in now.questions}
    today = found.pop("changes today")
    assert found == {
        "stuck over 15 minutes": 1, "finished badly today": 1, "wait for quota": 1, "clusters need a look": 2,
        "loops late": 2, "over 90 % of quota": 1, "failed logins this hour": 13, "failed logins by guessing": 11,
        "waiting for approval": 1, "access requests open": 2, "alerts not delivered": 0, "budgets over 80 %": 2,
        "requests for quota open": 2, "preempted, wait again": 0, "wait for what was lent": 0, "wait more than a day": 0,
    }  # fmt: skip
    acts = AuditEvent.objects.filter(outcome="ok").exclude(action__startswith="row.")
    assert 10 < today == acts.count() < AuditEvent.objects.count()
    assert [(line.what, line.detail, line.count) for line in now.waiting] == [
        ("user-1", "", 4),
        ("user-2", "Team 2", 1),
    ]
    assert [(line.what, line.count) for line in now.guesses] == [("root", 6), ("203.0.113.9", 5)]
    assert ("create", "budget") in {(line.what, line.detail) for line in now.changes}


def test_nobody_counts_more_than_somebody_can_look_through(
    browser: Client, sre: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        LoginFailure.objects.create(username="root", ip=f"198.51.100.{number}")
    exact = browser.get(url_of("accounts.loginfailure", "changelist")).text
    assert "4 login failures" in exact
    assert "These pages hold" not in exact
    monkeypatch.setattr(counting, "MOST", 3)
    page = browser.get(url_of("accounts.loginfailure", "changelist"))
    assert page.context["cl"].result_count == 3
    assert "3+ login failures" in page.text
    assert "These pages hold the first 3;" in page.text
    assert len(taken(browser, "accounts.loginfailure", "csv").splitlines()) == 1 + 4  # a file holds every row
    front = {question.words: question.said for question in browser.get("/admin/").context["now"].questions}
    assert front["failed logins this hour"] == "3+"


def test_bad_numbers_come_first(trouble: None, browser: Client) -> None:
    tones = [question.tone for question in browser.get("/admin/").context["now"].questions]
    assert tones == sorted(tones, key=["bad", "busy", ""].index)


def test_what_operators_did_is_told(browser: Client) -> None:
    cluster = make_row(1).workload.cluster
    chosen = {"action": "drain", "_selected_action": str(cluster.pk), "_confirmed": "1", "reason": "new disks"}
    browser.post(url_of("compute.cluster", "changelist"), chosen)
    now = browser.get("/admin/").context["now"]
    assert [(event.actor_label, event.action, event.reason) for event in now.operators] == [
        ("sre", "drain", "new disks")
    ]


def test_an_app_adds_its_own_number(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension point: a question with a tile, nothing else."""
    monkeypatch.setattr(questions, "_tiles", list(questions._tiles))
    question = questions.Question(
        "named", "Named so", lambda rows: rows.filter(username="sre"), "people to approve", "busy"
    )
    questions.question_filter(User, [question])
    found = browser.get("/admin/").context["now"].questions
    assert [(one.count, one.url) for one in found if one.words == "people to approve"] == [
        (1, "/admin/accounts/user/?question=named")
    ]


# --- Filters named after questions ------------------------------------------------------------------------------------


def test_questions_about_people(browser: Client, sre: User, auditor: User, alice: User) -> None:
    seen = accounts.create_user("seen", by=SYSTEM)
    away = accounts.create_user("away", by=SYSTEM)
    gone = accounts.create_user("gone", by=SYSTEM)
    robot = accounts.create_user("robot", by=SYSTEM)
    team = teams.create_team(teams.create_organization(slug="o", name="O", by=SYSTEM), slug="t", name="T", by=SYSTEM)
    teams.set_member(team, seen, role="member", by=SYSTEM)
    User.objects.filter(pk=robot.pk).update(service_of=team)
    User.objects.filter(pk__in=[seen.pk, sre.pk]).update(last_login=timezone.now())
    User.objects.filter(pk=away.pk).update(last_login=timezone.now() - 91 * DAY)
    accounts.disable_user(gone, by=SYSTEM, reason="x")
    found = {key: listed(browser, "accounts.user", question=key) for key in _keys_of("accounts.user")}
    assert found == {
        "people": keys(sre, auditor, alice, seen, away, gone), "never": keys(alice, auditor), "away": keys(away), "alone": keys(alice, auditor, away, sre), "admins": keys(sre),
        "auditors": keys(auditor), "services": keys(robot), "disabled": keys(gone),
    }  # fmt: skip


def _keys_of(label: str, parameter: str = "question") -> list[str]:
    """List what the filter offers, so that no question goes without a test."""
    page = next(page for page in site._registry.values() if page.opts.label_lower == label)
    for offered in page.list_filter:
        if getattr(offered, "parameter_name", "") == parameter:
            return [key for key, _ in offered.lookups(offered, None, page)]
    raise AssertionError(label)


def test_questions_about_tokens(browser: Client, sre: User, alice: User) -> None:
    now = timezone.now()
    made = {
        name: accounts.issue_token(alice, by=SYSTEM, name=name, expires_in=life)[0]
        for name, life in {"new": 30 * DAY, "forever": None, "ending": 3 * DAY, "over": DAY, "stale": 30 * DAY}.items()
    }
    made["admin"] = accounts.issue_token(sre, by=SYSTEM, name="a", scopes=["admin"], expires_in=30 * DAY)[0]
    ApiToken.objects.filter(name="over").update(expires_at=now - DAY)
    ApiToken.objects.filter(name__in=["forever", "ending", "a"]).update(last_used_at=now)
    ApiToken.objects.filter(name="stale").update(created_at=now - 92 * DAY, last_used_at=now - 91 * DAY)
    found = {key: listed(browser, "accounts.apitoken", question=key) for key in _keys_of("accounts.apitoken")}
    live = {name: token for name, token in made.items() if name != "over"}
    assert found == {
        "live": keys(*live.values()), "forever": keys(made["forever"]), "unused": keys(made["new"]),
        "forgotten": keys(made["stale"]), "service": set(), "everywhere": keys(*live.values()), "ending": keys(made["ending"]), "admin": keys(made["admin"]),
    }  # fmt: skip


def test_questions_about_workloads_and_experiments(browser: Client) -> None:
    owner = make_row(1).run.owner
    made = {
        name: submit(owner, cluster="cluster-1", name=name, retries=2)
        for name in ["lost", "long", "again", "quota", "retried"]
    }
    jobs = {name: experiment.workload for name, experiment in made.items()}
    bring(jobs["lost"], "lost")
    bring(jobs["long"], "running")
    Workload.objects.filter(pk=jobs["long"].pk).update(started_at=timezone.now() - 2 * DAY, last_seen_at=timezone.now())
    Workload.objects.filter(pk=jobs["again"].pk).update(attempt_no=3)
    Workload.objects.filter(pk=jobs["quota"].pk).update(reason="QuotaFull")
    Workload.objects.filter(pk=jobs["retried"].pk).update(attempt_no=2)
    found = {key: listed(browser, "compute.workload", question=key) for key in ("lost", "long", "again")}
    assert found == {key: keys(jobs[key]) for key in ("lost", "long", "again")}
    asked = {key: listed(browser, "experiments.experiment", question=key) for key in _keys_of("experiments.experiment")}
    assert asked == {
        "bad": keys(made["lost"]),
        "quota": keys(made["quota"]),
        "retried": keys(made["retried"], made["again"]),
    }


def test_questions_about_attempts_and_events(browser: Client) -> None:
    workload = make_row(1).workload
    now = timezone.now()
    first = Attempt.objects.get()
    made = {
        name: Attempt.objects.create(
            workload=workload, no=no, cluster=workload.cluster, handle=name, finished_at=now - DAY / 2
        )
        for no, name in enumerate(("failed", "clean", "old"), 2)
    }
    Attempt.objects.filter(handle__in=["failed", "clean"]).update(removed_at=now, log_ended_at=now)
    Attempt.objects.filter(handle="failed").update(verdict="failed")
    Attempt.objects.filter(handle="old").update(verdict="failed", finished_at=now - 2 * DAY)
    found = {key: listed(browser, "compute.attempt", question=key) for key in _keys_of("compute.attempt")}
    assert found == {"bad": keys(made["failed"]), "left": keys(made["old"]), "unlogged": keys(made["old"])}
    assert first.pk not in set.union(*found.values())
    old = workload.events.create(seq=50, to_state="failed", actor="x", at=now - 2 * DAY)
    bad = workload.events.create(seq=51, to_state="lost", actor="x", at=now - DAY / 2)
    asked = {key: listed(browser, "compute.workloadevent", question=key) for key in _keys_of("compute.workloadevent")}
    assert asked == {"hour": keys(*WorkloadEvent.objects.exclude(pk__in=keys(old, bad))), "bad": keys(bad)}


def test_questions_about_clusters_and_loops(browser: Client) -> None:
    well: dict[str, Any] = {"kind": "fake", "state": "ok", "capabilities": ["isolates_tenants"]}
    made = {
        "well": Cluster.objects.create(name="well", **well),
        "down": Cluster.objects.create(name="down", **{**well, "state": "down"}),
        "drained": Cluster.objects.create(name="drained", **well, is_drained=True),
        "shared": Cluster.objects.create(name="shared", **{**well, "capabilities": []}),
        "warns": Cluster.objects.create(name="warns", **well, warnings=["disk is slow"]),
    }
    found = {key: listed(browser, "compute.cluster", trouble=key) for key in _keys_of("compute.cluster", "trouble")}
    assert found == {
        "any": keys(made["down"], made["drained"], made["shared"], made["warns"]), "failing": keys(made["down"]),
        "closed": keys(made["drained"]), "shared": keys(made["shared"]),
    }  # fmt: skip
    late = Loop.objects.create(name="late", ran_at=timezone.now())
    Loop.objects.create(name="busy", ran_at=timezone.now(), lease_until=timezone.now())
    assert listed(browser, "compute.loop", question="late") == keys(late)


def test_questions_about_quotas(browser: Client, alice: User) -> None:
    made = {name: quota_node(accounts.create_user(name, by=SYSTEM), None) for name in ("nearly", "full", "free")}
    write_limits(QuotaLimit.objects.all(), limit=1000, used=0)
    write_limits(QuotaLimit.objects.filter(node=made["nearly"]), used=910)
    write_limits(QuotaLimit.objects.filter(node=made["full"]), used=1000)
    write_limits(QuotaLimit.objects.filter(node=made["free"]), limit=None)
    found = {key: listed(browser, "quotas.quotanode", pressure=key) for key in _keys_of("quotas.quotanode", "pressure")}
    assert found == {"90": keys(made["nearly"], made["full"]), "100": keys(made["full"]), "none": keys(made["free"])}
    held = Reservation.objects.create(key="a", node=made["free"], node_ids=[], amounts={})
    long = Reservation.objects.create(
        key="b", node=made["free"], node_ids=[], amounts={}, held_at=timezone.now() - 2 * DAY, ends_by=timezone.now()
    )
    Reservation.objects.create(key="c", node=made["free"], node_ids=[], amounts={}, released_at=timezone.now())
    asked = {key: listed(browser, "quotas.reservation", question=key) for key in _keys_of("quotas.reservation")}
    assert asked == {"now": keys(held, long), "long": keys(long), "open": keys(held)}


def test_questions_about_teams(browser: Client, alice: User) -> None:
    empty_org = teams.create_organization(slug="o1", name="O1", by=SYSTEM)
    org = teams.create_organization(slug="o2", name="O2", by=SYSTEM)
    hollow = teams.create_organization(slug="o3", name="O3", by=SYSTEM)
    empty = teams.create_team(hollow, slug="empty", name="Empty", by=SYSTEM)
    led = teams.create_team(org, slug="led", name="Led", by=SYSTEM)
    leaderless = teams.create_team(org, slug="loose", name="Loose", by=SYSTEM)
    teams.set_member(led, alice, role="maintainer", by=SYSTEM)
    teams.set_member(leaderless, alice, role="member", by=SYSTEM)
    found = {key: listed(browser, "teams.team", question=key) for key in _keys_of("teams.team")}
    assert found == {"empty": keys(empty), "leaderless": keys(empty, leaderless)}
    asked = {key: listed(browser, "teams.organization", question=key) for key in _keys_of("teams.organization")}
    assert asked == {"teamless": keys(empty_org), "empty": keys(empty_org, hollow)}


def test_questions_about_what_is_kept(browser: Client, alice: User) -> None:
    gone = accounts.create_user("gone", by=SYSTEM)
    project = tracking.create_project("a", by=alice)
    orphan = tracking.create_project("b", by=gone)
    empty = tracking.create_project("c", by=alice)
    run = tracking.create_run(project, by=alice, name="r")
    lonely = tracking.create_run(orphan, by=gone, name="g", visibility="public")
    accounts.disable_user(gone, by=SYSTEM, reason="x")
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - 2 * DAY)
    found = {key: listed(browser, "tracking.project", question=key) for key in _keys_of("tracking.project")}
    assert found == {"empty": keys(empty), "gone": keys(orphan), "private": keys(*Project.objects.all())}
    asked = {key: listed(browser, "tracking.run", question=key) for key in _keys_of("tracking.run")}
    assert asked == {"open": keys(run), "gone": keys(lonely), "public": keys(lonely)}
    sizes: dict[str, int] = {"small": 10, "large": 2 * 1024**3}
    files = {
        name: Artifact.objects.create(run=run, path=name, sha256="0" * 64, size_bytes=size)
        for name, size in sizes.items()
    }
    code = {
        name: CodeUpload.objects.create(owner=alice, sha256=f"{size:064x}", format="zip", size_bytes=size)
        for name, size in sizes.items()
    }
    for model, name in ((Artifact, "small"), (CodeUpload, "small")):
        rows = files if model is Artifact else code
        model._default_manager.filter(pk=rows["large"].pk).update(created_at=timezone.now() - 2 * DAY)
        label = model._meta.label_lower
        shown = {key: listed(browser, label, question=key) for key in _keys_of(label)}
        assert shown == {"day": keys(rows[name]), "large": keys(rows["large"])}


def test_questions_about_logins_and_the_trail(browser: Client, sre: User) -> None:
    old = LoginFailure.objects.create(username="root", at=timezone.now() - 2 * DAY)
    few = LoginFailure.objects.create(username="tom", ip="192.0.2.1")
    many = [LoginFailure.objects.create(username="root", ip=f"192.0.2.{n}") for n in range(2, 7)]
    found = {key: listed(browser, "accounts.loginfailure", question=key) for key in _keys_of("accounts.loginfailure")}
    assert found == {"hour": keys(few, *many), "guessed": keys(*many)}
    assert old.pk not in found["hour"]
    before = AuditEvent.objects.create(action="x", object_type="y", at=timezone.now() - 2 * DAY, actor_label="z")
    look = AuditEvent.objects.create(action="see_as_end", object_type="y", actor_label="z")
    sent = AuditEvent.objects.create(action="export", object_type="y", actor_label="z")
    seen = AuditEvent.objects.create(action="row.update", object_type="y", actor_label="z")
    denied = AuditEvent.objects.create(action="x", object_type="y", actor_label="z", outcome="denied")
    asked = {key: listed(browser, "audit.auditevent", question=key) for key in _keys_of("audit.auditevent")}
    recent = keys(*AuditEvent.objects.exclude(pk=before.pk))
    done = recent - keys(seen, denied, *AuditEvent.objects.filter(action__startswith="row."))
    assert asked == {
        "changes": done, "today": recent, "hour": recent, "looks": keys(look), "exports": keys(sent),
    }  # fmt: skip
    assert keys(look, sent) <= done


@pytest.mark.parametrize("label", LABELS)
def test_every_list_has_a_question(label: str) -> None:
    page = next(page for page in site._registry.values() if page.opts.label_lower == label)
    named = {getattr(offered, "parameter_name", "") for offered in page.list_filter}
    assert named & {"question", "trouble", "pressure"}


# --- Export -----------------------------------------------------------------------------------------------------------


def taken(browser: Client, label: str, kind: str, **query: str) -> str:
    answer = browser.get(url_of(label, "changelist"), {**query, "_export": kind})
    assert answer.status_code == 200
    assert answer["Content-Disposition"].endswith(f'.{kind}"')
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("label", LABELS)
def test_every_list_goes_home_as_it_is_shown(label: str, browser: Client) -> None:
    for no in (1, 2, 3):
        make_row(no)
    shown = browser.get(url_of(label, "changelist")).context["cl"]
    rows = list(csv.reader(io.StringIO(taken(browser, label, "csv"))))
    assert len(rows) == 1 + shown.result_count or label == "audit.auditevent"
    lines = [json.loads(line) for line in taken(browser, label, "ndjson").splitlines()]
    assert list(lines[0]) == rows[0]
    assert "<" not in str(rows)
    assert len(rows[0]) == len([name for name in shown.list_display if name != "action_checkbox"])
    assert "Action checkbox" not in rows[0]


def test_an_export_holds_the_filtered_rows_and_is_on_the_record(browser: Client, sre: User) -> None:
    owner = make_row(1).run.owner
    submit(owner, cluster="cluster-1", name="waits")
    text = taken(browser, "compute.workload", "csv", state__exact="queued")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["label"], row["state"], row["whose"]) for row in rows] == [("waits", "queued", "user-1")]
    assert rows[0]["state since"].startswith(f"{timezone.now():%Y-%m-%dT}")
    event = AuditEvent.objects.get(action="export")
    assert (event.actor, event.origin) == (sre, "admin")
    assert event.data == {"list": "compute.workload", "query": "state__exact=queued", "format": "csv"}


def test_no_secret_leaves(browser: Client, secretive: str) -> None:
    make_row(1)
    Cluster.objects.create(name="gpu", kind=secretive, settings={"password": "s3cr3t-sentinel"})
    digests = list(ApiToken.objects.values_list("digest", flat=True))
    for label in LABELS:
        for kind in ("csv", "ndjson"):
            text = taken(browser, label, kind)
            assert "s3cr3t-sentinel" not in text
            assert "argon2" not in text
            assert not [digest for digest in digests if digest in text]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"), ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"), ("-5", "-5"), ("+0.5", "+0.5"), ("plain", "plain"), ("", ""), ("a=1", "a=1"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(cell: str, written: str) -> None:
    assert harmless(cell) == written


def test_labels_of_people_are_no_formulas(browser: Client) -> None:
    workload = make_row(1).workload
    nasty = '=HYPERLINK("http://evil","x")'
    Workload.objects.filter(pk=workload.pk).update(label=nasty, message="<b>@x</b>")
    row = next(csv.DictReader(io.StringIO(taken(browser, "compute.workload", "csv"))))
    assert row["label"] == f"'{nasty}"
    assert row["why"] == "<b>@x</b>"  # words of a person, not markup


def test_an_unknown_export_or_filter_is_refused(browser: Client) -> None:
    url = url_of("compute.workload", "changelist")
    assert browser.get(url, {"_export": "xlsx"}).status_code == 404
    assert browser.get(url, {"_export": "csv", "nonsense": "1"})["Location"] == f"{url}?e=1"
    assert browser.get(url, {"_export": "csv", "user__password__startswith": "a"}).status_code == 400
    assert not AuditEvent.objects.filter(action="export").exists()


# --- Saved filters ----------------------------------------------------------------------------------------------------

LIST = url_of("compute.workload", "changelist")


def keep(browser: Client, name: str, query: str = "question=stuck", **more: str) -> Any:
    return browser.post(f"{LIST}?{query}", {"_save_filter": "1", "name": name, **more})


def names(browser: Client, url: str = LIST) -> list[str]:
    return [one["row"].name for one in browser.get(url).context["saved_filters"]]


def test_a_filter_is_kept_shown_and_forgotten(browser: Client, sre: User) -> None:
    answer = keep(browser, " my morning ", "question=stuck&p=2&q=a%26b")
    assert answer["Location"] == f"{LIST}?question=stuck&q=a%26b"
    saved = SavedFilter.objects.get()
    assert (saved.name, saved.query, saved.is_shared, saved.owner_id) == (
        "my morning",
        "question=stuck&q=a%26b",
        False,
        sre.pk,
    )
    page = browser.get(answer["Location"]).text
    assert 'href="?question=stuck&amp;q=a%26b" aria-current="true">my morning' in page
    assert names(browser, url_of("compute.cluster", "changelist")) == []
    assert AuditEvent.objects.latest("pk").action == "save"
    browser.post(LIST, {"_delete_filter": str(saved.pk)})
    assert not SavedFilter.objects.exists()
    assert AuditEvent.objects.latest("pk").action == "delete"


def test_the_same_name_replaces(browser: Client) -> None:
    keep(browser, "x")
    keep(browser, "x", "question=bad")
    assert [saved.query for saved in SavedFilter.objects.all()] == ["question=bad"]


@pytest.mark.parametrize(
    "query", ["nonsense=1", "user__is_staff__exact=1", "question=stuck&next=//evil", "state__exact__x=1"]
)
def test_what_the_list_does_not_know_is_not_kept(query: str, browser: Client) -> None:
    assert keep(browser, "x", query)["Location"] == f"{LIST}?e=1"
    assert not SavedFilter.objects.exists()


def test_what_leads_nowhere_is_not_kept(browser: Client) -> None:
    assert told(keep(browser, "x", "")) == "query: Choose a filter or a search first."
    assert told(keep(browser, "")) == "name: Give it a name of at most 60 characters."
    assert told(keep(browser, "x" * 61)) == "name: Give it a name of at most 60 characters."
    assert told(keep(browser, "x", f"q={'a' * 3000}")) == "query: It is too long."
    assert not SavedFilter.objects.exists()


def test_names_are_escaped_and_links_stay_here(browser: Client, sre: User) -> None:
    nasty = '"><img src=x onerror=alert(1)>'
    keep(browser, nasty)
    SavedFilter.objects.create(owner=sre, label="compute.workload", name="planted", query='//evil.example"onclick="x')
    page = browser.get(LIST).text
    assert nasty not in page
    assert "&quot;&gt;&lt;img src=x" in page
    assert 'href="?//evil.example&quot;onclick=&quot;x"' in page


def other_operator() -> Client:
    return people.browser_of(accounts.create_user("second", by=SYSTEM, is_admin=True))


def test_shared_ones_are_seen_by_all_operators_and_private_ones_are_not(
    browser: Client, auditor: User, alice: User
) -> None:
    keep(browser, "mine")
    keep(browser, "ours", "question=bad", shared="1")
    assert names(browser) == ["mine", "ours"]
    for other in (other_operator(), people.browser_of(auditor)):
        assert names(other) == ["ours"]
        mine = SavedFilter.objects.get(name="mine")
        assert other.post(LIST, {"_delete_filter": str(mine.pk)}).status_code == 404
    assert SavedFilter.objects.count() == 2
    assert SavedFilter.objects.visible_to(alice, "view").count() == 0


def test_an_auditor_keeps_his_own_and_shares_nothing(browser: Client, auditor: User) -> None:
    reading = people.browser_of(auditor)
    keep(reading, "his")
    assert names(reading) == ["his"]
    assert told(keep(reading, "for all", shared="1")) == "Only an admin may do this, and only while he acts as one."
    keep(browser, "ours", shared="1")
    answer = reading.post(LIST, {"_delete_filter": str(SavedFilter.objects.get(name="ours").pk)})
    assert told(answer) == "You are viewer of this saved filter; edit needs manager."
    assert set(SavedFilter.objects.values_list("name", flat=True)) == {"his", "ours"}


@pytest.mark.parametrize("pk", ["0", "x", "-1", "9" * 30, "²", ""])
def test_forgetting_what_is_not_there(pk: str, browser: Client) -> None:
    assert browser.post(LIST, {"_delete_filter": pk}).status_code == 404


def test_outsiders_keep_nothing(alice: User) -> None:
    keep(people.browser_of(alice), "x")
    assert not SavedFilter.objects.exists()


# --- What stands beside a person, a team, a cluster -------------------------------------------------------------------


def panels(browser: Client, row: Model) -> dict[str, Any]:
    answer = browser.get(url_of(row._meta.label_lower, "change", row.pk))
    return {panel.title: panel for panel in answer.context["panels"]}


def test_a_person_with_what_he_holds_and_does(browser: Client) -> None:
    experiment = make_row(1)
    make_row(2)
    found = panels(browser, experiment.run.owner)
    assert list(found) == ["Live tokens", "Teams", "Quota", "Recent experiments"]
    shown = {title: len(panel.rows) for title, panel in found.items()}
    assert shown == {"Live tokens": 1, "Teams": 1, "Quota": 1, "Recent experiments": 1}
    page = browser.get(url_of("accounts.user", "change", experiment.run.owner_id)).text
    for words in ("token-1", "Team 1", "job-1", "<progress"):
        assert words in page
    for words in ("token-2", "Team 2", "job-2"):
        assert words not in page


def test_links_of_panels_lead_to_exactly_the_rest(browser: Client) -> None:
    experiment = make_row(1)
    make_row(2)
    rows: Iterable[Model] = (experiment.run.owner, experiment.run.team, experiment.workload.cluster)  # type: ignore[assignment]
    for row in rows:
        for title, panel in panels(browser, row).items():
            if panel.url and title != "Quota":
                assert browser.get(panel.url).context["cl"].result_count == len(panel.rows), (row, title)


def test_teams_organizations_and_clusters(browser: Client) -> None:
    experiment = make_row(1)
    team = experiment.run.team
    assert team is not None
    assert list(panels(browser, team)) == ["Quota", "Recent experiments"]
    assert len(panels(browser, team)["Quota"].rows) == 2  # the team's own, and its member's
    assert list(panels(browser, team.organization)) == ["Teams", "Quota"]
    assert [len(panel.rows) for panel in panels(browser, experiment.workload.cluster).values()] == [1]


def test_panels_are_short_however_much_there_is(browser: Client) -> None:
    experiment = make_row(1)
    owner = experiment.run.owner
    few = _queries(browser, url_of("accounts.user", "change", owner.pk))
    for no in range(12):
        submit(owner, cluster="cluster-1", name=f"more-{no}")
        accounts.issue_token(owner, by=owner, name=f"more-{no}")
    assert _queries(browser, url_of("accounts.user", "change", owner.pk)) == few
    found = panels(browser, owner)
    assert (len(found["Live tokens"].rows), len(found["Recent experiments"].rows)) == (8, 8)


def _queries(browser: Client, url: str) -> int:
    from tests.admin.test_queries import queries

    return len(queries(browser, url))
