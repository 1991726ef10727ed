import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiga.archives.grid import Grid, GridCells
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation

CELLS = GridCells((0.0, 0.0), (1.0, 1.0), (2, 3))
place = jax.jit(lambda archive, genomes, evaluation: archive.place(genomes, evaluation))
batches = st.lists(
    st.tuples(
        st.integers(-2, 2).map(float) | st.just(math.nan),
        st.floats(-1, 2, width=32),
        st.floats(-1, 2, width=32) | st.just(math.nan),
    ),
    min_size=12,
    max_size=12,
)


def evaluation(rows) -> Evaluation:
    table = jnp.array(rows, jnp.float32)
    return Evaluation(table[:, 0], table[:, 1:])


def brute_force(elites: dict, rows, numbers) -> dict:
    """What a loop over candidates makes of a batch: cell -> (fitness, genome)."""
    elites = dict(elites)
    for number, (fitness, x, y) in zip(numbers, rows, strict=True):
        if not math.isnan(fitness + x + y):
            x, y = np.float32(x), np.float32(y)
            cell = min(max(int(np.floor(2 * x)), 0), 1) * 3 + min(max(int(np.floor(np.float32(3) * y)), 0), 2)
            if cell not in elites or fitness > elites[cell][0]:
                elites[cell] = (fitness, number)
    return elites


def contents(archive: Grid) -> dict:
    occupied = np.flatnonzero(np.asarray(archive.occupied))
    return {int(i): (float(archive.fitness[i]), float(archive.genomes[i])) for i in occupied}


@settings(max_examples=60, deadline=None)
@given(batches, batches)
def test_the_archive_holds_the_best_of_every_cell_the_first_of_equals(first, second):
    archive, expected = Grid.empty(jnp.array(-1.0), CELLS), {}
    for start, rows in ((0, first), (12, second)):
        numbers = np.arange(start, start + 12.0)
        before, archive = archive, place(archive, jnp.array(numbers), evaluation(rows))
        archive, placed = archive
        kept = np.asarray(placed.status) > 0
        known, expected = expected, brute_force(expected, rows, numbers)
        assert contents(archive) == expected
        cells = np.asarray(placed.cell)[kept]
        assert len(set(cells.tolist())) == kept.sum(), "two winners in a cell"
        assert {int(c) for c, s in zip(cells, np.asarray(placed.status)[kept], strict=True) if s == 1} <= known.keys()
        replaced = np.asarray(placed.replaced)[np.asarray(placed.status) == 1]
        gone = np.asarray(before.identity)[np.asarray(placed.cell)[np.asarray(placed.status) == 1]]
        assert np.array_equal(replaced, gone)
        assert (np.asarray(placed.replaced)[np.asarray(placed.status) != 1] == -1).all()


@settings(max_examples=40, deadline=None)
@given(batches, st.randoms(use_true_random=False))
def test_the_order_of_a_batch_matters_only_between_equals(rows, random):
    shuffled = random.sample(rows, len(rows))
    empty = Grid.empty(jnp.array(-1.0), CELLS)
    one, _ = place(empty, jnp.arange(12.0), evaluation(rows))
    other, _ = place(empty, jnp.arange(12.0), evaluation(shuffled))
    assert np.array_equal(one.fitness, other.fitness)
    split, _ = place(empty, jnp.arange(12.0), evaluation(rows[:6] + [(math.nan, 0, 0)] * 6))
    split, _ = place(split, jnp.arange(12.0) + 6, evaluation(rows[6:] + [(math.nan, 0, 0)] * 6))
    assert contents(split) == contents(one), "two batches are not the same as one"


@settings(max_examples=40, deadline=None)
@given(batches)
def test_offering_the_same_again_changes_nothing(rows):
    archive, _ = place(Grid.empty(jnp.array(-1.0), CELLS), jnp.arange(12.0), evaluation(rows))
    again, placed = place(archive, jnp.arange(12.0), evaluation(rows))
    assert not np.asarray(placed.status).any()
    assert contents(again) == contents(archive)
    assert np.array_equal(again.identity, archive.identity)


def test_descriptors_outside_count_to_the_border_and_nan_to_no_cell():
    descriptor = jnp.array([[-9.0, 0.5], [9.0, 9.0], [1.0, 1.0], [0.5, 0.0], [jnp.inf, -jnp.inf], [jnp.nan, 0.5]])
    assert CELLS.index(descriptor).tolist() == [1, 5, 5, 3, 3, 6]


def test_all_equal_fitness_keeps_the_first_of_every_cell_for_ever():
    rows = [(1.0, 0.1, 0.1)] * 11 + [(1.0, 0.9, 0.9)]
    archive, placed = place(Grid.empty(jnp.array(-1.0), CELLS), jnp.arange(12.0), evaluation(rows))
    assert placed.status.tolist() == [2] + [0] * 10 + [2]
    assert contents(place(archive, jnp.arange(12.0) + 12, evaluation(rows))[0]) == {0: (1.0, 0.0), 5: (1.0, 11.0)}


@pytest.mark.parametrize(
    "cells",
    [GridCells((0.0, 0.0), (1.0, 1.0), (1, 1)), VoronoiCells.around(np.array([[0.2, 0.3]]), (0.0, 0.0), (1.0, 1.0))],
    ids=["grid", "cvt"],
)
def test_an_archive_of_one_cell_holds_the_first_of_the_best_wherever_they_lie(cells):
    rows = [(1.0, 0.1, 0.1), (2.0, -9.0, 9.0), (2.0, 0.5, 0.5), (3.0, math.nan, 0.5), (math.nan, 0.5, 0.5)]
    archive, placed = Grid.empty(jnp.array(-1.0), cells).place(jnp.arange(5.0), evaluation(rows))
    assert placed.status.tolist() == [0, 2, 0, 0, 0]
    assert contents(archive) == {0: (2.0, 1.0)}
    assert archive.choose(jax.random.key(0), 3).tolist() == [0, 0, 0]
    _, placed = archive.place(jnp.arange(5.0), evaluation(rows))
    assert not np.asarray(placed.status).any(), "equals replace nobody"


