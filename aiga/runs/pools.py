"""Where work runs, and what `submit` and `map` mean, whatever the pool.

`Serial` runs tasks in this process.  `LocalPool` (processes), `ThreadPool` (threads) and `RayPool` (processes of a Ray
cluster) are `Workforce`s.  Fiber (Zhi et al. 2020, https://arxiv.org/abs/2003.11164) is the model: one interface from a
laptop to a cluster, and workers that may die at any moment without loss.

- A task's result is delivered once, though the task may have run more than once.
- An exception of a task is raised where its future is awaited, with the worker's traceback as a note.
- A task whose workers were killed again and again gives a `Lost`, one that ran longer than its `timeout` a `Late`:
  the failure of a candidate is a value, and the others go on.
- To cancel a future is to cancel its task: one that waits does not start, and of one that runs the worker is killed and
  replaced (a thread cannot be killed: it goes on unheard).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from aiga.core.errors import UsageError
from aiga.runs.worker import raisable

T = TypeVar("T")
Seconds = float | int
Chunk = int | Literal["auto"]
"""How many tasks a worker is given at a time; `auto`: as many as are done in a hundredth of a second, as measured."""
KINDS = ("local", "ray", "threads")
"""What `--pool` may be."""


class Lost(NamedTuple):
    """The value of a task whose worker was killed each time it ran."""

    task: str
    attempts: int
    exitcode: int | None
    """As `subprocess` has it: -9 is SIGKILL; None: not known, as of a worker on another machine."""


class Late(NamedTuple):
    """The value of a task that ran longer than its timeout."""

    task: str
    seconds: float
    """The timeout."""


def present(value: Any) -> Any:
    """The value, unless its workers were killed again and again, or it came too late."""
    if isinstance(value, Lost | Late):
        raise RuntimeError(f"{value}: the run cannot go on without it; resume it.")
    return value


@runtime_checkable
class AnyPool(Protocol):
    """What `opened` gives: a pool with all of its methods."""

    workers: int

    def submit(
        self, fn: Callable[..., T], *args: Any, timeout: Seconds | None = None, chunk: Chunk = 1
    ) -> asyncio.Future[T]: ...

    def map(
        self,
        fn: Callable[..., T],
        items: Iterable[Any],
        *,
        in_flight: int | None = None,
        ordered: bool = True,
        timeout: Seconds | None = None,
        chunk: Chunk = "auto",
    ) -> AsyncIterator[T]: ...

    def resize(self, workers: int) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> "AnyPool": ...

    def __exit__(self, *_: object) -> None: ...


def opened(kind: str, workers: int | Literal["auto"] | None = None, address: str | None = None) -> AnyPool:
    """The pool of this kind (`local`, `ray` or `threads`); `address` is that of a running Ray."""
    if kind not in KINDS:
        raise UsageError(f"--pool {kind!r} is not available: give one of {', '.join(KINDS)}.")
    if not (workers is None or workers == "auto" or (isinstance(workers, int) and workers > 0)):
        raise UsageError(f"--workers is {workers!r}: give a number above zero, or auto.")
    if address is not None and kind != "ray":
        raise UsageError(f"--address is {address!r}, where a Ray runs: it goes with --pool ray, not --pool {kind}.")
    if kind == "ray":
        from aiga.runs.ray_pool import RayPool

        return RayPool(workers, address=address)
    if kind == "threads":
        from aiga.runs.thread_pool import ThreadPool

        return ThreadPool(workers)
    from aiga.runs.local_pool import LocalPool

    return LocalPool(workers)


def reopened(before: Mapping[str, Any], pool: str | None, workers: Any, address: str | None) -> AnyPool:
    """The pool that the run had, with what is given in its place; of another kind, none of the old is kept."""
    kind = before.get("kind", "local")
    if pool is not None and pool != kind:
        return opened(pool, workers, address)
    workers = before.get("workers") if workers is None else workers
    return opened(kind, workers, before.get("address") if address is None else address)


class Serial:
    """Runs each task at once, in this process.  One that takes longer than its timeout is late, but not stopped."""

    workers = 1

    def submit(
        self, fn: Callable[..., T], *args: Any, timeout: Seconds | None = None, chunk: Chunk = 1
    ) -> asyncio.Future[T]:
        del chunk  # there is nobody to give it to
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        try:
            value = fn(*args)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            future.set_exception(raisable(error))
            return future
        late = timeout is not None and time.monotonic() - began > timeout
        future.set_result(Late(named(fn), timeout or 0.0) if late else value)
        return future

    def map(
        self,
        fn: Callable[..., T],
        items: Iterable[Any],
        *,
        in_flight: int | None = None,
        ordered: bool = True,
        timeout: Seconds | None = None,
        chunk: Chunk = "auto",
    ) -> AsyncIterator[T]:
        """Results of `fn(item)`; see `Workforce.map`."""
        submit = partial(self.submit, timeout=timeout, chunk=chunk)
        return results(submit, fn, items, lambda: in_flight or 2, ordered)

    def resize(self, workers: int) -> None:
        """Nothing to resize: there is this process."""

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> "Serial":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def named(fn: Callable[..., Any]) -> str:
    """What a task that calls this function is called."""
    fn = getattr(fn, "__wrapped__", fn)
    return getattr(fn, "__qualname__", type(fn).__qualname__)


async def results(
    submit: Callable[..., asyncio.Future[T]],
    fn: Callable[..., T],
    items: Iterable[Any],
    window: Callable[[], int],
    ordered: bool,
) -> AsyncIterator[T]:
    """Results of `fn(item)`, in the order of the items or as they come; `window()` items at most are on their way."""
    waiting: dict[asyncio.Future[T], None] = {}
    arrived: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()

    async def following() -> T:
        future = next(iter(waiting)) if ordered else await arrived.get()
        del waiting[future]
        return await future

    try:
        for item in items:
            future = submit(fn, item)
            waiting[future] = None
            if not ordered:
                future.add_done_callback(arrived.put_nowait)
            while len(waiting) >= window():
                yield await following()
        while waiting:
            yield await following()
    finally:
        for future in waiting:
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen: the first failure is the one that was raised
