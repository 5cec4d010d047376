from django.urls import path

from apps.credentials import views

urlpatterns = [
    path("credentials/", views.CredentialListView.as_view(), name="credential-list"),
    path("credentials/new/", views.NewCredentialView.as_view(), name="credential-new"),
    path("credentials/<uuid:pk>/", views.CredentialView.as_view(), name="credential"),
    path("credentials/<uuid:pk>/edit/", views.EditView.as_view(), name="credential-edit"),
    path("credentials/<uuid:pk>/replace/", views.ReplaceView.as_view(), name="credential-replace"),
    path("credentials/<uuid:pk>/delete/", views.DeleteView.as_view(), name="credential-delete"),
]
