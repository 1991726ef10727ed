"""Who carries the tasks: a warm pool each, as a function that does a list of tasks and returns the seconds it took."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from pools.loads import Task, stand_in

from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import AnyPool, Chunk

Carry = Callable[[Sequence[Task]], float]
SINGLE, DEFAULT = "one at a time", "default chunks"


@contextmanager
def everybody(workers: int, rayed: bool) -> Iterator[dict[str, Carry]]:
    """All of them, by name and chunks."""
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        local = stack.enter_context(LocalPool(workers))
        pool = stack.enter_context(spawn.Pool(workers))
        executor = stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn))
        carriers = {
            f"LocalPool, {SINGLE}": _ours(local, 1),
            f"LocalPool, {DEFAULT}": _ours(local, "auto"),
            f"multiprocessing.Pool, {SINGLE}": _timed(lambda tasks: pool.map(stand_in, tasks, chunksize=1)),
            f"multiprocessing.Pool, {DEFAULT}": _timed(lambda tasks: pool.map(stand_in, tasks)),
            f"concurrent.futures, {SINGLE}": _timed(lambda tasks: list(executor.map(stand_in, tasks))),
        }
        if rayed:
            cluster = stack.enter_context(own_ray(workers))
            carriers |= {
                f"RayPool, {SINGLE}": _ours(cluster, 1),
                f"RayPool, {DEFAULT}": _ours(cluster, "auto"),
                f"Ray tasks, {SINGLE}": plain_ray(),
            }
        for carry in carriers.values():
            carry([Task(0.01)] * 4 * workers)
        yield carriers


def own_ray(workers: int) -> AnyPool:
    """A Ray with as many CPUs again for what goes past our pool."""
    from aiga.runs.ray_pool import RayPool

    pool = RayPool(2 * workers)
    pool.resize(workers)
    return pool


def plain_ray() -> Carry:
    import ray
    from pools import loads
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(loads)  # Ray's workers do not look where this process does
    remote = ray.remote(stand_in)
    return _timed(lambda tasks: ray.get([remote.remote(task) for task in tasks]))


def _ours(pool: AnyPool, chunk: Chunk) -> Carry:
    async def carry(tasks: Sequence[Task]) -> None:
        async for _ in pool.map(stand_in, tasks, chunk=chunk):
            pass

    return _timed(lambda tasks: asyncio.run(carry(tasks)))


def _timed(carry: Callable[[Sequence[Task]], Any]) -> Carry:
    def run(tasks: Sequence[Task]) -> float:
        began = time.perf_counter()
        carry(tasks)
        return time.perf_counter() - began

    return run
