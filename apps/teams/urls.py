from django.urls import path

from apps.teams import views

urlpatterns = [
    path("teams/", views.TeamListView.as_view(), name="team-list"),
    path("teams/<slug:slug>/", views.TeamView.as_view(), name="team"),
    path("teams/<slug:slug>/history/", views.TeamHistoryView.as_view(), name="team-history"),
    path("teams/<slug:slug>/members/", views.MemberAddView.as_view(), name="team-member-add"),
    path("teams/<slug:slug>/members/<int:pk>/", views.MemberChangeView.as_view(), name="team-member-change"),
]
