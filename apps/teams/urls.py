from django.urls import path

from apps.teams.views import joining, members

_TEAM = "teams/<slug:slug>/"
_ACCOUNT = f"{_TEAM}service-accounts/<str:name>/"

urlpatterns = [
    path("join/<str:token>/", joining.JoinView.as_view(), name="join"),
    path("teams/", members.TeamListView.as_view(), name="team-list"),
    path(_TEAM, members.TeamView.as_view(), name="team"),
    path(f"{_TEAM}history/", members.TeamHistoryView.as_view(), name="team-history"),
    path(f"{_TEAM}members/", members.MemberAddView.as_view(), name="team-member-add"),
    path(f"{_TEAM}members/<int:pk>/", members.MemberChangeView.as_view(), name="team-member-change"),
    path(f"{_TEAM}invitations/", members.InviteView.as_view(), name="team-invite"),
    path(
        f"{_TEAM}invitations/<uuid:pk>/revoke/", members.InvitationRevokeView.as_view(), name="team-invitation-revoke"
    ),
    path(f"{_TEAM}service-accounts/", members.ServiceAccountAddView.as_view(), name="team-service-account-add"),
    path(_ACCOUNT, joining.ServiceAccountView.as_view(), name="team-service-account"),
    path(f"{_ACCOUNT}tokens/", joining.ServiceTokenAddView.as_view(), name="team-service-token-add"),
]
