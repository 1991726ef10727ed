"""What a second worker brings: the steps of a system with one and with two, in turn, from the same states."""

import asyncio
import statistics
import time
from contextlib import ExitStack
from typing import NamedTuple

import jax
from pools.loads import System, begun, taken

from aiga.runs.local_pool import LocalPool


class Efficiency(NamedTuple):
    """Medians."""

    one: float
    """Evaluations per second of one worker."""
    two: float
    ratio: float
    """Of each turn: the time of one worker over twice the time of two."""


def efficiency(system: System, turns: int) -> Efficiency:
    """An evaluation is an episode or a rollout."""
    with ExitStack() as stack:
        pools = [stack.enter_context(LocalPool(workers)) for workers in (1, 2)]
        made, key, state = begun(system, pools[0])
        peer = system.make(pools[1])
        asyncio.run(peer.step(key, state))
        seconds: list[tuple[float, float]] = []
        for turn in range(turns):
            now = jax.random.fold_in(key, system.warm_up + turn)
            times = []
            for each in (made, peer):
                began = time.perf_counter()
                after = taken(each, now, state)
                times.append(time.perf_counter() - began)
            state = after
            seconds.append((times[0], times[1]))
    return _of(seconds, system.evaluations)


def _of(seconds: list[tuple[float, float]], count: int) -> Efficiency:
    one, two = (statistics.median(times) for times in zip(*seconds, strict=True))
    return Efficiency(count / one, count / two, statistics.median(a / (2 * b) for a, b in seconds))


def ceiling(turns: int, tasks: int = 16) -> Efficiency:
    """What this machine has left for a second worker: of tasks of a tenth of a second that only count."""
    seconds: list[tuple[float, float]] = []
    with ExitStack() as stack:
        pools = [stack.enter_context(LocalPool(workers)) for workers in (1, 2)]
        for _ in range(1 + turns):
            times = []
            for pool in pools:
                began = time.perf_counter()
                asyncio.run(_counted(pool, tasks))
                times.append(time.perf_counter() - began)
            seconds.append((times[0], times[1]))
    return _of(seconds[1:], tasks)


async def _counted(pool: LocalPool, tasks: int) -> None:
    await asyncio.gather(*[pool.submit(_count) for _ in range(tasks)])


def _count() -> int:
    return sum(range(3 * 10**6))
