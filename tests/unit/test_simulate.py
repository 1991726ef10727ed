"""The simulation of a pool, by hand."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from pools.simulate import Costs, Load, batch, step

FREE = Costs(0.0, 0.0, 0.0, 0.0)


def test_without_costs_tasks_are_divided_among_the_workers():
    loads = [Load(1.0)] * 6
    assert [batch(loads, workers, FREE) for workers in (1, 2, 4, 6, 100)] == [6, 3, 2, 1, 1]


def test_a_long_task_holds_up_the_batch():
    assert batch([Load(1.0), Load(1.0), Load(5.0)], 2, FREE) == 6


def test_the_loop_submits_all_before_it_reads_and_reads_one_after_the_other():
    assert batch([Load(0.0)] * 4, 4, Costs(1.0, 10.0, 0.0, 0.0)) == 44
    assert batch([Load(100.0)] * 4, 4, Costs(1.0, 10.0, 0.0, 0.0)) == 101 + 40


def test_a_worker_waits_while_messages_travel():
    assert batch([Load(1.0)] * 3, 1, Costs(0.0, 0.25, 2.0, 3.0)) == 3 * 6.25


def test_messages_wait_for_each_other_on_the_line():
    costs = FREE._replace(bandwidth=10.0)
    assert batch([Load(0.0, out=20)] * 3, 3, costs) == 6
    assert batch([Load(1.0, back=20)] * 3, 3, costs) == 7


def test_the_batches_of_a_step_and_the_rest_follow_each_other():
    assert step([[Load(1.0)] * 2, [Load(3.0)]], 0.5, 2, FREE) == pytest.approx(4.5)
