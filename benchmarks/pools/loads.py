"""What is carried: sleeps, or stand-ins for the tasks of a system, measured where they are done without a pool."""

import asyncio
import os
import pickle
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from aiga.core.protocols import Pool
from aiga.core.trees import take
from aiga.learners.walkers import Batch
from aiga.runs.local_pool import SINGLE_THREADED

os.environ.update(dict.fromkeys(SINGLE_THREADED, "1"))  # tasks are measured as workers do them

JUDGED = 5
"""Episodes by which an agent of POET is judged."""


class Task(NamedTuple):
    """Waits for `seconds`, and carries as many bytes as the task that it stands for."""

    seconds: float
    payload: bytes = b""
    reply: int = 0
    """Bytes."""


def stand_in(task: Task) -> tuple[float, bytes]:
    """The seconds that it took, which are more on a busy machine, and the reply."""
    began = time.perf_counter()
    time.sleep(task.seconds)
    return time.perf_counter() - began, bytes(task.reply)


class Step(NamedTuple):
    """A step of a system without a pool: its tasks, in batches that wait for each other, and what it does besides."""

    batches: list[list[Task]]
    between: float
    """CPU-seconds of the step without its tasks."""

    @property
    def tasks(self) -> list[Task]:
        return [task for batch in self.batches for task in batch]


class Watch:
    """A pool that does tasks at once, in this process, and notes what each cost."""

    workers = 1

    def __init__(self) -> None:
        self.batches: list[list[Task]] = []
        self.lengths: list[int] = []
        """Of the episodes of walkers."""
        self.busy = 0.0
        """CPU-seconds of tasks, and of watching."""
        self._open = False

    def submit(self, fn: Callable[..., Any], *args: Any, **_: Any) -> asyncio.Future[Any]:
        """Tasks that are submitted before any is waited for are a batch."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entered = time.process_time()
        if not self._open:
            self.batches.append([])
            self._open = True
            asyncio.get_running_loop().call_soon(self._close)
        payload = pickle.dumps((fn, args), pickle.HIGHEST_PROTOCOL)
        began = time.process_time()
        answer = fn(*args)
        seconds = time.process_time() - began
        self.batches[-1].append(Task(seconds, payload, len(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))))
        if isinstance(answer, Batch):
            self.lengths += answer.length.tolist()
        future.set_result(answer)
        self.busy += time.process_time() - entered
        return future

    def _close(self) -> None:
        self._open = False


class System(NamedTuple):
    """A system under load: how it is made with a pool, how it begins, and the steps before it is measured."""

    make: Callable[[Pool], Any]
    begin: Callable[[Any, jax.Array], Any]
    warm_up: int
    evaluations: int
    """Of a step: rollouts or episodes."""


def go_explore(batch: int = 100) -> System:
    """Go-Explore on Montezuma's Revenge, by domain cells."""
    from aiga.systems.go_explore import make

    def made(pool: Pool) -> Any:
        return make(cells="domain", batch=batch, pool=pool).stages[0].system

    return System(made, lambda system, key: system.init(key), 8, batch)


def poet(batch: int = 128, capacity: int = 6, pairs: int = 32) -> System:
    """POET's steps of evolution strategies, with as many pairs as there is room for: copies of the first."""
    from aiga.systems.poet import make

    def made(pool: Pool) -> Any:
        still = {"mutate_every": 10**6, "transfer": "none"}
        return make(batch=batch, capacity=capacity, pairs=pairs, episodes=JUDGED, **still, table=2**18, pool=pool)

    def begin(system: Any, key: jax.Array) -> Any:
        first = system.init(key)
        return first._replace(active=take(first.active, np.zeros(capacity, int)))

    return System(made, begin, 1, capacity * (2 * pairs + JUDGED))


def begun(system: System, pool: Pool) -> tuple[Any, jax.Array, Any]:
    """A system, a key, and the state after its first steps."""
    made, key = system.make(pool), jax.random.key(0)
    state = system.begin(made, key)
    for turn in range(system.warm_up):
        state = taken(made, jax.random.fold_in(key, turn), state)
    return made, key, state


def taken(system: Any, key: Any, state: Any) -> Any:
    """The state after a step."""
    found = []

    async def step() -> None:  # asyncio.run writes its result out, to tell it from a signal's handler
        found.append((await system.step(key, state))[0])

    asyncio.run(step())
    return found[0]


def watched(system: System, steps: int = 3) -> tuple[Step, list[int]]:
    """The step whose tasks took the middle time; and the lengths of walkers' episodes."""
    watch = Watch()
    made, key, state = begun(system, watch)
    found = []
    for turn in range(steps):
        watch.batches, watch.busy = [], 0.0
        began = time.process_time()
        state = taken(made, jax.random.fold_in(key, system.warm_up + turn), state)
        found.append(Step(watch.batches, time.process_time() - began - watch.busy))
    found.sort(key=lambda step: sum(task.seconds for task in step.tasks))
    middle = statistics.median(step.between for step in found)
    return found[len(found) // 2]._replace(between=middle), watch.lengths


def enlarged(step: Step, times: int, rng: np.random.Generator) -> Step:
    """A step of a larger population: so many times the tasks of each batch, drawn from it, and what is done besides."""
    batches = [[batch[i] for i in rng.integers(len(batch), size=times * len(batch))] for batch in step.batches]
    return Step(batches, times * step.between)
