"""The standard library's `multiprocessing` over this package's pools: a script scales by changing one import.

    from aiga.runs.multiprocessing import Pool

Fiber's promise (Zhi et al. 2020, https://arxiv.org/abs/2003.11164, section 3).  Where work runs is said by `pool` and
`address`, or by the variables `AIGA_POOL` (`local`, `ray` or `threads`) and `AIGA_ADDRESS`.  What the standard library
has and this has not raises with a sentence.  What differs: a worker that dies is replaced and its tasks run again; a
generator given to `imap` is read as far as the workers need; processes are started afresh, never forked.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import islice, starmap
from multiprocessing import TimeoutError, current_process, freeze_support
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.runs.answers import AsyncResult, Iteration
from aiga.runs.local_pool import LocalPool, cores
from aiga.runs.pools import AnyPool, Lost, opened
from aiga.runs.process import Process
from aiga.runs.shared import Manager, Pipe, Queue, SimpleQueue, chosen

__all__ = [
    "AsyncResult", "Manager", "Pipe", "Pool", "Process", "Queue", "SimpleQueue", "TimeoutError", "cpu_count",
    "current_process", "freeze_support",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    raise UsageError(
        f"aiga.runs.multiprocessing has no `{name}`: it has {', '.join(__all__)}; locks, events and values are"
        " those of a Manager()."
    )


def cpu_count(*, pool: str | None = None, address: str | None = None) -> int:
    """The cores that this process may use, or the CPUs of the Ray cluster."""
    kind, address = chosen(pool, address)
    if kind != "ray":
        return cores()
    with opened(kind, "auto", address) as workforce:
        return workforce.workers


class Pool:
    """`multiprocessing.Pool` over a `LocalPool`, a `RayPool` or a `ThreadPool`; all methods wait in the usual way.

    `maxtasksperchild`: in processes on this machine, chunks after which a worker is replaced.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Any = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        pool: str | None = None,
        address: str | None = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if context is not None:
            raise UsageError("a Pool takes no `context`: its workers are always started afresh; leave it out.")
        self._pool = _opened(processes, maxtasksperchild, *chosen(pool, address))
        self._opening = None if initializer is None else Opening(initializer, tuple(initargs))
        self._state = "running"
        self._pending: set[Future[Any]] = set()
        self._change = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aiga-pool", daemon=True)
        self._thread.start()

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None) -> Any:
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        call = partial(func, **kwds) if kwds else func
        return AsyncResult([self._submit(call, *args)], _only, callback, error_callback)

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        return self._mapped(Each(func), iterable, chunksize, callback, error_callback)

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        return self._mapped(Each(func, star=True), iterable, chunksize, callback, error_callback)

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> Iteration:
        return self._iterated(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> Iteration:
        return self._iterated(func, iterable, chunksize, ordered=False)

    def resize(self, processes: int) -> None:
        """Have so many workers from now on; those that leave finish what they run."""
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(_into, done, partial(self._pool.resize, processes))
        done.result()

    def close(self) -> None:
        """Take no more tasks."""
        if self._state == "running":
            self._state = "closed"

    def terminate(self) -> None:
        """End the workers, whatever they do; what is not done raises where it is waited for."""
        if self._state == "terminated":
            return
        self._state = "terminated"
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(_into, done, self._pool.close)
        done.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        with self._change:
            unheard = list(self._pending)
        for answer in unheard:
            with suppress(InvalidStateError):  # it was settled in this moment
                answer.set_exception(RuntimeError("the pool was terminated before the task was done"))

    def join(self) -> None:
        """Wait for what was submitted before `close`, and for the workers' end."""
        if self._state == "running":
            raise ValueError("Pool is still running")
        with self._change:
            self._change.wait_for(lambda: not self._pending)
        self.terminate()

    def __enter__(self) -> "Pool":
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check(self) -> None:
        if self._state != "running":
            raise ValueError("Pool not running")

    def _submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """The answer to a task, for any thread to wait for."""
        self._check()
        answer: Future[Any] = Future()
        with self._change:
            self._pending.add(answer)
        answer.add_done_callback(self._forget)
        call = fn if self._opening is None else partial(self._opening, fn)
        self._loop.call_soon_threadsafe(self._begin, answer, call, args)
        return answer

    def _begin(self, answer: Future[Any], call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._pool.submit(call, *args).add_done_callback(partial(_settle, answer))
        except Exception as error:  # the pool was closed in this moment
            answer.set_exception(error)

    def _forget(self, answer: Future[Any]) -> None:
        with self._change:
            self._pending.discard(answer)
            self._change.notify_all()

    def _mapped(
        self,
        each: "Each",
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult:
        self._check()
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        items = list(iterable)
        size = chunksize or max(1, -(-len(items) // (4 * self._pool.workers)))
        answers = [self._submit(each, chunk) for chunk in _chunks(items, size)]
        return AsyncResult(answers, _joined, callback, error_callback)

    def _iterated(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, ordered: bool) -> Iteration:
        self._check()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        tasks = (partial(self._submit, Each(func), chunk) for chunk in _chunks(iterable, chunksize))
        return Iteration(tasks, 4 * self._pool.workers, ordered)


class Each(NamedTuple):
    """A function as a task of several items; messages call it by the function's name."""

    fn: Callable[..., Any]
    star: bool = False
    """Whether an item is the arguments."""

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.fn

    def __call__(self, items: Iterable[Any]) -> list[Any]:
        return list(starmap(self.fn, items) if self.star else map(self.fn, items))


class Opening:
    """Calls the initializer once in each worker, before its first task."""

    def __init__(self, initializer: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.initializer, self.arguments = initializer, arguments
        self.token = f"{id(self)}-{threading.get_native_id()}"

    def __call__(self, fn: Callable[..., Any], *args: Any) -> Any:
        opened = _local.__dict__.setdefault("opened", set())
        if self.token not in opened:
            self.initializer(*self.arguments)
            opened.add(self.token)
        return fn(*args)


_local = threading.local()
"""Of each worker, also if it is a thread: what was opened there."""


def _opened(processes: int | None, renew_after: int | None, kind: str, address: str | None) -> AnyPool:
    if renew_after is None:
        return opened(kind, processes, address)
    if kind != "local":
        raise UsageError(f"`maxtasksperchild` goes with processes on this machine, not with {kind!r}: leave it out.")
    if renew_after < 1:
        raise ValueError("maxtasksperchild must be a positive int or None")
    return LocalPool(processes, renew_after=renew_after)


def _only(values: list[Any]) -> Any:
    return values[0]


def _joined(chunks: list[list[Any]]) -> list[Any]:
    return [value for chunk in chunks for value in chunk]


def _chunks(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    rest = iter(items)
    while chunk := tuple(islice(rest, size)):
        yield chunk


def _into(done: Future[None], act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:
        done.set_exception(error)
    else:
        done.set_result(None)


def _settle(answer: Future[Any], future: asyncio.Future[Any]) -> None:
    value, error = None, None
    if future.cancelled():
        error = RuntimeError("the pool was terminated before the task was done")
    elif future.exception() is not None:
        error = future.exception()
    elif isinstance(future.result(), Lost):
        error = RuntimeError(f"{future.result()}: the workers of this task were killed again and again")
    else:
        value = future.result()
    with suppress(InvalidStateError):  # it was settled by `terminate` in this moment
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)
