"""How long steps take on so many workers, by simulation of discrete events from measured costs.

What is simulated: one loop packs and submits the tasks of a batch, one after the other; a worker has one task at a
time, waits while its answer travels and until the loop has read the answers before it, and is then given the next; a
batch begins when the one before it is read, and the loop does the rest of the step when all are.  Messages that pass
through one network line in the same direction wait for each other.

What is not: workers that start, die, or differ in speed; work that the loop does beside reading; more than one loop.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple


class Costs(NamedTuple):
    """Of carrying a task; seconds."""

    submit: float
    """The loop's, when it is submitted."""
    receive: float
    """The loop's, when its answer is read and the worker is given the next."""
    there: float
    """From the loop to the task's start, in which the loop does other things."""
    back: float
    bandwidth: float = float("inf")
    """Bytes per second of the line between the loop and all workers, in each direction."""


class Load(NamedTuple):
    """A task."""

    seconds: float
    out: int = 0
    """Bytes of the message to the worker."""
    back: int = 0


def step(batches: Sequence[Sequence[Load]], between: float, workers: int, costs: Costs) -> float:
    """Seconds of a step with these batches and `between` seconds of the loop's own."""
    return sum(batch(loads, workers, costs) for loads in batches) + between


def batch(loads: Sequence[Load], workers: int, costs: Costs) -> float:
    """Seconds from the first submission to when the last answer is read."""
    now = out_free = back_free = 0.0
    ends: list[tuple[float, int]] = []
    """When the answer leaves the worker, and whose it is."""

    def give(task: int) -> None:
        nonlocal out_free
        out_free = max(now, out_free) + loads[task].out / costs.bandwidth
        heapq.heappush(ends, (out_free + costs.there + loads[task].seconds, task))

    given = min(workers, len(loads))
    for task in range(len(loads)):
        now += costs.submit
        if task < given:
            give(task)
    while ends:
        left, task = heapq.heappop(ends)
        back_free = max(left, back_free) + loads[task].back / costs.bandwidth
        now = max(now, back_free + costs.back) + costs.receive
        if given < len(loads):
            give(given)
            given += 1
    return now
