"""The curve to 1,000 workers: measure what carrying a task costs, simulate, and compare with what was measured.

    python benchmarks/pools/scaling.py OUT.json FIGURE.png

Assumed for a cluster, and not measured here: each message takes a quarter of a millisecond longer than within this
machine, and all pass through one line of 10 Gb/s.  Assumed everywhere: costs are the same however many workers there
are.  The CPU time of Ray's threads in this process counts as the loop's, though a part of it runs beside the loop.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pools.loads import Step, Task, enlarged, go_explore, poet, stand_in, watched
from pools.simulate import Costs, Load, step

from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import AnyPool, present
from aiga.runs.ray_pool import RayPool

COUNTS = (1, 2, 5)
"""Workers with which simulation and measurement are compared."""
WORKERS = (1, 2, 5, 10, 32, 64, 128, 256, 512, 1024)
NETWORK, LINE = 0.25e-3, 1.25e9
"""Seconds for a message, and bytes per second."""
ES = {"iterations": 50, "population": 2048, "mean": 1480 * 32 / (50 * 2048)}
"""Fiber's; the mean seconds of an episode are those that its time with 32 workers implies."""


def main(out: str, figure: str) -> None:
    """Measure, simulate, write the numbers, and draw them."""
    go, (walked, lengths) = watched(go_explore())[0], watched(poet(batch=32))
    with pools() as found:
        costs = {
            kind: {name: cost(sets[2], tasks) for name, tasks in (("go_explore", go.tasks), ("poet", walked.tasks))}
            for kind, sets in found.items()
        }
        loads = {"go_explore": go.batches, "poet": walked.batches}
        checks = [check(kind, name, found[kind], loads[name], costs[kind][name]) for kind in found for name in loads]
    cluster = {name: remote(each) for name, each in costs["ray"].items()}
    numbers = {
        "load": os.getloadavg(),
        "tasks": {name: told(each) for name, each in (("go_explore", go), ("poet", walked))},
        "costs": {kind: {name: each._asdict() for name, each in some.items()} for kind, some in costs.items()},
        "checks": checks,
        "curves": curves(go, walked, cluster, costs["local"]),
        "es": strategies(np.asarray(lengths), cluster["go_explore"], walked),
    }
    Path(out).write_text(json.dumps(numbers, indent=1))
    from pools.drawn import draw

    draw(numbers, figure)


@contextmanager
def pools() -> Iterator[dict[str, dict[int, AnyPool]]]:
    """A pool of each kind for each number of workers."""
    with ExitStack() as stack:
        local: dict[int, AnyPool] = {count: stack.enter_context(LocalPool(count)) for count in COUNTS}
        everything = stack.enter_context(RayPool(sum(COUNTS)))  # starts a Ray with room for all
        clustered: dict[int, AnyPool] = {count: stack.enter_context(RayPool(count)) for count in COUNTS}
        del everything
        yield {"local": local, "ray": clustered}


def cost(pool: AnyPool, tasks: Sequence[Task], n: int = 200) -> Costs:
    """Of carrying tasks of these sizes; the median of five turns."""
    idle = [task._replace(seconds=0.0) for task in tasks]
    idle = [idle[i % len(idle)] for i in range(n)]
    turns = [asyncio.run(_cost(pool, idle)) for _ in range(6)][1:]
    return Costs(*(statistics.median(values) for values in zip(*turns, strict=True)))


async def _cost(pool: AnyPool, tasks: Sequence[Task]) -> Costs:
    began = time.process_time()
    futures = [pool.submit(stand_in, task) for task in tasks]
    submitted = time.process_time()
    await asyncio.gather(*futures)
    submit, receive = (submitted - began) / len(tasks), (time.process_time() - submitted) / len(tasks)
    trips = []
    for task in tasks[:50]:
        left = time.perf_counter()
        await pool.submit(stand_in, task)
        trips.append(time.perf_counter() - left)
    away = max(0.0, statistics.median(trips) - submit - receive) / 2
    return Costs(submit, receive, away, away)


