from django.urls import path

from apps.experiments.consumers import LogConsumer

websocket_urlpatterns = [path("ws/experiments/<uuid:experiment>/logs/", LogConsumer.as_asgi())]
