from django.urls import path

from apps.lineage import views

urlpatterns = [path("lineage/<slug:kind>/<uuid:pk>/", views.LineageView.as_view(), name="lineage")]
