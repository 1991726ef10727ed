"""What processes share: managers, queues and pipes, on this machine or on a Ray cluster.

A manager is the standard library's own server, in a process beside the caller's; its objects are reached from every
worker, on a cluster over TCP with a secret key.  Queues are a manager's, so that they can be sent to the workers of a
pool, which the standard library's cannot.
"""

import os
from collections import deque
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from queue import Empty
from typing import Any

from aiga.core.errors import UsageError
from aiga.runs.pools import Seconds

POOL, ADDRESS = "AIGA_POOL", "AIGA_ADDRESS"
"""The variables that say where work runs where the script does not."""
END = "aiga: the other end was closed"
"""Goes through a pipe as its last message."""
_managers: dict[str, SyncManager] = {}
"""One for each kind, of the queues and pipes that come without a manager."""


def chosen(pool: str | None, address: str | None) -> tuple[str, str | None]:
    """Where work runs: as given, or as the variables say; on this machine, if neither says."""
    kind = pool or os.environ.get(POOL) or "local"
    return kind, address or (os.environ.get(ADDRESS) or None if kind == "ray" else None)


def Manager(*, pool: str | None = None, address: str | None = None) -> SyncManager:  # noqa: N802
    """The standard library's manager (dict, list, Namespace, Lock, Queue, ...), within reach of all workers."""
    kind, address = chosen(pool, address)
    place = None
    if kind == "ray":
        from aiga.runs.ray_pool import host

        place = host(address), 0
    manager = SyncManager(place, ctx=get_context("spawn"))
    manager.start()
    return manager


def _shared(pool: str | None, address: str | None) -> SyncManager:
    kind, address = chosen(pool, address)
    if kind not in _managers:
        _managers[kind] = Manager(pool=kind, address=address)
    return _managers[kind]


class Queue:
    """`multiprocessing.Queue` that can be sent to any worker."""

    def __init__(self, maxsize: int = 0, *, pool: str | None = None, address: str | None = None) -> None:
        self._items: Any = _shared(pool, address).Queue(maxsize)

    def put(self, obj: Any, block: bool = True, timeout: Seconds | None = None) -> None:
        self._items.put(obj, block, timeout)

    def get(self, block: bool = True, timeout: Seconds | None = None) -> Any:
        return self._items.get(block, timeout)

    def put_nowait(self, obj: Any) -> None:
        self._items.put_nowait(obj)

    def get_nowait(self) -> Any:
        return self._items.get_nowait()

    def qsize(self) -> int:
        return self._items.qsize()

    def empty(self) -> bool:
        return self._items.empty()

    def full(self) -> bool:
        return self._items.full()

    def close(self) -> None:
        """What was put is there at once: there is nothing to flush."""

    def join_thread(self) -> None:
        """There is no thread to join."""

    def cancel_join_thread(self) -> None:
        """There is no thread to join."""


class SimpleQueue:
    """`multiprocessing.SimpleQueue` that can be sent to any worker."""

    def __init__(self, *, pool: str | None = None, address: str | None = None) -> None:
        self._items: Any = _shared(pool, address).Queue()

    def put(self, obj: Any) -> None:
        self._items.put(obj)

    def get(self) -> Any:
        return self._items.get()

    def empty(self) -> bool:
        return self._items.empty()

    def close(self) -> None:
        """Nothing to close."""


def Pipe(  # noqa: N802
    duplex: bool = True, *, pool: str | None = None, address: str | None = None
) -> "tuple[Connection, Connection]":
    """Two connected ends; if not `duplex`, the first receives and the second sends."""
    manager = _shared(pool, address)
    there, back = manager.Queue(), manager.Queue() if duplex else None
    return Connection(there, back), Connection(back, there)


class Connection:
    """An end of a pipe that can be sent to any worker.

    Closing it tells the other end, unless this copy was sent to a worker: then the worker's copy does.
    """

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._ahead: deque[Any] = deque()
        self._sent_away = self.closed = False

    @property
    def readable(self) -> bool:
        return self._incoming is not None

    @property
    def writable(self) -> bool:
        return self._outgoing is not None

    def send(self, obj: Any) -> None:
        self._check(self._outgoing, "receives only")
        self._outgoing.put(obj)

    def recv(self) -> Any:
        self._check(self._incoming, "sends only")
        message = self._ahead.popleft() if self._ahead else self._incoming.get()
        if isinstance(message, str) and message == END:
            self._ahead.append(message)
            raise EOFError
        return message

    def poll(self, timeout: Seconds | None = 0.0) -> bool:
        """Whether there is something to receive; wait so many seconds for it, or with None until there is."""
        self._check(self._incoming, "sends only")
        if not self._ahead:
            try:
                self._ahead.append(self._incoming.get(timeout != 0, timeout))
            except Empty:
                return False
        return True

    def close(self) -> None:
        if not self.closed and not self._sent_away and self._outgoing is not None:
            self._outgoing.put(END)
        self.closed = True

    def fileno(self) -> int:
        raise UsageError("this pipe has no file: use `poll`, or a pipe of the standard library on one machine.")

    def send_bytes(self, *_: Any) -> None:
        raise UsageError("this pipe sends objects: use `send`.")

    def recv_bytes(self, *_: Any) -> bytes:
        raise UsageError("this pipe sends objects: use `recv`.")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        self._sent_away = True
        return Connection, (self._incoming, self._outgoing)

    def _check(self, queue: Any, what: str) -> None:
        if self.closed:
            raise OSError("handle is closed")
        if queue is None:
            raise OSError(f"this end of the pipe {what}")
