"""What a workforce knows of its workers: the table of tasks that each was given, and how a worker is spoken to."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aiga.runs.pools import Chunk, Seconds

SHORT = 0.01
"""Seconds of work that a worker is given at a time where the caller allows it."""
MOST = 256
"""Tasks that a worker is given at a time at most."""
RECENT = 0.2
"""Weight of the latest task in the mean duration of its kind."""
Answer = tuple[float, Callable[[], tuple[Any, str | None]]]
"""The seconds that a task ran, and what reads its outcome: (value, None), or (exception, its traceback)."""


@runtime_checkable
class Worker(Protocol):
    """Does the calls it is given, in order; tells its workforce of answers, and once of its end."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report to this loop."""
        ...

    def detach(self) -> None:
        """Report to no loop."""
        ...

    def give(self, calls: Sequence[Any]) -> None: ...

    def kill(self) -> None:
        """End at once, and report the end."""
        ...

    def dismiss(self) -> None:
        """End when the calls are done, without a report."""
        ...

    def bury(self, patience: Seconds) -> int | None:
        """Wait for the end, force it after so many seconds; the exit code."""
        ...


@dataclass(eq=False)
class Task:
    """A call, and the future of its result."""

    name: str
    call: Any
    future: asyncio.Future[Any]
    timeout: Seconds | None
    chunk: Chunk
    needs: Hashable
    attempts: int = 0
    alone: bool = False
    """It shared a table with others when its worker died: next time it has a worker for itself."""
    member: "Member | None" = None


@dataclass(eq=False)
class Member:
    """A worker and the table of what it was given and has not answered; the first is the one that runs."""

    worker: Worker
    needs: Hashable
    ready: bool
    """Calls can be sent to it."""
    here: bool = False
    """It has arrived, and runs what it was given."""
    table: deque[Task] = field(default_factory=deque)
    answers: int = 0
    leaving: bool = False
    alarm: asyncio.TimerHandle | None = None

    def hush(self) -> None:
        """Cancel the alarm of what ran."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


class Pace:
    """How long tasks take of late, by their names, and so how many of them make a share of work."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._seconds: dict[str, float] = {}

    def note(self, name: str, seconds: float) -> None:
        mean = self._seconds.get(name, seconds)
        self._seconds[name] = mean + RECENT * (seconds - mean)

    def share(self, name: str, chunk: Chunk, timeout: Seconds | None) -> int:
        """How many such tasks a worker may have at a time; one, if each has a time limit."""
        if timeout is not None:
            return 1
        seconds = self._seconds.get(name, SHORT)
        if chunk != "auto":  # if it is short work, the next chunk waits beside it
            return min(2 * chunk if 2 * chunk * seconds < SHORT else chunk, self.most)
        return max(1, min(self.most, int(SHORT / max(seconds, 1e-9))))


def deliver(task: Task, read: Callable[[], tuple[Any, str | None]]) -> None:
    """Settle the future of a task that was answered."""
    try:
        value, trace = read()
    except Exception as error:
        task.future.set_exception(TypeError(f"the result of `{task.name}` cannot be read in this process: {error}"))
        return
    if trace is None:
        task.future.set_result(value)
        return
    if trace:
        value.add_note(f"In the worker:\n{trace}")
    task.future.set_exception(value)
