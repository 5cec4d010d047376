"""The two ports. The supervisor binds them, so that they stay ours while the web process is being replaced."""

import errno
import socket

import psutil

from config.embedded.errors import StartError
from config.listen import bind


def bind_ports(host: str, port: int, content_port: int) -> list[socket.socket]:
    """Bind the platform's and the content's port. Raises: StartError naming who has it."""
    bound: list[socket.socket] = []
    for option, number in (("--port", port), ("--content-port", content_port)):
        try:
            bound.append(bind(host, number))
        except OSError as error:
            for other in bound:
                other.close()
            raise StartError(_why(host, number, option, error)) from error
    return bound


def _why(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken{_by_whom(port)}: choose another, for example {option} {_suggestion(host, port)}."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"Port {port} may not be used by this user: choose one above 1023 with {option}."
    return f"{host} cannot be listened on: {error.strerror}; choose another address with --host."


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):  # other users' sockets are not ours to see
        pass
    return ""


def _suggestion(host: str, port: int) -> int:
    for other in range(port + 2, min(port + 100, 65535)):
        try:
            bind(host, other).close()
        except OSError:
            continue
        return other
    return 0
