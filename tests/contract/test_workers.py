"""Same seed, same archive: for one, two or eight workers, for workers that are killed, and (in `test_ray`) on Ray."""

import functools

import numpy as np
import pytest

from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Serial
from aiga.runs.thread_pool import ThreadPool
from tests.populations import Killing, final_state


@functools.cache
def alone(system):
    return final_state(system, Serial())


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("workers", [1, 8])
def test_the_archive_does_not_depend_on_the_number_of_workers(workers):
    with LocalPool(workers) as pool:
        same(final_state("go_explore", pool), alone("go_explore"))


@pytest.mark.parametrize(("system", "every"), [("go_explore", 4), ("poet", 3)])
def test_the_archive_does_not_depend_on_workers_that_are_killed(system, every):
    with LocalPool(2, retries=20) as pool:
        killing = Killing(pool, every)
        same(final_state(system, killing), alone(system))
    assert killing.kills > 0


def test_threads_give_the_same_archive():
    with ThreadPool(3) as pool:
        same(final_state("go_explore", pool), alone("go_explore"))