def check(
    kind: str, name: str, sets: dict[int, AnyPool], batches: Sequence[Sequence[Task]], costs: Costs
) -> dict[str, Any]:
    """Seconds of a step's tasks as stand-ins, in turn with each number of workers: measured, and simulated.

    Simulated from the times that the stand-ins took: a busy machine wakes them late.
    """
    measured, simulated = {count: [] for count in sets}, {count: [] for count in sets}
    for _ in range(6):
        for count, pool in sets.items():
            seconds, taken = asyncio.run(_carried(pool, batches))
            measured[count].append(seconds)
            simulated[count].append(step(_loads(taken), 0.0, count, costs))
    ratios = {
        count: [ours / theirs for ours, theirs in zip(simulated[count], measured[count], strict=True)] for count in sets
    }
    found = {"measured": measured, "simulated": simulated, "ratio": ratios}
    medians = {
        name: {count: statistics.median(values[1:]) for count, values in each.items()} for name, each in found.items()
    }
    return {"pool": kind, "load": name, **medians}


async def _carried(pool: AnyPool, batches: Sequence[Sequence[Task]]) -> tuple[float, list[list[Task]]]:
    """How long it took, and the tasks with the seconds that they took."""
    began, taken = time.perf_counter(), []
    for tasks in batches:
        answers = await asyncio.gather(*(pool.submit(stand_in, task) for task in tasks))
        seconds = [present(answer)[0] for answer in answers]
        taken.append([task._replace(seconds=each) for task, each in zip(tasks, seconds, strict=True)])
    return time.perf_counter() - began, taken


def remote(costs: Costs) -> Costs:
    """The same on a cluster."""
    return costs._replace(there=costs.there + NETWORK, back=costs.back + NETWORK, bandwidth=LINE)


def curves(go: Step, walked: Step, cluster: dict[str, Costs], local: dict[str, Costs]) -> dict[str, dict[int, float]]:
    """Efficiency by workers: the time of one over that of so many, and over their number."""
    rng = np.random.default_rng(0)
    wide = enlarged(Step(walked.batches[:1], walked.between), 33, rng)
    return {
        "Go-Explore, 100 rollouts a step, local": _efficiency(go, local["go_explore"]),
        "Go-Explore, 100 rollouts a step": _efficiency(go, cluster["go_explore"]),
        "Go-Explore, 10,000 rollouts": _efficiency(enlarged(go, 100, rng), cluster["go_explore"]),
        "POET, 6 pairs of 64 candidates, local": _efficiency(walked, local["poet"]),
        "POET, 6 pairs of 64 candidates": _efficiency(walked, cluster["poet"]),
        "POET, 25 pairs of 512 candidates": _efficiency(wide, cluster["poet"]),
    }


def _efficiency(found: Step, costs: Costs) -> dict[int, float]:
    times = {workers: step(_loads(found.batches), found.between, workers, costs) for workers in WORKERS}
    return {workers: times[1] / (workers * seconds) for workers, seconds in times.items()}


def strategies(lengths: np.ndarray, costs: Costs, walked: Step) -> dict[int, float]:
    """Seconds of Fiber's evolution strategies, an episode a task; episodes differ as those of our walkers do.

    A message carries one of our walkers, 15 kB; the costs are those of Go-Explore's messages, which are twice that.
    """
    rng = np.random.default_rng(0)
    size, back = (value // 32 for value in (len(walked.tasks[0].payload), walked.tasks[0].reply))
    seconds = rng.choice(lengths / lengths.mean() * ES["mean"], size=(ES["iterations"], ES["population"]))
    batches = [[Load(each, size, back) for each in row] for row in seconds.tolist()]
    return {workers: step(batches, 0.0, workers, costs) for workers in WORKERS if workers >= 32}


def _loads(batches: Sequence[Sequence[Task]]) -> list[list[Load]]:
    return [[Load(task.seconds, len(task.payload), task.reply) for task in tasks] for tasks in batches]


def told(found: Step) -> dict[str, Any]:
    """What a step consists of."""
    seconds, out, back = zip(*((task.seconds, len(task.payload), task.reply) for task in found.tasks), strict=True)
    return {
        "batches": [len(batch) for batch in found.batches],
        "seconds": [min(seconds), statistics.median(seconds), max(seconds)],
        "bytes": [statistics.median(out), statistics.median(back)],
        "between": found.between,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
