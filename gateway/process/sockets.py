"""Listening sockets of a service: opened by itself, or inherited from a supervisor by number."""

import socket

from gateway.config import ConfigurationError
from gateway.process.serving import BACKLOG

Descriptors = tuple[int | None, int | None]
"""Inherited sockets of a service and of its metrics, where there are any."""


Listening = tuple[socket.socket, socket.socket]
"""The socket of a service, and of its metrics."""


def sockets(listen: tuple[str, str], fds: Descriptors) -> Listening:
    """The listening sockets: inherited by number where one is given, else opened as configured."""
    first, second = (
        f"fd:{fd}" if fd is not None else text for text, fd in zip(listen, fds, strict=True)
    )
    return opened(first), opened(second)


def opened(listen: str) -> socket.socket:
    """One listening socket, of HOST:PORT or fd:N. Raises ConfigurationError."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or not host:
        raise ConfigurationError(f"{listen}: expected HOST:PORT or fd:N")
    try:
        if host == "fd":
            return socket.socket(fileno=int(port))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"cannot listen on {listen}: {error}") from None


def url(listening: socket.socket) -> str:
    """Where a socket is reached on this machine."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
