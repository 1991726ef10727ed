"""What the façade of `multiprocessing` gives in place of results: `AsyncResult`, and the iterators of `imap`."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from multiprocessing import TimeoutError
from queue import Empty, SimpleQueue
from typing import Any

from aiga.runs.pools import Seconds


class AsyncResult:
    """The result of some tasks, `joined` from theirs; the first failure, if one failed."""

    def __init__(
        self,
        answers: list[Future[Any]],
        joined: Callable[[list[Any]], Any],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._answers, self._joined = answers, joined
        self._callback, self._error_callback = callback, error_callback
        self._missing = len(answers)
        self._lock = threading.Lock()
        self._told = threading.Event()
        if not answers:
            self._tell()
        for answer in answers:
            answer.add_done_callback(self._count)

    def get(self, timeout: Seconds | None = None) -> Any:
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError
        error = self._error()
        if error is not None:
            raise error
        return self._value()

    def wait(self, timeout: Seconds | None = None) -> None:
        self._told.wait(timeout)

    def ready(self) -> bool:
        return self._told.is_set()

    def successful(self) -> bool:
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error() is None

    def _value(self) -> Any:
        return self._joined([answer.result() for answer in self._answers])

    def _error(self) -> BaseException | None:
        return next((error for answer in self._answers if (error := answer.exception()) is not None), None)

    def _count(self, answer: Future[Any]) -> None:
        del answer
        with self._lock:
            self._missing -= 1
            last = self._missing == 0
        if last:
            self._tell()

    def _tell(self) -> None:
        """Call back first, as the standard library does: who waits finds it done."""
        error = self._error()
        try:
            if error is None and self._callback is not None:
                self._callback(self._value())
            elif error is not None and self._error_callback is not None:
                self._error_callback(error)
        finally:
            self._told.set()


class Iteration:
    """Results as they are asked for; a thread submits `tasks`, and keeps at most `ahead` of them before the reader."""

    def __init__(self, tasks: Iterator[Callable[[], Future[Any]]], ahead: int, ordered: bool) -> None:
        self._ordered = ordered
        self._slots = threading.Semaphore(ahead)
        self._answers: SimpleQueue[Future[Any] | None] = SimpleQueue()
        self._current: Future[Any] | None = None
        self._values: deque[Any] = deque()
        self._received, self._sent = 0, -1
        """Answers; `_sent` is not known before the last task was submitted."""
        threading.Thread(target=self._feed, args=(tasks,), name="aiga-imap", daemon=True).start()

    def __iter__(self) -> "Iteration":
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: Seconds | None = None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._values:
            self._values.extend(self._chunk(deadline))
        return self._values.popleft()

    def _chunk(self, deadline: float | None) -> Any:
        """The values of the next task."""
        if self._current is None:
            if self._received == self._sent:
                raise StopIteration
            try:
                self._current = self._answers.get(timeout=_left(deadline))
            except Empty:
                raise TimeoutError from None
            if self._current is None:  # the end; an answer may still come
                return ()
        if not wait([self._current], _left(deadline)).done:
            raise TimeoutError
        answer, self._current = self._current, None
        self._received += 1
        self._slots.release()
        return answer.result()

    def _feed(self, tasks: Iterator[Callable[[], Future[Any]]]) -> None:
        sent = 0
        try:
            for submit in tasks:
                self._slots.acquire()
                answer = submit()
                sent += 1
                if self._ordered:
                    self._answers.put(answer)
                else:
                    answer.add_done_callback(self._answers.put)
        except Exception as error:  # of the caller's iterable, or the pool was closed
            failed: Future[Any] = Future()
            failed.set_exception(error)
            sent += 1
            self._answers.put(failed)
        self._sent = sent
        self._answers.put(None)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
