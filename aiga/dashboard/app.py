"""The dashboard's answers: a page, its scripts, and JSON about runs."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from aiga.core.errors import UsageError
from aiga.dashboard import places, wire, work
from aiga.dashboard.jobs import Answers, Lane
from aiga.dashboard.live import Watcher
from aiga.dashboard.places import Root
from aiga.dashboard.security import INERT, Guard

STATIC = Path(__file__).parent / "static"
READING, DRAWING, COMPUTING = 15.0, 60.0, 300.0
"""Seconds that a question may take: facts, figures, and what needs jax."""
LONGEST_QUESTION = 16 << 10
"""Bytes of the body of a question."""
MOST_COMPARED = 60


class Settings(NamedTuple):
    """How a dashboard is run."""

    directory: Path
    token: str = ""
    """Empty: nobody is asked for one."""
    local: bool = True
    """Whether it listens on the loopback interface alone."""
    trusted: bool = False
    """Whether systems that are files may run their own figures and replays."""


def make_app(settings: Settings, ended: Callable[[], bool] = lambda: False) -> Guard:
    """The application.

    Args:
        settings: How it is run.
        ended: Whether the server is about to stop, so that streams end.
    """
    dashboard = Dashboard(settings, ended)
    routes = [
        Route("/", dashboard.index),
        Route("/plotly.js", dashboard.plotly),
        Route("/api/themes", dashboard.themes),
        Route("/api/runs", dashboard.runs),
        Route("/api/live", dashboard.live),
        Route("/api/run", dashboard.run),
        Route("/api/figures", dashboard.figures),
        Route("/api/individual", dashboard.individual),
        Route("/api/replay", dashboard.replay, methods=["POST"]),
        Route("/api/compare", dashboard.compare),
        Route("/api/calls", dashboard.calls),
        Route("/media", dashboard.media),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: Any = {UsageError: dashboard.refused}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=dashboard.lifespan)
    return Guard(app, token=settings.token, local=settings.local)


class Dashboard:
    """What is asked and answered."""

    def __init__(self, settings: Settings, ended: Callable[[], bool]) -> None:
        self.settings, self.ended = settings, ended
        self.root = Root(settings.directory)
        self.answers = Answers(ended)
        self.reading, self.drawing, self.computing = (
            Lane(seconds, self.answers.wanted) for seconds in (READING, DRAWING, COMPUTING)
        )
        self.watcher = Watcher(self.root, self.reading)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        self.watcher.start()
        yield
        self.watcher.close()
        self.answers.close()
        for lane in (self.reading, self.drawing, self.computing):
            lane.close()

    async def index(self, request: Request) -> Response:
        del request
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def plotly(self, request: Request) -> Response:
        """The plotting library, as the installed package has it."""
        del request
        from plotly.offline import get_plotlyjs

        script = await asyncio.to_thread(get_plotlyjs)
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    async def themes(self, request: Request) -> Response:
        return _json(await self.answers.get("themes", None, lambda: self.drawing.ask(work.themes)), request)

    async def runs(self, request: Request) -> Response:
        del request
        rows = await self.watcher.listed(patience=0.8)
        facts = {"directory": str(self.root.given), "version": version("aiga"), "plotly": version("plotly")}
        return _json(wire.dumps(facts | {"runs": rows, "complete": self.watcher.complete}).encode())

    async def live(self, request: Request) -> Response:
        del request
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self.watcher.changes(self.ended), media_type="text/event-stream", headers=headers)

    async def run(self, request: Request) -> Response:
        name = request.query_params.get("run", "")
        return await self._told(request, self.reading, name, work.page, self.settings.trusted)

    async def figures(self, request: Request) -> Response:
        """The figures of a view; what else stands in the address are choices."""
        choices = dict(request.query_params)
        name, view = choices.pop("run", ""), choices.pop("view", "")
        lane = self.computing if await asyncio.to_thread(_needs_jax, view) else self.drawing
        return await self._told(request, lane, name, work.figures, view, _Choices(choices), self.settings.trusted)

    async def individual(self, request: Request) -> Response:
        name, who = (request.query_params.get(part, "") for part in ("run", "name"))
        return await self._told(request, self.drawing, name, work.individual, who, self.settings.trusted)

    async def replay(self, request: Request) -> Response:
        question = await _body(request)
        name, who = str(question.get("run", "")), str(question.get("name", ""))
        return await self._told(request, self.computing, name, work.replay, who, self.settings.trusted)

    async def compare(self, request: Request) -> Response:
        """Runs side by side: those named, or all below a folder, which may be that of a claim."""
        query = request.query_params
        names, folder = query.getlist("run"), query.get("folder")
        place = None if folder is None else await asyncio.to_thread(self.root.run, folder)
        if folder is not None:
            names += [name for name in (await asyncio.to_thread(self.root.runs)).names if name.startswith(f"{folder}/")]
        if not 2 <= len(names) <= MOST_COMPARED:
            raise UsageError(f"runs chosen to be compared: {len(names)}; choose 2 to {MOST_COMPARED}.")
        paths = await asyncio.to_thread(self._sound, names)
        state = tuple(places.signature(path) for path in paths)
        choices = _Choices({k: v for k, v in query.items() if k not in ("run", "folder")})
        if place is not None and not choices and os.path.lexists(place / "claim.json"):
            computed = lambda: self.drawing.ask(work.claim, str(place))  # noqa: E731
        else:
            computed = lambda: self.drawing.ask(work.comparison, [*map(str, paths)], dict(choices))  # noqa: E731
        question = ("compare", tuple(names), folder, choices)
        return _json(await self.answers.get(question, state, computed, request.is_disconnected), request)

    def _sound(self, names: list[str]) -> list[Path]:
        """The folders of runs, if nothing speaks against opening their files."""
        paths = [self.root.run(name) for name in names]
        for path in paths:
            if fault := places.faults(path):
                raise UsageError(f"{path.name}: {fault}")
        return paths

    async def calls(self, request: Request) -> Response:
        query = request.query_params
        start = query.get("start", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 12):
            raise UsageError(f"`start` is {start[:20]!r}: give a whole number from zero on.")
        wanted = query.get("text", "")[:500], query.get("outcome", "")[:200], int(start)
        return await self._told(request, self.reading, query.get("run", ""), work.calls, *wanted)

    async def media(self, request: Request) -> Response:
        """A picture, film or text that a run left; whatever is in it, it can only be looked at."""
        query = request.query_params
        path = await asyncio.to_thread(self.root.file, query.get("run", ""), query.get("path", ""))
        kind = places.media_type(path)
        shown = kind.startswith(("image/", "video/", "text/plain"))
        headers = {"Content-Security-Policy": INERT, "Cache-Control": "no-cache"}
        disposition = "inline" if shown else "attachment"
        return FileResponse(
            path, media_type=kind, headers=headers, filename=path.name, content_disposition_type=disposition
        )

    async def refused(self, request: Request, error: Exception) -> Response:
        """A sentence for the page."""
        del request
        sentence = self.root.plain(str(error))[:1_000]
        return JSONResponse({"error": wire.cut(sentence)}, status_code=422, headers={"Cache-Control": "no-store"})

    async def _told(
        self, request: Request, lane: Lane, name: str, function: Callable[..., bytes], *arguments: Any
    ) -> Response:
        """What a worker says about a run, computed once for as long as the run does not change."""
        (path,) = await asyncio.to_thread(self._sound, [name])
        plain = [dict(argument) if isinstance(argument, _Choices) else argument for argument in arguments]
        question = (function.__name__, name, *arguments)
        computed = lambda: lane.ask(function, str(path), *plain)  # noqa: E731
        state = places.signature(path)
        return _json(await self.answers.get(question, state, computed, request.is_disconnected), request)


class _Choices(tuple[tuple[str, str], ...]):
    """Choices as a value that can be a key."""

    def __new__(cls, choices: Mapping[str, str]) -> "_Choices":
        return super().__new__(cls, sorted(choices.items()))


def _needs_jax(view: str) -> bool:
    from aiga.inspect import views

    return view in views.VIEWS and views.needs_jax(view)


def _json(text: bytes, request: Request | None = None) -> Response:
    """The answer, or only that it is still the same."""
    tag = f'"{hashlib.sha256(text).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache, private"}
    if request is not None and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="application/json", headers=headers)


async def _body(request: Request) -> Mapping[str, Any]:
    """The question in the body, a JSON object."""
    text = b""
    async for chunk in request.stream():
        text += chunk
        if len(text) > LONGEST_QUESTION:
            raise UsageError(f"the question has more than {LONGEST_QUESTION:,} bytes.")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("the question is not a JSON object.")
    return value
