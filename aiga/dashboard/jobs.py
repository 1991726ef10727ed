"""Work that a run's content could make slow, large or fatal: done in a process that may be killed.

Each lane has one worker.  What takes too long is ended, and its worker with it; the next question finds a new one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from aiga.core.errors import UsageError
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Lost

KEPT = 128 << 20
"""Bytes of answers that are remembered."""


class Lane:
    """One worker process, and how long it may take for an answer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._pool: LocalPool | None = None
        self._turn = asyncio.Lock()

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of `function(*arguments)` in the worker; questions are answered one after the other.

        Raises:
            UsageError: It took too long, its process was killed, or it failed.
        """
        async with self._turn:
            self._pool = self._pool or LocalPool(1, retries=0)
            try:
                value = await asyncio.wait_for(self._pool.submit(function, *arguments), self.seconds)
            except TimeoutError:
                self.close()
                raise UsageError(f"this took longer than {self.seconds:g} seconds and was ended.") from None
            except asyncio.CancelledError:  # nobody waits for it, and the next question should not either
                self.close()
                raise
            except UsageError:
                raise
            except Exception as error:  # whatever a run's content makes of our code is said of this question alone
                raise UsageError(f"this cannot be shown ({type(error).__name__}: {error}).") from error
        if isinstance(value, Lost):
            raise UsageError("the process that computed this was killed, perhaps for want of memory.")
        return value

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

    async def get(self, question: Hashable, state: Hashable, compute: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer to a question about a run in a state."""
        if question in self._kept and self._kept[question][0] == state:
            self._kept.move_to_end(question)
            return self._kept[question][1]
        if question not in self._asked:
            self._asked[question] = asyncio.create_task(self._compute(question, state, compute))
        task = self._asked[question]
        while not (await asyncio.wait({task}, timeout=0.5))[0]:
            if self._ended():
                raise UsageError("the dashboard is being ended.")
        return await task

    def close(self) -> None:
        """Compute no more."""
        for task in self._asked.values():
            task.cancel()

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
