"""Workers on a Ray cluster: one that is running, or one started on this machine for the time of the pool."""

import asyncio
import math
import os
import pickle
import secrets
import sys
import warnings
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process
from typing import Any, Literal, NamedTuple, TypeVar

from aiga.core.errors import UsageError, require
from aiga.runs.local_pool import SINGLE_THREADED, cores
from aiga.runs.parcels import Parcels
from aiga.runs.pools import Chunk, Seconds
from aiga.runs.ray_worker import Actor, Setup
from aiga.runs.workforce import Workforce

T = TypeVar("T")
LOOK_EVERY = 2.0
"""Seconds between looks at how many CPUs the cluster has."""


@dataclass
class OwnRay:
    """The Ray that this process started."""

    started: bool = False
    cpus: int = 0
    pools: int = 0
    """Open ones."""


_own = OwnRay()


class Needs(NamedTuple):
    """What a task needs while it runs; a worker has it as long as it lives."""

    cpus: float = 1
    """Also the threads of numerics."""
    gpus: float = 0
    memory: float = 0
    """Bytes; a promise to the scheduler, not a limit."""


ONE_CPU = Needs()


class RayPool(Workforce):
    """Actors on a Ray cluster; serves one event loop at a time.

    `address`: of a running Ray (`auto`, or HOST:PORT); without it, and where this process has not joined one already,
    one is started on this machine and ends with this process.  `workers=None` or `"auto"`: as many as the cluster has
    CPUs for, also when nodes join or leave.  `needs`: of each task that does not say otherwise.  A worker holds what it
    needs until the pool is closed.

    Big arguments (NumPy arrays and bytes from 100 kB on) are put into Ray's store once, however many tasks take them;
    there the arrays cannot be written.  Tasks do not run in the main thread of their process.
    """

    def __init__(
        self,
        workers: int | Literal["auto"] | None = None,
        retries: int = 3,
        *,
        address: str | None = None,
        needs: Needs = ONE_CPU,
        renew_after: int | None = None,
    ) -> None:
        self._ray = _imported(own=address is None)
        _joined(self._ray, address, needs.cpus * (workers if isinstance(workers, int) else 0))
        self._own = _own.started
        self._needs = needs
        self._follows = not isinstance(workers, int)
        self._watched: asyncio.AbstractEventLoop | None = None
        self._parcels = Parcels(self._ray)
        self._actor = self._ray.remote(concurrency_groups={"life": 1})(Actor)
        super().__init__(self._room() if not isinstance(workers, int) else workers, retries, renew_after)
        self._check(needs)
        _own.pools += self._own

    def submit(
        self,
        fn: Callable[..., T],
        *args: Any,
        timeout: Seconds | None = None,
        chunk: Chunk = 1,
        needs: Needs | None = None,
    ) -> asyncio.Future[T]:
        """As of every `Workforce`; `needs`: other resources than those of the pool."""
        if needs is not None:
            self._check(needs)
        return self._submit(needs or self._needs, fn, args, timeout, chunk)

    def _packed(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._follow()
        return self._parcels.packed(fn, args)

    def _started(self, needs: Hashable) -> "tuple[RayWorker, bool]":
        assert isinstance(needs, Needs)
        threads = str(max(1, int(needs.cpus)))
        platform = os.environ.get("JAX_PLATFORMS", "cuda" if needs.gpus else "cpu")
        variables = dict.fromkeys(SINGLE_THREADED, threads) | {"JAX_PLATFORMS": platform}
        setup = Setup(tuple(sys.path), variables, bytes(current_process().authkey))
        kind = self._actor.options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None, max_restarts=0, max_task_retries=0
        )
        return RayWorker(self, self._ray, kind.remote(setup)), False

    def _released(self) -> None:
        self._parcels.clear()
        _own.pools -= self._own

    def _check(self, needs: Needs) -> None:
        """What a Ray of our own does not have will never come."""
        has = self._ray.cluster_resources() if self._own else {}
        if self._own and (needs.cpus > has.get("CPU", 0) or needs.gpus > has.get("GPU", 0)):
            raise UsageError(
                f"a task needs {needs.cpus:g} CPUs and {needs.gpus:g} GPUs, but this machine's Ray has"
                f" {has.get('CPU', 0):g} and {has.get('GPU', 0):g}: ask for less, or join a cluster with `address`."
            )

    def _room(self) -> int:
        """Workers that the cluster has room for at the moment, others' use of it aside."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1) / max(self._needs.cpus, 1e-3)))

    def _follow(self) -> None:
        """Look at the cluster from time to time while the loop runs, if it says how many workers there are."""
        loop = asyncio.get_running_loop()
        if self._follows and not self._own and loop is not self._watched:
            self._watched = loop
            loop.call_later(LOOK_EVERY, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed or loop is not self._watched:
            return
        with suppress(self._ray.exceptions.RayError):
            room = self._room()
            if room != self.workers:
                super().resize(room)
        loop.call_later(LOOK_EVERY, self._look, loop)

    def resize(self, workers: int) -> None:
        """Have so many workers from now on, however many CPUs the cluster has."""
        self._follows, self._watched = False, None
        super().resize(workers)


class RayWorker:
    """An actor, and the calls that it was given."""

    def __init__(self, workforce: Workforce, ray: Any, actor: Any) -> None:
        self._workforce, self._ray, self._actor = workforce, ray, actor
        self._dismissed = False
        actor.ready.remote().future().add_done_callback(self._arrived)
        life = actor.live.options(concurrency_group="life").remote()
        life.future().add_done_callback(lambda _: self._tell(workforce.ended))

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """It reports through the workforce."""

    def detach(self) -> None:
        """It reports through the workforce."""

    def give(self, calls: Sequence[Any]) -> None:
        buffers = [buffer for _, some in calls for buffer in some]
        answers = self._actor.run.remote([(call, len(some)) for call, some in calls], *buffers)
        answers.future().add_done_callback(self._answered)

    def kill(self) -> None:
        self._ray.kill(self._actor)

    def dismiss(self) -> None:
        self._dismissed = True
        self.bury(0.0)

    def bury(self, patience: Seconds) -> int | None:
        with suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._actor)  # also when it works: as long as it lives it holds what others wait for

    def _arrived(self, ready: Any) -> None:
        if ready.exception() is None:
            self._tell(self._workforce.arrived)

    def _answered(self, answers: Any) -> None:
        if answers.exception() is not None:
            self._tell(self._workforce.ended)
            return
        done = [(seconds, partial(pickle.loads, outcome)) for seconds, outcome in answers.result()]
        self._tell(self._workforce.answered, done)

    def _tell(self, report: Callable[..., None], *args: Any) -> None:
        if not self._dismissed:
            self._workforce.post(report, self, *args)


def _imported(own: bool) -> Any:
    """Ray, told before it is imported to send no statistics and, if it is our own, to serve nobody else."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if own and "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's name for: listen on the loopback alone
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    return require("ray", "ray")


def host(address: str | None) -> str:
    """Where workers reach this machine: the loopback for a Ray of our own, else this node's address."""
    ray = _imported(own=address is None)
    if address is not None:
        _joined(ray, address, 0)
    return ray.util.get_node_ip_address() if ray.is_initialized() else "127.0.0.1"


def _joined(ray: Any, address: str | None, cpus: float | int) -> None:
    """Join the Ray at the address, or the one that this process uses, or start one."""
    if ray.is_initialized() and not (_own.started and not _own.pools and cpus > _own.cpus):
        return
    if ray.is_initialized():  # ours, and too small
        ray.shutdown()
    if address is None:
        _own.started, _own.cpus = True, max(cores(), math.ceil(cpus))
        with warnings.catch_warnings():  # Ray forks to start other programs, which is no harm to JAX's threads
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(
                address="local",
                num_cpus=_own.cpus,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                logging_level="error",
            )
        return
    _own.started = False
    try:
        ray.init(address=address, logging_level="error")
    except Exception as error:  # not found, another version, no right to: each has its own class
        said = " ".join(str(error).split())[:200]
        raise UsageError(
            f"no Ray can be joined at {address!r} ({said}): start one with `ray start --head`, or drop --address."
        ) from error
