"""The address that a server listens on."""

import contextlib
import socket


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address, and does not listen yet.

    Parameters
    ----------
    host : str
        A name or an address, of IPv4 or IPv6.
    port : int
        0: any that is free.

    Returns
    -------
    socket

    Raises
    ------
    ValueError
        There is no such address, or it is in use.
    """
    if not 0 <= port < 65536:
        raise ValueError(f"port {port} is not in 0..65535")
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"cannot listen on {host} port {port}: {reason}") from None
        stack.pop_all()  # the caller closes it
        return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
