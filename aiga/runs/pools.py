"""Where work runs: in this process (`Serial`) or in worker processes that may be killed without loss (`LocalPool`).

Fiber (Zhi et al. 2020, https://arxiv.org/abs/2003.11164, section 3): every worker has a table of what it was given;
when it dies, a new worker takes its place and the table goes back to the head of the queue.  Here the table holds one
task (a second would wait behind a long first), and the retries have a limit, after which the loss is a value.  A task
may thus run more than once; its result is delivered once.
"""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.spawn import get_preparation_data
from typing import Any, Literal, NamedTuple, TypeVar

from aiga.core.errors import UsageError
from aiga.runs.worker import HEADER, frame

T = TypeVar("T")

GRACE = 1.5
"""Seconds that `close` leaves to running tasks."""
CHUNK = 1 << 20
"""Bytes taken from a line at a time."""
SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
"""Set to 1 in workers; `NPROC` is what XLA sizes its thread pool by."""


class Lost(NamedTuple):
    """The value of a task whose worker was killed each time it ran."""

    task: str
    attempts: int
    exitcode: int
    """As `subprocess` has it: -9 is SIGKILL."""


def present(value: Any) -> Any:
    """The value, unless its workers were killed again and again."""
    if isinstance(value, Lost):
        raise RuntimeError(f"{value}: the run cannot go on without it; resume it.")
    return value


