"""A pool of workers that may die: one queue, a table of tasks for each worker, and the same rules for every kind.

Fiber (Zhi et al. 2020, https://arxiv.org/abs/2003.11164, section 3): every worker has a table of what it was given;
when it dies, a new worker takes its place and the table goes back to the head of the queue.  Deviations: the table
holds one task unless tasks are short (a second would wait behind a long first); the retries have a limit, after which
the loss is a value.

A kind of pool says how a call is packed and how a worker is started; a worker reports with `answered` and `ended`.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from aiga.core.errors import UsageError
from aiga.runs.pools import Chunk, Late, Lost, Seconds, named, results
from aiga.runs.tables import MOST, Answer, Member, Pace, Task, Worker, deliver

T = TypeVar("T")
W = TypeVar("W", bound="Workforce")
GRACE = 1.5
"""Seconds that `close` leaves to running tasks."""
AHEAD = 4
"""Times the tasks that are with workers, how many `map` takes from its items: none shall wait for the reader."""
PATIENCE = 0.1
"""Seconds that a cancelled task may still run before its worker is killed: most end by themselves."""


class Workforce(ABC):
    """Workers, started when first needed; serves one event loop at a time.

    A worker that dies is replaced and its task run again, up to `retries` times.  `renew_after`: answers after which a
    worker is replaced by a fresh one; `share`: tasks that a worker is given at a time at most.
    """

    def __init__(self, workers: int, retries: int, renew_after: int | None = None, share: int = MOST) -> None:
        if workers < 1 or retries < 0:
            raise UsageError(f"a pool needs at least 1 worker and 0 retries; got {workers} and {retries}.")
        self.workers = workers
        self._retries = retries
        self._renew_after = renew_after
        self._pace = Pace(share)
        self._queue: deque[Task] = deque()
        self._crew: dict[Worker, Member] = {}
        self._idle: dict[Member, None] = {}
        self._leavers: list[Worker] = []
        self._reports: deque[Callable[[], None]] = deque()
        self._failed_starts = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @abstractmethod
    def _packed(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """The call as workers take it."""

    @abstractmethod
    def _started(self, needs: Hashable) -> tuple[Worker, bool]:
        """A worker, and whether it can be given calls before it has reported with `arrived`."""

    @abstractmethod
    def _released(self) -> None:
        """After the last worker: give back what the pool itself holds."""

    def submit(
        self, fn: Callable[..., T], *args: Any, timeout: Seconds | None = None, chunk: Chunk = 1
    ) -> asyncio.Future[T]:
        """The result of `fn(*args)`, or its exception with the worker's traceback as a note, or a `Lost`, or a `Late`.

        Tasks start in the order of submission.  The arguments are copied now.  `timeout`: seconds, from when a worker
        begins, which may first have to import the task's module.  `chunk`: how many short tasks a worker may be given
        at a time.
        """
        return self._submit(None, fn, args, timeout, chunk)

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
        """Results of `fn(item)` in the order of `items`, which may never end, or with `ordered=False` as they come.

        At most `in_flight` items are taken ahead of what has been yielded; default: `AHEAD` times what the workers are
        given at a time.  An exception ends it, and what runs is cancelled.
        """

        def window() -> int:
            return in_flight or AHEAD * self.workers * self._pace.share(name, chunk, timeout)

        name = named(fn)
        return results(partial(self.submit, timeout=timeout, chunk=chunk), fn, items, window, ordered)

    def resize(self, workers: int) -> None:
        """Have so many workers from now on.  Those that leave finish what they run; nothing is lost."""
        if workers < 1:
            raise UsageError(f"a pool needs at least 1 worker; got {workers}.")
        self.workers = workers
        self._cut()
        if self._loop is not None and self._loop.is_running():
            self._hand_out()

    def close(self) -> None:
        """Cancel what waits, give what runs `GRACE` seconds, kill the rest.  May be called again."""
        if self._closed:
            return
        self._closed = True
        tasks = [task for member in self._crew.values() for task in member.table] + [*self._queue]
        if self._loop is not None and not self._loop.is_closed():
            for task in tasks:
                task.future.cancel()
        for member in self._crew.values():
            self._silence(member)
            member.worker.dismiss()
        deadline = time.monotonic() + GRACE
        for worker in (*self._crew, *self._leavers):
            worker.bury(max(0.0, deadline - time.monotonic()))
        for table in (self._queue, self._crew, self._idle, self._leavers, self._reports):
            table.clear()
        self._released()

    def __enter__(self: W) -> W:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, report: Callable[..., None], *args: Any) -> None:
        """Make a worker's report from another thread, on the pool's loop, or on its next one."""
        self._reports.append(partial(report, *args))
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._hear)

    def answered(self, worker: Worker, answers: Sequence[Answer]) -> None:
        """A worker's report: the outcomes of the first tasks of its table."""
        member = self._crew.get(worker)
        if member is None:
            return
        if len(answers) > len(member.table):  # it answers what it was not asked
            worker.kill()
            return
        member.hush()
        done = [(member.table.popleft(), *answer) for answer in answers]
        member.answers += len(done)
        for task, seconds, _ in done:
            task.member = None
            self._pace.note(task.name, seconds)
        if member.table:
            self._begin(member)
        self._refill(member)  # first, so that the worker does not wait while its answers are read
        for task, _, read in done:
            if self._wanted(task):
                deliver(task, read)

    def ended(self, worker: Worker) -> None:
        """A worker's report: it is dead, or must be.  Its table goes back to the head of the queue."""
        member = self._crew.pop(worker, None)
        if member is None:
            return
        self._silence(member)
        self._idle.pop(member, None)
        worker.kill()  # no effect on the dead; a worker that only closed its line must not stay
        exitcode = worker.bury(0.0)
        if not member.ready:
            self._failed_starts += 1
        running, shared = next(iter(member.table), None), len(member.table) > 1
        if running is not None and shared:
            running.attempts -= 1  # any of them may have been the cause
        for task in reversed(member.table):
            task.member, task.alone = None, task.alone or shared
            if self._wanted(task):
                if task.attempts > self._retries:
                    task.future.set_result(Lost(task.name, task.attempts, exitcode))
                else:
                    self._queue.appendleft(task)
        self._hand_out()

    def arrived(self, worker: Worker) -> None:
        """A worker's report: it runs what it is given from now on."""
        member = self._crew.get(worker)
        if member is None:
            return
        self._failed_starts = 0
        member.ready = member.here = True
        if member.table:
            self._watch(member)
        elif member not in self._idle:
            self._refill(member)

    def _submit(
        self, needs: Hashable, fn: Callable[..., Any], args: tuple[Any, ...], timeout: Seconds | None, chunk: Chunk
    ) -> asyncio.Future[Any]:
        if chunk != "auto" and chunk < 1:
            raise UsageError(f"`chunk` is {chunk}: give a number of tasks from 1 on, or 'auto'.")
        future = self._attach().create_future()
        name = named(fn)
        try:
            call = self._packed(fn, args)
        except Exception as error:
            future.set_exception(TypeError(f"`{name}` or its arguments cannot be sent to a worker: {error}"))
            return future
        task = Task(name, call, future, timeout, chunk, needs)
        future.add_done_callback(partial(self._settled, task))
        self._queue.append(task)
        if self._idle or len(self._crew) < self.workers:
            self._hand_out()
        return future

    def _attach(self) -> asyncio.AbstractEventLoop:
        """Listen to the workers on the running loop; what an ended loop left behind is forgotten."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RuntimeError("this pool is closed; make another one.")
        if loop is self._loop:
            return loop
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError("this pool is in use by another running event loop; give each loop its own pool.")
        for member in self._crew.values():
            self._silence(member)
        self._loop = loop
        for member in list(self._crew.values()):
            member.worker.attach(loop)
            if member.table:
                loop.call_later(PATIENCE, self._give_up, member.table[-1])
        self._hear()
        return loop

    def _hear(self) -> None:
        while self._reports:
            self._reports.popleft()()

    def _hand_out(self) -> None:
        """Give the head of the queue to idle workers, and to new ones while there may be more."""
        while (task := self._next()) is not None:
            member = next((member for member in reversed(self._idle) if member.needs == task.needs), None)
            if member is None:
                member = self._hire(task.needs)
            if member is None:
                return
            self._give(member, [self._queue.popleft()])

    def _next(self) -> Task | None:
        """The head of the queue, without what nobody waits for."""
        while self._queue and not self._wanted(self._queue[0]):
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def _wanted(self, task: Task) -> bool:
        return not task.future.done() and task.future.get_loop() is self._loop

    def _hire(self, needs: Hashable) -> Member | None:
        """Start workers, no more than there are tasks; one that can be given a call at once."""
        assert self._loop is not None
        for member in list(self._idle):  # they serve other needs, and may hold what is needed here
            self._let_go(member)
        coming = sum(not member.ready for member in self._crew.values())
        if self._failed_starts > self._retries:
            self._fail(RuntimeError(f"{self._failed_starts} workers in a row ended before they could be given a task."))
        while len(self._crew) < self.workers and coming < len(self._queue):
            try:
                worker, ready = self._started(needs)
            except OSError as error:  # no memory, processes or descriptors left
                if not self._crew:
                    self._fail(error)
                return None
            self._crew[worker] = member = Member(worker, needs, ready)
            worker.attach(self._loop)
            if ready:
                return member
            coming += 1
        return None

    def _fail(self, error: Exception) -> None:
        self._failed_starts = 0
        for task in filter(self._wanted, self._queue):
            task.future.set_exception(error)
        self._queue.clear()

    def _refill(self, member: Member) -> None:
        """Give a worker that has answered its share of the queue."""
        if member.leaving or (self._renew_after and member.answers >= self._renew_after):
            member.leaving = True
            if not member.table:
                self._let_go(member)
                self._hand_out()
            return
        task = self._next()
        if task is not None and task.needs == member.needs:
            most = self._pace.share(task.name, task.chunk, task.timeout)
            if len(member.table) <= most // 2:
                fair = max(1, len(self._queue) // len(self._crew))
                left = self._renew_after - member.answers if self._renew_after else self._pace.most
                self._give(member, self._batch(member, min(most - len(member.table), fair, left - len(member.table))))
        if not member.table:
            self._idle[member] = None
            self._hand_out()

    def _batch(self, member: Member, most: int) -> list[Task]:
        """Tasks from the head of the queue that may share the worker's table."""
        batch: list[Task] = []
        while len(batch) < most and (task := self._next()) is not None:
            ahead = len(member.table) + len(batch)
            fits = not task.alone and ahead < self._pace.share(task.name, task.chunk, task.timeout)
            if task.needs != member.needs or (ahead and not fits):
                break
            batch.append(self._queue.popleft())
            if not fits:
                break
        return batch

    def _give(self, member: Member, tasks: list[Task]) -> None:
        if not tasks:
            return
        self._idle.pop(member, None)
        begins = not member.table
        for task in tasks:
            task.member = member
            member.table.append(task)
        if begins:
            self._begin(member)
        member.worker.give([task.call for task in tasks])

    def _begin(self, member: Member) -> None:
        """The first of the table runs from here on."""
        member.table[0].attempts += 1
        if member.here:
            self._watch(member)

    def _watch(self, member: Member) -> None:
        """End what runs when its time is over."""
        task = member.table[0]
        if task.timeout is not None and self._loop is not None:
            member.alarm = self._loop.call_later(task.timeout, self._late, task)

    def _late(self, task: Task) -> None:
        if task.member is not None and self._wanted(task):
            task.future.set_result(Late(task.name, task.timeout or 0.0))
            task.member.worker.kill()

    def _settled(self, task: Task, future: asyncio.Future[Any]) -> None:
        if future.cancelled() and task.member is not None and self._loop is not None and not self._closed:
            self._loop.call_later(PATIENCE, self._give_up, task)

    def _give_up(self, task: Task) -> None:
        """Kill the worker of a task that nobody waits for, once it is the one that runs."""
        if task.member is None or self._closed or self._loop is None:
            return
        if self._wanted(task.member.table[0]):
            self._loop.call_later(PATIENCE, self._give_up, task)
        else:
            task.member.worker.kill()

    def _cut(self) -> None:
        """Let surplus workers go: those that are not there yet, the idle, and the busy when they are done."""
        busy = [member for member in self._crew.values() if member.ready and member not in self._idle]
        coming = [member for member in self._crew.values() if not member.ready]
        surplus = len(self._crew) - self.workers
        for member in [*coming, *self._idle, *busy][: max(0, surplus)]:
            member.leaving = True
            if not member.table:
                self._let_go(member)
        for member in busy:
            member.leaving = member.leaving and surplus > 0

    def _let_go(self, member: Member) -> None:
        """An idle worker leaves."""
        self._silence(member)
        self._idle.pop(member, None)
        del self._crew[member.worker]
        member.worker.dismiss()
        self._leavers.append(member.worker)
        if len(self._leavers) > self.workers:
            self._leavers.pop(0).bury(GRACE)

    def _silence(self, member: Member) -> None:
        member.hush()
        if self._loop is None or not self._loop.is_closed():
            member.worker.detach()
