"""Work that a run's content could make slow, large or fatal: done in a process that may be killed.

Each lane has one worker.  What takes too long is ended, and its worker with it; the next question finds a new one.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from aiga.core.errors import UsageError
from aiga.dashboard import work
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Lost

Gone = Callable[[], Awaitable[bool]]
KEPT = 128 << 20
"""Bytes of answers that are remembered."""


class Lane:
    """One worker process, and how long it may take for an answer."""

    def __init__(self, seconds: float, wanted: Callable[[asyncio.Task[Any]], bool] = lambda task: True) -> None:
        """Args:
        seconds: Of an answer.
        wanted: Whether anybody waits for a task; one that nobody waits for makes room for the next question.
        """
        self.seconds = seconds
        self._wanted = wanted
        self._pool: LocalPool | None = None
        self._worker = 0
        self._turn = asyncio.Lock()
        self._running: asyncio.Task[Any] | None = None

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of `function(*arguments)` in the worker; questions are answered one after the other.

        Raises:
            UsageError: It took too long, its process was killed, or it failed.
        """
        if self._running is not None and not self._wanted(self._running):
            self._running.cancel()
        async with self._turn:
            self._running = asyncio.current_task()
            try:
                return await self._answer(function, *arguments)
            finally:
                self._running = None

    async def _answer(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._pool is None:
            self._pool = LocalPool(1, retries=0)
            self._worker = self._alive(await self._pool.submit(work.started))  # it imports what questions need
        try:
            return self._alive(await asyncio.wait_for(self._pool.submit(function, *arguments), self.seconds))
        except TimeoutError:
            self._end()
            raise UsageError(f"this took longer than {self.seconds:g} seconds and was ended.") from None
        except asyncio.CancelledError:  # nobody waits for it, and the next question should not either
            self._end()
            raise
        except UsageError:
            raise
        except Exception as error:  # whatever a run's content makes of our code is said of this question alone
            raise UsageError(f"this cannot be shown ({type(error).__name__}: {error}).") from error

    def _alive(self, value: Any) -> Any:
        """The value, if the worker lived to give it."""
        if isinstance(value, Lost):
            self.close()
            raise UsageError("the process that computed this was killed, perhaps for want of memory.")
        return value

    def _end(self) -> None:
        """End the worker amid a task: at once, since all other questions wait as well."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._worker, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """End the worker; a later question starts another."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None


class Answers:
    """What was computed already, for as long as the run has not changed; the same question is asked once at a time.

    While `ended()`, nobody is kept waiting.
    """

    def __init__(self, ended: Callable[[], bool] = lambda: False) -> None:
        self._ended = ended
        self._kept: OrderedDict[Hashable, tuple[Hashable, bytes]] = OrderedDict()
        self._size = 0
        self._asked: dict[Hashable, asyncio.Task[bytes]] = {}
        self._waiting: Counter[asyncio.Task[Any]] = Counter()

    async def get(
        self, question: Hashable, state: Hashable, compute: Callable[[], Awaitable[bytes]], gone: Gone | None = None
    ) -> bytes:
        """The answer to a question about a run in a state; `gone()`: nobody waits for it any more."""
        if question in self._kept and self._kept[question][0] == state:
            self._kept.move_to_end(question)
            return self._kept[question][1]
        if question not in self._asked:
            task = self._asked[question] = asyncio.create_task(self._compute(question, state, compute))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # also where nobody asks
        return await self._awaited(self._asked[question], gone)

    def wanted(self, task: asyncio.Task[Any]) -> bool:
        """Whether anybody waits for what a task computes."""
        return task not in self._asked.values() or self._waiting[task] > 0

    def close(self) -> None:
        """Compute no more."""
        for task in self._asked.values():
            task.cancel()

    async def _awaited(self, task: asyncio.Task[bytes], gone: Gone | None) -> bytes:
        self._waiting[task] += 1
        try:
            while not (await asyncio.wait({task}, timeout=0.5))[0]:
                if self._ended() or (gone is not None and await gone()):
                    raise UsageError("nobody waits for this any more.")
        finally:
            self._waiting[task] -= 1
            self._waiting += Counter()  # drops those of nobody
        if task.cancelled():
            raise UsageError("this was ended; ask again.")
        return task.result()

    async def _compute(self, question: Hashable, state: Hashable, compute: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            answer = await compute()
        finally:
            del self._asked[question]
        self._forget(question)
        self._kept[question] = state, answer
        self._size += len(answer)
        while self._size > KEPT:
            self._forget(next(iter(self._kept)))
        return answer

    def _forget(self, question: Hashable) -> None:
        if question in self._kept:
            self._size -= len(self._kept.pop(question)[1])
