"""Saved views: who keeps, sees, shares, changes and forgets them; what they keep is what the table understands."""

import pytest

from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.grants import grant
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound, Taken
from apps.tracking import services
from apps.tracking.models import Project, SavedView
from apps.tracking.services import saved_views
from tests.people import Cast


@pytest.fixture
def project(cast: Cast) -> Project:
    return services.create_project("vision", by=cast.alice, team=cast.team)


def seen(by: object) -> set[str]:
    return {view.name for view in SavedView.objects.visible_to(by, "view")}


def test_a_view_is_kept_as_the_table_writes_it(project: Project, cast: Cast) -> None:
    view = services.save_view(project, "  best ", "?sort=-metrics.loss&page=3&unknown=x&q=", by=cast.bob)
    assert (view.name, view.query, view.is_shared) == ("best", "sort=-metrics.loss", False)
    event = AuditEvent.objects.get(action="create", object_id=str(view.pk))
    assert event.actor_label == "bob"
    assert event.data["query"] == "sort=-metrics.loss"


def test_ones_own_is_seen_by_oneself_and_the_shared_by_who_sees_the_project(project: Project, cast: Cast) -> None:
    services.save_view(project, "mine", "", by=cast.bob)
    services.save_view(project, "ours", "", by=cast.alice, is_shared=True)
    assert seen(cast.bob) == {"mine", "ours"}
    assert seen(cast.alice) == {"ours"}
    assert seen(cast.charlie) == set()
    services.update_project(project, by=cast.alice, visibility=Visibility.PRIVATE)
    assert seen(cast.again("bob")) == set()  # also his own: it tells of a project that he may not see
    grant(cast.charlie, project, Role.VIEWER)
    assert seen(cast.again("charlie")) == {"ours"}


def test_to_share_needs_the_right_to_edit_the_project(project: Project, cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        services.save_view(project, "ours", "", by=cast.bob, is_shared=True)
    mine = services.save_view(project, "mine", "", by=cast.bob)
    with pytest.raises(NotAllowed):
        services.update_view(mine, by=cast.bob, is_shared=True)
    mine.refresh_from_db()
    assert not mine.is_shared
    assert SavedView.objects.count() == 1


def test_only_its_owner_changes_it_and_a_manager_of_the_project_clears_up_what_is_shared(
    project: Project, cast: Cast
) -> None:
    ours = services.save_view(project, "ours", "", by=cast.alice, is_shared=True)
    mine = services.save_view(project, "mine", "", by=cast.bob)
    for act in (
        lambda: services.update_view(ours, by=cast.bob, name="his"),
        lambda: services.delete_view(ours, by=cast.bob),
    ):
        with pytest.raises(NotAllowed):
            act()
    with pytest.raises(NotFound):
        services.delete_view(mine, by=cast.alice)
    with pytest.raises(NotFound):
        services.save_view(project, "x", "", by=cast.charlie)
    services.update_view(ours, by=cast.alice, name="ours still", query="limit=25", is_shared=False)
    services.delete_view(mine, by=cast.bob)
    assert list(SavedView.objects.values_list("name", "query", "is_shared")) == [("ours still", "limit=25", False)]
    assert {"update", "delete"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_a_manager_may_forget_a_members_shared_view(project: Project, cast: Cast) -> None:
    grant(cast.dana, project, Role.EDITOR)
    shared = services.save_view(project, "theirs", "", by=cast.again("dana"), is_shared=True)
    services.delete_view(shared, by=cast.alice)
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("name", "query", "field"),
    [
        ("", "", "name"), (" ", "", "name"), ("x" * 61, "", "name"), ("a\x00", "", "name"), ("\ud800", "", "name"),
        ("x", "q=metrics.", "query"), ("x", "col=nothing", "query"), ("x", "sort=nothing", "query"), ("x", "a" * 5000, "query"),
        ("x", "&".join("col=status" for _ in range(300)), "query"), ("x", "q=%00", "query"),
    ],
)  # fmt: skip
def test_what_is_ill_is_refused(name: str, query: str, field: str, project: Project, cast: Cast) -> None:
    with pytest.raises(Invalid) as refusal:
        services.save_view(project, name, query, by=cast.alice)
    assert list(refusal.value.errors) == [field]
    assert not SavedView.objects.exists()


def test_a_name_is_ones_own_once(project: Project, cast: Cast) -> None:
    services.save_view(project, "best", "", by=cast.alice)
    services.save_view(project, "best", "", by=cast.bob)
    with pytest.raises(Taken):
        services.save_view(project, "best", "limit=25", by=cast.alice)
    other = services.save_view(project, "other", "", by=cast.alice)
    with pytest.raises(Taken):
        services.update_view(other, by=cast.alice, name="best")


def test_one_keeps_only_so_many(project: Project, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST_VIEWS", 1)
    services.save_view(project, "one", "", by=cast.alice)
    with pytest.raises(Conflict):
        services.save_view(project, "two", "", by=cast.alice)
    services.save_view(project, "his", "", by=cast.bob)


def test_the_menu_of_an_admin_holds_what_is_his_or_shared(project: Project, cast: Cast) -> None:
    services.save_view(project, "mine", "", by=cast.bob)
    services.save_view(project, "ours", "", by=cast.alice, is_shared=True)
    assert [view.name for view in SavedView.objects.visible_to(cast.sre, "view").offered_to(cast.sre)] == ["ours"]