def test_minus_infinity_is_never_an_elite():
    rows = [(-math.inf, 0.1, 0.1)] * 12
    archive, placed = place(Grid.empty(jnp.array(-1.0), CELLS), jnp.arange(12.0), evaluation(rows))
    assert not np.asarray(placed.status).any()
    assert int(archive.size) == 0


def test_elites_are_chosen_uniformly_among_the_occupied_cells():
    rows = [(1.0, 0.1, 0.1), (1.0, 0.9, 0.9), (1.0, 0.9, 0.1)]
    archive, _ = Grid.empty(jnp.array(-1.0), CELLS).place(jnp.arange(3.0), evaluation(rows))
    counts = np.bincount(np.asarray(archive.choose(jax.random.key(0), 30_000)), minlength=6)
    assert set(np.flatnonzero(counts)) == {0, 3, 5}
    assert (abs(counts[[0, 3, 5]] - 10_000) < 400).all()  # five standard deviations


def test_metrics_count_fitness_above_the_offset():
    empty = Grid.empty(jnp.array(-1.0), CELLS, offset=-10.0)
    assert float(empty.metrics()["archive/qd_score"]) == 0
    archive, _ = empty.place(jnp.arange(2.0), evaluation([(1.0, 0.1, 0.1), (-4.0, 0.9, 0.9)]))
    found = {name: float(value) for name, value in archive.metrics().items()}
    assert found == {
        "archive/size": 2,
        "archive/coverage": pytest.approx(1 / 3),
        "archive/qd_score": 17,
        "archive/best": 1,
    }


def test_thresholds_follow_the_batch_rule_of_cma_mae():
    archive = Grid.empty(jnp.array(-1.0), CELLS, learning_rate=0.5, threshold_min=0.0)
    here, there = (0.1, 0.1), (0.9, 0.9)
    archive, placed = archive.place(
        jnp.arange(4.0), evaluation([(2.0, *here), (6.0, *here), (0.0, *here), (8.0, *there)])
    )
    assert placed.status.tolist() == [0, 2, 0, 2]
    # Two accepted with mean 4: 0.25 * 0 + 0.75 * 4; one accepted: 0.5 * 0 + 0.5 * 8; a fitness of 0 exceeds nothing.
    assert archive.threshold is not None
    assert archive.threshold.tolist() == [3, 0, 0, 0, 0, 4]
    # What exceeds the threshold is accepted and raises it, though the elite, the best ever, is better.
    archive, placed = archive.place(jnp.arange(2.0), evaluation([(5.0, *here), (3.0, *here)]))
    assert placed.status.tolist() == [0, 0]
    assert placed.accepted.tolist() == [True, False]
    assert placed.improvement.tolist() == [2, 0]
    assert archive.fitness.tolist()[0] == 6
    assert archive.threshold.tolist() == [4, 0, 0, 0, 0, 4]


def test_improvement_is_over_the_elite_before_the_batch_or_over_the_offset_in_an_empty_cell():
    empty = Grid.empty(jnp.array(-1.0), CELLS, offset=-10.0)
    here, there = (0.1, 0.1), (0.9, 0.9)
    archive, placed = empty.place(jnp.arange(3.0), evaluation([(2.0, *here), (6.0, *here), (math.nan, *there)]))
    assert placed.improvement.tolist() == [12, 16, -math.inf]
    assert placed.accepted.tolist() == [True, True, False]
    rows = [(5.0, *here), (7.0, *here), (1.0, math.nan, 0.9), (-math.inf, *there), (-20.0, -9.0, 99.0)]
    _, placed = archive.place(jnp.arange(5.0), evaluation(rows))
    assert placed.improvement.tolist() == [-1, 1, -math.inf, -math.inf, -10]
    assert placed.accepted.tolist() == [False, True, False, False, True]


@settings(max_examples=30, deadline=None)
@given(batches, batches)
def test_a_learning_rate_of_one_with_thresholds_at_minus_infinity_is_plain(first, second):
    plain = Grid.empty(jnp.array(-1.0), CELLS, learning_rate=1.0, threshold_min=-math.inf)
    assert plain.threshold is None
    # With single candidates, the threshold after a birth is its fitness: what a plain archive compares with.
    annealed = Grid.empty(jnp.array(-1.0), CELLS, learning_rate=1.0, threshold_min=-1e9)
    for number, row in enumerate(first[:4] + second[:4]):
        genome = jnp.array([float(number)])
        plain, expected = place(plain, genome, evaluation([row]))
        annealed, found = place(annealed, genome, evaluation([row]))
        assert np.array_equal(expected.status, found.status)
    assert contents(annealed) == contents(plain)


def test_unusable_options_are_refused_with_a_sentence():
    with pytest.raises(UsageError, match="one of each per descriptor dimension"):
        GridCells((0.0,), (1.0, 1.0), (2, 2))
    with pytest.raises(UsageError, match="is not a grid"):
        GridCells((0.0, 1.0), (1.0, 1.0), (2, 2))
    with pytest.raises(UsageError, match="finite `threshold_min`"):
        Grid.empty(jnp.zeros(1), CELLS, learning_rate=0.1)
