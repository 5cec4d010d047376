"""Every websocket route."""

from channels.routing import URLRouter

from apps.accounts.socket_auth import socket_auth
from apps.experiments.routing import websocket_urlpatterns

application = socket_auth(URLRouter(list(websocket_urlpatterns)))
