from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.experiments.api import queue, views

router = SimpleRouter()
router.register("experiments", views.ExperimentViewSet, basename="api-experiment")

urlpatterns = [
    *router.urls,
    re_path(
        r"^code/(?P<ref>sha256:[0-9a-f]{64})/$",
        views.UploadView.as_view({"get": "retrieve", "put": "update"}),
        name="api-code",
    ),
    path("spec-schema/", views.SpecSchemaView.as_view({"get": "retrieve"}), name="api-spec-schema"),
    path("queue/", queue.QueueViewSet.as_view({"get": "list"}), name="api-queue"),
    path("quotas/what-if/", queue.WhatIfView.as_view({"post": "create"}), name="api-quota-what-if"),
    path("usage/", views.UsageView.as_view({"get": "retrieve"}), name="api-usage"),
]