class Serial:
    """Runs each task at once, in this process."""

    workers = 1

    def submit(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        future = asyncio.get_running_loop().create_future()
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., T], items: Iterable[Any], *, in_flight: int | None = None) -> AsyncIterator[T]:
        """Results of `fn(item)` in the order of `items`; see `LocalPool.map`."""
        return _in_order(self.submit, fn, items, in_flight or 2)

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> "Serial":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalPool:
    """Worker processes on this machine, started when first needed; serves one event loop at a time.

    `workers=None` or `"auto"` takes every core that this process may use.  Workers run single-threaded numerics and,
    unless `JAX_PLATFORMS` says otherwise, JAX on the CPU.  A worker killed by the system is replaced and its task run
    again, up to `retries` times.
    """

    def __init__(self, workers: int | Literal["auto"] | None = None, retries: int = 3):
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        self.workers = cores if workers is None or workers == "auto" else workers
        if self.workers < 1 or retries < 0:
            raise UsageError(f"a pool needs at least 1 worker and 0 retries; got {workers} and {retries}.")
        self._retries = retries
        self._queue: deque[_Task] = deque()
        self._crew: list[_Worker] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def submit(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """The result of `fn(*args)`, or its exception with the worker's traceback as a note, or a `Lost`.

        Tasks start in the order of submission.  The arguments are copied now.  A cancelled task does not start, or if
        it runs already, its result is discarded.
        """
        future = self._attach().create_future()
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        try:
            call = pickle.dumps((fn, args), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            future.set_exception(TypeError(f"`{name}` or its arguments cannot be sent to a worker: {error}"))
            return future
        self._queue.append(_Task(name, call, future))
        self._hand_out()
        return future

    def map(self, fn: Callable[..., T], items: Iterable[Any], *, in_flight: int | None = None) -> AsyncIterator[T]:
        """Results of `fn(item)` in the order of `items`, which may never end.

        At most `in_flight` (default: twice the workers) items are taken ahead of what has been yielded.
        """
        return _in_order(self.submit, fn, items, in_flight or 2 * self.workers)

    def close(self) -> None:
        """Cancel what waits, give what runs `GRACE` seconds, kill the rest.  May be called again."""
        self._closed = True
        tasks = [worker.task for worker in self._crew if worker.task is not None] + [*self._queue]
        if self._loop is not None and not self._loop.is_closed():
            for task in tasks:
                task.future.cancel()
        for worker in self._crew:
            self._detach(worker)
            worker.line.close()
        deadline = time.monotonic() + GRACE
        for worker in self._crew:
            _dismiss(worker, max(0.0, deadline - time.monotonic()))
        self._queue.clear()
        self._crew.clear()

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attach(self) -> asyncio.AbstractEventLoop:
        """Listen to the workers on the running loop; what an ended loop left behind is forgotten."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RuntimeError("this pool is closed; make another one.")
        if loop is not self._loop:
            if self._loop is not None and self._loop.is_running():
                raise RuntimeError("this pool is in use by another running event loop; give each loop its own pool.")
            for worker in self._crew:
                self._detach(worker)
            self._loop = loop
            for worker in self._crew:
                self._listen(worker)
        return loop

    def _hand_out(self) -> None:
        """Give the head of the queue to idle workers, and to new ones while there may be more."""
        while self._queue:
            if not self._wanted(self._queue[0]):
                self._queue.popleft()
                continue
            worker = next((worker for worker in self._crew if worker.task is None), None) or self._hire()
            if worker is None:
                return
            worker.task = self._queue.popleft()
            worker.task.attempts += 1
            worker.outgoing += frame(worker.task.call)
            self._write(worker)

    def _hire(self) -> "_Worker | None":
        if len(self._crew) == self.workers:
            return None
        try:
            worker = _start()
        except OSError as error:  # no memory, processes or descriptors left
            if not self._crew:
                for task in filter(self._wanted, self._queue):
                    task.future.set_exception(error)
                self._queue.clear()
            return None
        self._crew.append(worker)
        self._listen(worker)
        return worker

    def _wanted(self, task: "_Task") -> bool:
        return task.future.get_loop() is self._loop and not task.future.done()

    def _listen(self, worker: "_Worker") -> None:
        assert self._loop is not None
        self._loop.add_reader(worker.line, self._read, worker)
        self._write(worker)

    def _detach(self, worker: "_Worker") -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(worker.line)
            self._loop.remove_writer(worker.line)
        worker.writing = False

    def _write(self, worker: "_Worker") -> None:
        """Send what the line takes now, and the rest when it takes more."""
        assert self._loop is not None
        try:
            while worker.outgoing:
                del worker.outgoing[: worker.line.send(worker.outgoing)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            worker.outgoing.clear()  # `_read` meets the end of the line and buries the worker
        if worker.outgoing and not worker.writing:
            self._loop.add_writer(worker.line, self._write, worker)
        elif worker.writing and not worker.outgoing:
            self._loop.remove_writer(worker.line)
        worker.writing = bool(worker.outgoing)

    def _read(self, worker: "_Worker") -> None:
        try:
            received = worker.line.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = b""
        worker.incoming += received
        if not received:
            self._bury(worker)
        elif len(worker.incoming) >= HEADER + int.from_bytes(worker.incoming[:HEADER], "big"):
            task, answer = worker.task, worker.incoming
            worker.task, worker.incoming = None, bytearray()
            self._hand_out()  # first, so that the worker does not wait while its answer is read
            if task is not None and self._wanted(task):
                _deliver(task, memoryview(answer)[HEADER:])

    def _bury(self, worker: "_Worker") -> None:
        """Put the dead worker's task back at the head of the queue, or give it up."""
        self._detach(worker)
        self._crew.remove(worker)
        worker.process.kill()  # no effect on the dead; a worker that only closed its line must not stay
        exitcode = _dismiss(worker, 0.0)
        task = worker.task
        if task is not None and self._wanted(task):
            if task.attempts > self._retries:
                task.future.set_result(Lost(task.name, task.attempts, exitcode))
            else:
                self._queue.appendleft(task)
        self._hand_out()


@dataclass(eq=False)
class _Task:
    name: str
    call: bytes
    future: asyncio.Future[Any]
    attempts: int = 0


@dataclass(eq=False)
class _Worker:
    """A process, the line to it, and the task it was given."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    lifeline: int
    outgoing: bytearray
    incoming: bytearray = field(default_factory=bytearray)
    task: _Task | None = None
    writing: bool = False


def _start() -> _Worker:
    preparation = get_preparation_data("aiga-worker")
    preparation["authkey"] = bytes(preparation["authkey"])  # else not picklable
    line, theirs = socket.socketpair()
    watch, lifeline = os.pipe()
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"  # Ctrl-C belongs to the loop
        f"sys.path[:] = {sys.path!r}; from aiga.runs.worker import serve; serve({theirs.fileno()}, {watch})"
    )
    environment = {"JAX_PLATFORMS": "cpu"} | dict(os.environ) | dict.fromkeys(SINGLE_THREADED, "1")
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), watch),
        )
    except OSError:
        line.close()
        os.close(lifeline)
        raise
    finally:
        theirs.close()
        os.close(watch)
    line.setblocking(False)
    return _Worker(process, line, lifeline, bytearray(frame(pickle.dumps(preparation))))


def _dismiss(worker: _Worker, patience: float) -> int:
    """Reap the process, by force after `patience` seconds; its exit code."""
    worker.line.close()
    try:
        exitcode = worker.process.wait(patience)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        exitcode = worker.process.wait()
    os.close(worker.lifeline)
    return exitcode


def _deliver(task: _Task, answer: memoryview) -> None:
    try:
        value, trace = pickle.loads(answer)
    except Exception as error:
        task.future.set_exception(TypeError(f"the result of `{task.name}` cannot be read in this process: {error}"))
        return
    if trace is None:
        task.future.set_result(value)
        return
    if trace:
        value.add_note(f"In the worker:\n{trace}")
    task.future.set_exception(value)


async def _in_order(
    submit: Callable[..., asyncio.Future[T]], fn: Callable[..., T], items: Iterable[Any], in_flight: int
) -> AsyncIterator[T]:
    window: deque[asyncio.Future[T]] = deque()
    try:
        for item in items:
            window.append(submit(fn, item))
            if len(window) >= in_flight:
                yield await window.popleft()
        while window:
            yield await window.popleft()
    finally:
        for future in window:
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen: the first failure is the one that was raised
