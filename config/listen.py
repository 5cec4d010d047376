"""Listening sockets, which one process opens and others may inherit."""

import socket


def bind(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises: OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.listen(1024)
    return bound
