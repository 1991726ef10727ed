"""Asking until there is an answer: the one place that waits, pays, records and tries again.

reserve the worst case -> ask, within the time -> pay what it was -> write it down -> try again, or give up
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from aiga.core.errors import UsageError
from aiga.fm.cache import Call, Calls, Memory
from aiga.fm.messages import ModelFailed, Usage
from aiga.fm.providers import Failure

AGAIN = ("rate", "server", "timeout", "cut", "unreachable", "malformed", "empty")
"""Failures after which the same request is sent again."""
REPAIRS = 2
"""How often a model may mend a reply that does not fit its schema."""
LONGEST_BACKOFF = 60.0
PATIENCE = 600.0
"""Seconds.  A server that asks for a longer wait stops the run."""
OPEN: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[Any]] = weakref.WeakKeyDictionary()
"""Models, kept until their event loop ends: it closes them then, and with them their connections."""


@runtime_checkable
class Reservation(Protocol):
    """Part of a budget, set aside for one attempt."""

    def commit(self, **actual: float | int | None) -> None:
        """What was used in the end; `usd` None: nobody knows the price."""
        ...

    def release(self) -> None: ...


@runtime_checkable
class Meter(Protocol):
    """A budget: `aiga.safety.budget.Budget` is one."""

    async def reserve(self, **amounts: float | int | None) -> Reservation:
        """Set amounts of `usd`, `tokens` and `calls` aside, or raise BudgetExceeded."""
        ...


class Question(NamedTuple):
    """What is sent, until it is answered."""

    request: str
    """As it is recorded."""
    tokens: int
    """At most, in and out."""
    usd: float | None
    """At most; None: nobody knows the price, and it counts as nothing."""
    send: Callable[[Any], Awaitable[Any]]
    """Asks a model once; the answer has `usage` and `cost`.  Raises Failure."""
    written: Callable[[Any], str]
    """The answer as JSON."""
    fault: Callable[[Any], Failure | None]
    """What is wrong with an answer that came."""
    repaired: Callable[[Any, Failure], "Question"] | None = None
    """The question that shows the model what was wrong."""


class Once(NamedTuple):
    """How one attempt went."""

    answer: Any
    """None: nothing came."""
    failure: Failure | None
    usage: Usage
    usd: float
    seconds: float


class _Session:
    """What belongs to one event loop: the open model, and who may use it now."""

    def __init__(self, model: AsyncGenerator[Any, None], concurrency: int) -> None:
        OPEN.setdefault(asyncio.get_running_loop(), []).append(model)
        self.model = asyncio.ensure_future(anext(model))
        self.room = asyncio.Semaphore(concurrency)
        self.slot = 0.0


class Attempts:
    """All that is asked of one model.

    Args:
        name: The model's, as users know it.
        opened: Opens the model; closes it as a generator.
        calls: Where attempts are recorded; None: in memory.
        meter: What attempts are paid from; None: not counted.
        replay: Answer only from what is recorded.
        concurrency: Most attempts at the same time.
        per_minute: Most attempts begun in a minute; None: any.
        timeout: Seconds for an attempt.
        say: Told why we wait, and "" when nobody waits any more.
        retries: Attempts after the first.
        backoff: Seconds before the second attempt; doubled before each further one.
    """

    def __init__(
        self,
        name: str,
        opened: Callable[[], AsyncGenerator[Any, None]],
        *,
        calls: Calls | None = None,
        meter: Meter | None = None,
        replay: bool = False,
        concurrency: int = 64,
        per_minute: float | int | None = None,
        timeout: float | int = 120.0,
        say: Callable[[str], None] | None = None,
        retries: int = 5,
        backoff: float | int = 1.0,
    ) -> None:
        self.name, self.opened = name, opened
        self.calls: Calls = Memory() if calls is None else calls
        self.meter, self.replay, self.timeout, self.retries, self.backoff = meter, replay, timeout, retries, backoff
        self.concurrency, self.per_minute = concurrency, per_minute
        self.say = say or (lambda text: None)
        self._waiting = 0
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def answer(self, key: str, task: str, question: Question) -> Any:
        """The answer; or, if there was one already, the JSON of it.

        Raises:
            ModelFailed: There is none, and there was none when this was asked before.
            UsageError: Nothing is recorded and this is a replay.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # who asks the same at the same time waits, and finds the answer recorded
            call = self.calls.get(key)
            if call is None and self.replay:
                raise UsageError(
                    f"the run holds no reply to this call of `{task}` (key {key[:16]}), and a replay asks no model: "
                    "replay with the version and options that it was recorded with, or resume without replay."
                )
            if call is None:
                return await self._ask(key, task, question)
        if call.outcome != "ok":
            raise ModelFailed(call.outcome, json.loads(call.reply)["message"])
        return call.reply

    async def _ask(self, key: str, task: str, question: Question) -> Any:
        failures, repairs, usage, usd = 0, 0, Usage(), 0.0
        for attempt in itertools.count(1):
            once = await self._once(question)
            usage, usd = Usage(*map(sum, zip(usage, once.usage, strict=True))), usd + once.usd
            row = Call(
                key, attempt, task, self.name, question.request, "ok", "", *once.usage[:2], once.usd, once.seconds
            )
            failure = once.failure
            if failure is None:
                answer = once.answer._replace(usage=usage, cost=usd)
                self.calls.put(row._replace(reply=question.written(answer), final=True))
                return answer
            repair = question.repaired if failure.kind == "invalid" and repairs < REPAIRS else None
            again = failure.kind in AGAIN and failures < self.retries and (failure.after or 0.0) <= PATIENCE
            end = None if repair or again else self._end(failure, attempt)
            told = json.dumps({"message": str(end or failure), "text": getattr(once.answer, "text", "")})
            self.calls.put(row._replace(outcome=failure.kind, reply=told, final=isinstance(end, ModelFailed)))
            if end:
                raise end
            if repair:
                repairs, question = repairs + 1, repair(once.answer, failure)
            else:
                failures += 1
                await self._wait(failure, failures)
        raise AssertionError

    async def _once(self, question: Question) -> Once:
        """One attempt, paid."""
        session = self._session()
        async with session.room:
            await self._pace(session)
            reservation = await self._reserve(question)
            try:
                once = await self._send(session, question)
            except BaseException:
                if reservation is not None:
                    reservation.release()
                raise
            if reservation is not None:
                usd = None if question.usd is None else once.usd
                reservation.commit(usd=usd, tokens=sum(once.usage), calls=1)
            return once

    async def _send(self, session: _Session, question: Question) -> Once:
        model = await asyncio.shield(session.model)
        began, answer = time.monotonic(), None
        try:
            async with asyncio.timeout(self.timeout):
                answer = await question.send(model)
            failure = question.fault(answer)
        except TimeoutError:
            failure = Failure("timeout", f"no reply within {self.timeout:g} seconds")
        except Failure as caught:
            failure = caught
        usage, usd = (Usage(), 0.0) if answer is None else (answer.usage, answer.cost)
        return Once(answer, failure, usage, usd, time.monotonic() - began)

    async def _reserve(self, question: Question) -> Reservation | None:
        if self.meter is None:
            return None
        return await self.meter.reserve(usd=question.usd, tokens=question.tokens, calls=1)

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            self._sessions = {old: session for old, session in self._sessions.items() if not old.is_closed()}
            self._sessions[loop] = _Session(self.opened(), self.concurrency)
        return self._sessions[loop]

    async def _pace(self, session: _Session) -> None:
        if self.per_minute is None:
            return
        now = time.monotonic()
        session.slot = max(session.slot, now)
        wait, session.slot = session.slot - now, session.slot + 60.0 / self.per_minute
        await asyncio.sleep(wait)

    async def _wait(self, failure: Failure, failures: int) -> None:
        longest = min(LONGEST_BACKOFF, self.backoff * 2.0 ** (failures - 1))
        wait = max(random.uniform(0.5, 1.0) * longest, failure.after or 0.0)
        with self._said(f"{self.name}: {failure.kind}, asked again in {wait:.1f} s ({failures} of {self.retries})"):
            await asyncio.sleep(wait)

    @contextlib.contextmanager
    def _said(self, text: str) -> Iterator[None]:
        self._waiting += 1
        self.say(text if self._waiting == 1 else f"{text}; {self._waiting} calls wait")
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.say("")

    def _end(self, failure: Failure, attempts: int) -> Exception:
        if failure.kind == "unreachable":
            return UsageError(f"{failure}: start the server, or check the address and the network.")
        if (failure.after or 0.0) > PATIENCE:
            return UsageError(f"{self.name} asks to be left alone for {failure.after:.0f} s: `aiga resume` after that.")
        return ModelFailed(failure.kind, f"{self.name}, after {attempts} attempts: {failure}")
