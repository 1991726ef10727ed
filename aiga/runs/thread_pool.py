"""Threads for calls that only wait, such as those that ask a server: nothing is copied, nothing is pinned."""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Any, Literal

from aiga.runs.local_pool import cores
from aiga.runs.pools import Seconds
from aiga.runs.worker import raisable
from aiga.runs.workforce import Workforce

MOST_THREADS = 32
"""Of a pool with `workers="auto"`."""


class ThreadPool(Workforce):
    """Threads of this process; `workers=None` or `"auto"` takes four more than cores, 32 at most.

    A thread cannot be killed: a task that is cancelled or late goes on unheard while another thread takes its place.
    """

    def __init__(self, workers: int | Literal["auto"] | None = None) -> None:
        several = min(MOST_THREADS, cores() + 4)
        super().__init__(several if workers is None or workers == "auto" else workers, retries=0, share=1)

    def _packed(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        return fn, args

    def _started(self, needs: Hashable) -> "tuple[Thread, bool]":
        return Thread(self), True

    def _released(self) -> None:
        """Threads hold nothing."""


class Thread:
    """A thread that takes calls from a queue until it finds None there."""

    def __init__(self, workforce: Workforce) -> None:
        self._workforce = workforce
        self._calls: SimpleQueue[Any] = SimpleQueue()
        self._abandoned = False
        self._thread = threading.Thread(target=self._serve, name="aiga-thread", daemon=True)
        self._thread.start()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """It reports through the workforce."""

    def detach(self) -> None:
        """It reports through the workforce."""

    def give(self, calls: Sequence[Any]) -> None:
        for call in calls:
            self._calls.put(call)

    def kill(self) -> None:
        if not self._abandoned:
            self._abandoned = True
            self._calls.put(None)
            self._workforce.post(self._workforce.ended, self)

    def dismiss(self) -> None:
        self._calls.put(None)

    def bury(self, patience: Seconds) -> int | None:
        if not self._abandoned:
            self._thread.join(patience)

    def _serve(self) -> None:
        self._workforce.post(self._workforce.arrived, self)
        while (call := self._calls.get()) is not None:
            fn, args = call
            began = time.perf_counter()
            outcome: tuple[Any, str | None]
            try:
                outcome = fn(*args), None
            except BaseException as error:
                outcome = raisable(error), ""
            seconds = time.perf_counter() - began
            self._workforce.post(self._workforce.answered, self, [(seconds, lambda outcome=outcome: outcome)])
            del call, fn, args, outcome
