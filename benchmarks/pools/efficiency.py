"""What a second worker brings: the steps of a system with one and with two, in turn, from the same states."""

import asyncio
import statistics
import time
from contextlib import ExitStack
from typing import NamedTuple

import jax
from pools.loads import Step, System, begun, taken

from aiga.runs.local_pool import LocalPool


class Efficiency(NamedTuple):
    """Medians."""

    one: float
    """Evaluations per second of one worker."""
    two: float
    ratio: float
    """Of each turn: the time of one worker over twice the time of two."""


def efficiency(system: System, step: Step, turns: int) -> Efficiency:
    """An evaluation is an episode or a rollout: `step` says how many a step has."""
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
    one, two = (statistics.median(times) for times in zip(*seconds, strict=True))
    count = system.evaluations * len(step.tasks)
    return Efficiency(count / one, count / two, statistics.median(a / (2 * b) for a, b in seconds))
