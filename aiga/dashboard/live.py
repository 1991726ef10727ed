"""The list of runs as it is on the disk: looked at every second, while somebody looks at it."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError
from aiga.dashboard import places, wire, work
from aiga.dashboard.jobs import Lane
from aiga.dashboard.places import Root
from aiga.runs import folder

EVERY = 1.0
"""Seconds between two looks; longer where a look takes long."""
ALIVE = 4.0
"""Seconds after which a run that was running is read again: one that was killed changes no file."""
PATIENCE = 20.0
"""Seconds after the last question for which the disk is still looked at."""
SILENCE = 15.0
"""Seconds after which a stream says that it is still there."""
Row = dict[str, Any]


class Watcher:
    """Keeps a row for every run, and tells who listens which rows have changed."""

    def __init__(self, root: Root, lane: Lane) -> None:
        self.root = root
        self.rows: dict[str, Row] = {}
        self.complete = True
        self._lane = lane
        self._seen: dict[str, tuple[Any, float]] = {}
        self._listeners: list[_Listener] = []
        self._asked = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def listed(self, patience: float) -> list[Row]:
        """All rows; those that are not read within `patience` seconds say so."""
        self._asked = time.monotonic()
        await self._find()
        self.start()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(row["status"] == "reading" for row in self.rows.values()):
            await asyncio.sleep(0.02)
        return list(self.rows.values())

    async def changes(self, ended: Callable[[], bool]) -> AsyncIterator[str]:
        """Server-sent events: the rows that changed since the last one, and the names of those that are gone."""
        listener = _Listener()
        self._listeners.append(listener)
        self.start()
        said = time.monotonic()
        try:
            yield "retry: 2000\n\n"
            while not ended():
                with suppress(TimeoutError):
                    await asyncio.wait_for(listener.event.wait(), 0.5)
                names = listener.take()
                if names:
                    rows = [self.rows[name] for name in names if name in self.rows]
                    gone = [name for name in names if name not in self.rows]
                    yield f"data: {wire.dumps({'runs': rows, 'gone': gone})}\n\n"
                    said = time.monotonic()
                elif time.monotonic() - said > SILENCE:
                    yield ": still here\n\n"
                    said = time.monotonic()
        finally:
            self._listeners.remove(listener)

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    def start(self) -> None:
        """Look, until nobody has asked for a while."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self._listeners or time.monotonic() - self._asked < PATIENCE:
            began = time.monotonic()
            await self._find()
            for name in sorted(self.rows, key=lambda name: self.rows[name]["written"], reverse=True):
                await self._look(name)
            await asyncio.sleep(max(EVERY, 5 * (time.monotonic() - began)))

    async def _find(self) -> None:
        """Rows for the runs that are there, and none for those that are not."""
        found = await asyncio.to_thread(self.root.runs)
        self.complete = found.complete
        for name in self.rows.keys() - set(found.names):
            del self.rows[name]
            self._seen.pop(name, None)
            self._tell(name)
        for name in found.names:
            if name not in self.rows:
                self.rows[name] = {**_blank(name, self.root), "written": _written(self.root, name)}

    async def _look(self, name: str) -> None:
        """Read a run again if its files have changed."""
        if name not in self.rows or await asyncio.to_thread(_begins, self.root.path / name):
            return
        state = places.signature(self.root.path / name)
        before, when = self._seen.get(name, (None, 0.0))
        uncertain = self.rows[name]["status"] == "running" and time.monotonic() - when > ALIVE
        if state == before and not uncertain:
            return
        self._seen[name] = state, time.monotonic()
        row = _blank(name, self.root) | {"version": _digest(state), "written": _written(self.root, name)}
        row |= await self._read(name)
        if name in self.rows and row != self.rows[name]:
            self.rows[name] = row
            self._tell(name)

    async def _read(self, name: str) -> Row:
        directory = self.root.path / name
        try:
            if fault := await asyncio.to_thread(places.faults, directory):
                raise UsageError(fault)
            return await self._lane.ask(work.summary, str(directory))
        except UsageError as error:
            return {"status": "unreadable", "fault": self.root.plain(str(error))[:500]}

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener.add(name)


class _Listener:
    """A page that is open somewhere, and what it has not been told."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names[name] = None
        self.event.set()

    def take(self) -> list[str]:
        names, self._names = list(self._names), {}
        self.event.clear()
        return names


def _begins(directory: Path) -> bool:
    """Whether a process is making the run: `run.json` comes last."""
    return not (directory / "run.json").exists() and folder.is_written(directory)


def _blank(name: str, root: Root) -> Row:
    return {"id": name, "command": root.command(name), "status": "reading"}


def _written(root: Root, name: str) -> float:
    """When the run's database was written last, in seconds since 1970."""
    return max(time for time, _ in places.signature(root.path / name)) / 1e9


def _digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:12]
