"""Pool overhead: sleeps of 1 and 10 ms through `LocalPool`, `multiprocessing.Pool` and `concurrent.futures`.

Fiber's benchmark (Zhi et al. 2020, Fig. 2) on two workers, every pool warm, in one run.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from measure import measured_in_turn, row

from aiga.runs.local_pool import LocalPool

SIZES = {"1 ms": (0.001, 800), "10 ms": (0.01, 80)}
"""Row -> (seconds a task, tasks)."""


def rows(workers: int = 2) -> list[dict[str, Any]]:
    """Seconds of wall time; ratio > 1: faster than the peer."""
    found = []
    with local(workers) as ours, process_pool(workers) as pool, futures(workers) as executor:
        runs = {"ours": ours, "multiprocessing.Pool": pool, "concurrent.futures": executor}
        for size, (seconds, tasks) in SIZES.items():
            times = _medians(runs, seconds, tasks)
            for peer in ("multiprocessing.Pool", "concurrent.futures"):
                name = f"{size} sleep, {workers} workers"
                found.append(row("pool", name, "s", times["ours"], times[peer], peer, smaller_is_better=True))
    return found


@contextmanager
def local(workers: int) -> Iterator[Callable[[float, int], object]]:
    async def run(seconds: float, tasks: int) -> None:
        async for _ in pool.map(time.sleep, [seconds] * tasks):
            pass

    with LocalPool(workers) as pool:
        yield lambda seconds, tasks: asyncio.run(run(seconds, tasks))


@contextmanager
def process_pool(workers: int) -> Iterator[Callable[[float, int], object]]:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield lambda seconds, tasks: pool.map(time.sleep, [seconds] * tasks, chunksize=1)


@contextmanager
def futures(workers: int) -> Iterator[Callable[[float, int], object]]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda seconds, tasks: list(pool.map(time.sleep, [seconds] * tasks))


def _medians(runs: dict[str, Callable[[float, int], object]], seconds: float, tasks: int) -> dict[str, float]:
    """Seconds of wall time of each pool, warm."""
    for run in runs.values():
        run(seconds, 4)
    found = measured_in_turn(*(lambda _, run=run: run(seconds, tasks) for run in runs.values()))
    return {name: taken.wall for name, taken in zip(runs, found, strict=True)}


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=2)
