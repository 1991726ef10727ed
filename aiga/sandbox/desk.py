"""Answers what a program asks, on our side of the wall; its clock stands still until all it asked is answered."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiga.sandbox import broker
from aiga.sandbox.protocol import Serve


class Desk:
    """`send` takes the frames for the program; `end` ends it, when `serve` has raised `error`."""

    def __init__(
        self, serve: Serve, clock: asyncio.Timeout, send: Callable[[bytes], object], end: Callable[[], object]
    ) -> None:
        self.error: Exception | None = None
        self.stopped = 0.0
        """Seconds that the clock stood still."""
        self._serve, self._clock, self._send, self._end = serve, clock, send, end
        self._left, self._since = 0.0, 0.0
        self._answers: set[asyncio.Task[None]] = set()

    def ask(self, payload: bytes) -> None:
        """A question has come; ValueError or RecursionError: it is none, or one too many."""
        number, request = payload[: broker.NUMBER.size], json.loads(payload[broker.NUMBER.size :])
        if len(number) < broker.NUMBER.size:
            raise ValueError("a question without a number.")
        if len(self._answers) == broker.MOST_OPEN:
            raise ValueError("more open questions than are allowed.")
        if not self._answers:
            self._stop()
        answer = asyncio.create_task(self._answer(number, request))
        self._answers.add(answer)
        answer.add_done_callback(self._answered)

    async def _answer(self, number: bytes, request: Any) -> None:
        try:
            reply = json.dumps(await self._serve(request)).encode()
        except Exception as error:
            self.error = self.error or error
            self._end()
            return
        self._send(broker.frame(broker.ANSWER, number + reply))

    def _answered(self, answer: "asyncio.Task[None]") -> None:
        self._answers.discard(answer)
        if not self._answers:
            now = asyncio.get_running_loop().time()
            self.stopped += now - self._since
            self._clock.reschedule(now + self._left)

    def _stop(self) -> None:
        when = self._clock.when()
        assert when is not None
        self._since = asyncio.get_running_loop().time()
        self._left = when - self._since
        self._clock.reschedule(None)

    async def close(self) -> None:
        """Leave what is still open unanswered."""
        for answer in self._answers:
            answer.remove_done_callback(self._answered)
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
