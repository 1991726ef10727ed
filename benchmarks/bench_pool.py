"""Pool overhead: sleeps of 1 and 10 ms through `LocalPool`, `multiprocessing.Pool` and `concurrent.futures`.

Fiber's benchmark (Zhi et al. 2020, Fig. 2) on two workers, every pool warm, in one run.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from aiga.runs.pools import LocalPool

SIZES = {"1 ms": (0.001, 800), "10 ms": (0.01, 80)}
"""Row -> (seconds a task, tasks)."""
REPEATS = 5


def rows(workers: int = 2) -> list[dict[str, Any]]:
    """Seconds of wall time; ratio > 1: faster than the peer."""
    found = []
    with local(workers) as ours, process_pool(workers) as pool, futures(workers) as executor:
        runs = {"ours": ours, "multiprocessing.Pool": pool, "concurrent.futures": executor}
        for row, (seconds, tasks) in SIZES.items():
            times = _medians(runs, seconds, tasks)
            for peer in ("multiprocessing.Pool", "concurrent.futures"):
                found.append(_row(f"{row} sleep, {workers} workers", times["ours"], times[peer], peer))
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
    """Rounds of all the pools in turn, so that a busy moment of the machine falls on each."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(seconds, 4)
    for _ in range(REPEATS):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(seconds, tasks)
            taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in taken.items()}


def _row(row: str, ours: float, peer: float, peer_name: str) -> dict[str, Any]:
    measured = {"unit": "s", "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": peer_name}
    return {"bench": "pool", "row": row, **measured, "ratio": round(peer / ours, 3)}


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=2)
