"""Who may ask, and what a browser may do with the answers.

On the loopback interface the `Host` must name it, so that no page of another site reaches the dashboard through a name
that it points here (DNS rebinding).  Beyond it a token is asked for: once in the address, from then on in a cookie.
"""

import hashlib
import hmac
import secrets
from ipaddress import ip_address
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # plotly compiles what it draws with WebGL; no script stands in a page
        "style-src 'self' 'unsafe-inline'",  # plotly sets styles of its own; a style cannot ask anything of the network
        "img-src 'self' data: blob:",
        "media-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
INERT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""The policy of a file of a run: a picture may draw itself, and nothing else."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
COOKIE = "aiga-dashboard"
MONTH = 30 * 24 * 3600
"""Seconds that a browser keeps the cookie."""


def loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Lets through who may ask, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, *, token: str = "", local: bool = True) -> None:
        self.app, self.token, self.local = app, token, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {"Content-Security-Policy": POLICY, **HEADERS}.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope)
        await (answer or self.app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is said instead of an answer; None: the question may be answered."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.local and not loopback(_without_port(host)):
            return _refused(403, "this address is not that of the dashboard: open it as 127.0.0.1 or localhost")
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return _refused(403, "another site may not read the dashboard")
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin", "").partition("://")[2] != host:
            return _refused(403, "what changes something must be asked from the dashboard's own page")
        return self._stranger(scope, headers) if self.token else None

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if "token" in query and _same(query.pop("token")[0], self.token):
            rest = urlencode(query, doseq=True)
            here = "/" + scope["path"].lstrip("/")  # `//name` would be another site
            answer = RedirectResponse(here + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(COOKIE, _sealed(self.token), max_age=MONTH, httponly=True, samesite="strict")
            return answer
        shown = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(shown, _sealed(self.token)) or _same(bearer, self.token):
            return None
        return _refused(401, "this dashboard asks for its token: open the whole address that `aiga dashboard` printed")


def _sealed(token: str) -> str:
    """What the cookie holds: it opens this dashboard and does not tell the token."""
    return hmac.new(token.encode(), b"aiga dashboard", hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), wanted.encode())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _refused(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"aiga: {sentence}.\n", status_code=status)
