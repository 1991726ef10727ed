"""`multiprocessing.Process` on this machine, or as one worker of a Ray cluster."""

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from multiprocessing import get_context
from typing import Any

from aiga.core.errors import UsageError
from aiga.runs.pools import AnyPool, Lost, Seconds, opened
from aiga.runs.shared import chosen

_numbers = itertools.count(1)


class Process:
    """A function that runs elsewhere: in a fresh process here, or on the cluster in a worker of its own."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        pool: str | None = None,
        address: str | None = None,
    ) -> None:
        if type(self) is not Process:
            raise UsageError("a Process of this module is not inherited from: give it a `target`.")
        self.name = name or f"Process-{next(_numbers)}"
        call = partial(target, *args, **(kwargs or {})) if target is not None else _nothing
        kind, address = chosen(pool, address)
        self._here = get_context("spawn").Process(target=call, name=self.name, daemon=daemon) if kind != "ray" else None
        self._there = Errand(call, address, self.name) if kind == "ray" else None
        self.daemon = bool(daemon)

    @property
    def _process(self) -> Any:
        return self._here or self._there

    @property
    def pid(self) -> int | None:
        """Of a process on this machine."""
        return self._here.pid if self._here is not None else None

    @property
    def exitcode(self) -> int | None:
        return self._process.exitcode

    def start(self) -> None:
        self._process.start()

    def join(self, timeout: Seconds | None = None) -> None:
        self._process.join(timeout)

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()


class Errand:
    """A call in a worker of its own on a Ray cluster; -9 is the exit code of one that was killed."""

    def __init__(self, call: Callable[[], object], address: str | None, name: str) -> None:
        self._call, self._address, self._name = call, address, name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]] | None = None
        self._begun = threading.Event()
        self.exitcode: int | None = None

    def start(self) -> None:
        self._pool = _one_worker(self._address)
        self._thread.start()

    def join(self, timeout: Seconds | None = None) -> None:
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def terminate(self) -> None:
        self._begun.wait()
        if self._task is not None and self.is_alive():
            loop, future = self._task
            loop.call_soon_threadsafe(future.cancel)

    def kill(self) -> None:
        self.terminate()

    def close(self) -> None:
        if self.is_alive():
            raise ValueError("Cannot close a process while it is still running. You should first call join().")

    def _run(self) -> None:
        with self._pool:
            self.exitcode = asyncio.run(self._errand(self._pool))

    async def _errand(self, pool: AnyPool) -> int:
        future = pool.submit(self._call)
        self._task = asyncio.get_running_loop(), future
        self._begun.set()
        try:
            return -9 if isinstance(await future, Lost) else 0
        except asyncio.CancelledError:
            return -9
        except Exception as error:
            sys.stderr.write(
                f"{self._name}: {type(error).__name__}: {error}\n{''.join(getattr(error, '__notes__', []))}\n"
            )
            return 1


def _one_worker(address: str | None) -> AnyPool:
    return opened("ray", 1, address)


def _nothing() -> None:
    """What a process without a target does."""
