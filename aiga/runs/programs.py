"""Programs of a run in the sandbox: each runs once, and what came of it is kept, unless the run's end was its end."""

import asyncio
import base64
import hashlib
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from aiga.core.errors import Stopped, UsageError
from aiga.runs.store import Store
from aiga.safety.budget import Budget, Reservation
from aiga.sandbox.protocol import USUAL, Limits, Result, Sandbox, Serve

LOOK, LOOKS = 0.05, 4
"""Seconds between two looks whether the run is being stopped, and how many there are."""
SIGNALLED = (128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""How a shell says that what it ran was ended from outside."""


@runtime_checkable
class Host(Protocol):
    """The run that a program is of."""

    store: Store | None
    stopped: Callable[[], bool]
    budget: Budget


class Refusing:
    """The sandbox of a machine that has none."""

    level = "none"

    def __init__(self, error: UsageError) -> None:
        self._error = error

    async def run(self, *_: Any, **__: Any) -> Result:
        raise self._error

    async def call(self, *_: Any, **__: Any) -> Result:
        raise self._error


class KeptSandbox:
    """A sandbox that runs the same program once.

    A program that is served may be answered in many ways: it runs again, and what serves it has its answers kept.
    """

    def __init__(self, sandbox: Sandbox, host: Host) -> None:
        self._sandbox, self._host = sandbox, host
        self.level = sandbox.level

    async def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, str | bytes],
        limits: Limits = USUAL,
        collect: Sequence[str] = (),
        serve: Serve | None = None,
    ) -> Result:
        named = {name: hashlib.sha256(_bytes(data)).hexdigest() for name, data in files.items()}
        key = None if serve else key_of("run", list(argv), named, limits, list(collect))
        return await self._once(
            key, serve, lambda paid: self._sandbox.run(argv, files=files, limits=limits, collect=collect, serve=paid)
        )

    async def call(
        self,
        code: str,
        function: str = "main",
        arguments: Sequence[Any] = (),
        *,
        limits: Limits = USUAL,
        serve: Serve | None = None,
    ) -> Result:
        key = None if serve else key_of("call", code, function, list(arguments), limits)
        return await self._once(
            key, serve, lambda paid: self._sandbox.call(code, function, arguments, limits=limits, serve=paid)
        )

    async def _once(self, key: str | None, serve: Serve | None, work: Callable[[Serve | None], Any]) -> Result:
        store = self._host.store
        if store is not None and key is not None:
            row = store.look_up("SELECT result FROM programs WHERE key = ?", key)
            if row is not None:
                return _result(row[0])
        async with await self._host.budget.reserve(evaluations=1) as reservation:
            payment = Payment(reservation, serve)
            result = await work(payment if serve else None)
            ended = result.outcome == "killed" or result.code in SIGNALLED
            if ended and await self._stopping():
                raise Stopped  # the same signal may have ended the program, and its end says nothing of it
            payment.make()
        if store is not None:
            store.append("programs", (key, result.outcome, _json(result) if key else None, result.seconds))
        return result

    async def _stopping(self) -> bool:
        """Whether the run is being stopped; a signal that goes to everybody may reach us last."""
        for _ in range(LOOKS):
            if self._host.stopped():
                return True
            await asyncio.sleep(LOOK)
        return False


class Payment:
    """Of a program: made at its end, or when it first asks.

    At a run's end we wait for what is not paid, and answer no more: who asks must not be waited for.
    """

    def __init__(self, reservation: Reservation, serve: Serve | None) -> None:
        self._reservation, self._serve, self._made = reservation, serve, False

    async def __call__(self, request: Any) -> Any:
        assert self._serve is not None
        self.make()
        return await self._serve(request)

    def make(self) -> None:
        """Pay, once."""
        if not self._made:
            self._made = True
            self._reservation.commit(evaluations=1)


def key_of(*parts: Any) -> str:
    """The name of what is described by these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _json(result: Result) -> str:
    files = {name: base64.b64encode(data).decode() for name, data in result.files.items()}
    return json.dumps(result._replace(files=files)._asdict())


def _result(text: str) -> Result:
    values = json.loads(text)
    files = {name: base64.b64decode(data) for name, data in values.pop("files").items()}
    return Result(**values | {"files": files, "cached": True})
