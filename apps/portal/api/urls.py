from django.urls import path

from apps.portal.api import audit

urlpatterns = [
    path("audit/", audit.TrailView.as_view({"get": "list"}), name="api-audit"),
    path("audit/export/", audit.ExportView.as_view({"get": "retrieve"}), name="api-audit-export"),
]
