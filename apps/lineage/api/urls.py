from django.urls import path

from apps.lineage.api import views

urlpatterns = [
    path("lineage/<str:kind>/<str:id>/", views.LineageAPI.as_view({"get": "retrieve"}), name="api-lineage"),
]
