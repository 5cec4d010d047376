from django.urls import path

from apps.sharing import views

_OBJECT = "share/<slug:kind>/<uuid:pk>"

urlpatterns = [
    path(f"{_OBJECT}/", views.SharePage.as_view(), name="share"),
    path(f"{_OBJECT}/add/", views.ShareAddView.as_view(), name="share-add"),
    path(f"{_OBJECT}/remove/", views.ShareRemoveView.as_view(), name="share-remove"),
    path(f"{_OBJECT}/visibility/", views.VisibilityView.as_view(), name="share-visibility"),
    path(f"{_OBJECT}/owner/", views.OwnerView.as_view(), name="share-owner"),
    path(f"{_OBJECT}/ask/", views.AskView.as_view(), name="share-ask"),
    path("requests/", views.RequestsView.as_view(), name="requests"),
    path("requests/<uuid:pk>/decide/", views.DecideView.as_view(), name="request-decide"),
    path("requests/<uuid:pk>/withdraw/", views.WithdrawView.as_view(), name="request-withdraw"),
]
