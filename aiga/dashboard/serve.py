"""Where the dashboard listens, and how one gets there."""

import contextlib
import errno
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

from aiga.core.errors import UsageError, require
from aiga.dashboard.security import loopback

PORT = 8420
TRIED = 20
"""Ports after the first that are tried if it is taken."""
SHORTEST_TOKEN = 8


def serve(
    directory: Path,
    say: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str = "",
    trust: bool = False,
    open_browser: bool = False,
) -> None:
    """Show the runs below a directory until Ctrl-C."""
    uvicorn = require("uvicorn", "dashboard")
    require("starlette", "dashboard")
    require("plotly", "dashboard")
    from aiga.dashboard.app import Settings, make_app

    local = loopback(host)
    token = _token(token, local)
    with contextlib.closing(bound(host, port)) as listener:
        quiet = {"log_config": None, "log_level": "error", "access_log": False}  # None: logging is the caller's
        server = uvicorn.Server(uvicorn.Config("", timeout_graceful_shutdown=3, **quiet))
        settings = Settings(directory, token, local, trust)
        server.config.app = make_app(settings, ended=lambda: server.should_exit)
        taken = listener.getsockname()[1]
        if port is None and taken != PORT:
            say(f"Port {PORT} is taken; this is {taken}.")
        place = address(host, taken, token)
        say(f"The runs in {directory}: {place}  (Ctrl-C ends)")
        if open_browser:
            webbrowser.open(place)
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            server.run(sockets=[listener])


def bound(host: str, port: int | None) -> socket.socket:
    """A socket on the port; where none is given, on the first free one from 8420."""
    if port is not None and not 0 <= port < 1 << 16:
        raise UsageError(f"--port is {port}: give a number from 0 (any free one) to {(1 << 16) - 1}.")
    for number in range(PORT, PORT + TRIED) if port is None else (port,):
        try:
            return _listening(host, number)
        except socket.gaierror as error:
            raise UsageError(f"--host {host!r} is no address of this machine: give 127.0.0.1 or 0.0.0.0.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} is taken: give another --port, or none for the next free one."
                ) from error
            raise UsageError(f"{host}:{number} cannot be listened on ({error.strerror}): give another.") from error
    raise UsageError(f"the ports {PORT} to {PORT + TRIED - 1} are all taken: give one with --port.")


def address(host: str, port: int, token: str = "") -> str:
    """What to open in a browser."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _token(given: str, local: bool) -> str:
    if given and (
        len(given) < SHORTEST_TOKEN or not given.isascii() or not given.replace("-", "").replace("_", "").isalnum()
    ):
        raise UsageError(
            f"--token needs {SHORTEST_TOKEN} or more letters, digits, `-` or `_`; without it, one is made."
        )
    return given if given or local else secrets.token_urlsafe(24)


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
