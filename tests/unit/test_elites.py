"""The choice of a cell, against probabilities that were worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.grid import Grid, GridCells
from aiga.core.protocols import Evaluation
from aiga.learners.elites import best_or_any, frontier, proportional

TIMES = 20_000
FITNESS = jnp.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Eight cells; of 0 to 5, discovered in this order, cell 0 has the best elite."""
    empty = Grid.empty(jnp.zeros(1), GridCells((0.0,), (8.0,), (8,)), parents=1)
    return empty.add(jnp.zeros((6, 1)), Evaluation(FITNESS, jnp.arange(6.0)[:, None] + 0.5))[0]


def shares(choose) -> np.ndarray:
    """How often each cell is chosen."""
    chosen = jax.jit(jax.vmap(choose))(jax.random.split(jax.random.key(0), TIMES))
    return np.bincount(np.asarray(chosen), minlength=8) / TIMES


def close(found, expected) -> bool:
    """Within four standard errors."""
    return bool(np.abs(found - np.array(expected)).max() < 4 * 0.5 / TIMES**0.5)


def test_a_row_is_drawn_in_proportion_to_its_weight_and_never_at_minus_infinity():
    rows, weights = jnp.array([7, 8, 9]), jnp.array([1.0, -jnp.inf, 3.0])
    drawn = [int(proportional(jnp.array(draw), weights, rows)) for draw in (0.0, 0.24, 0.26, 0.999)]
    assert drawn == [7, 7, 9, 9]
    assert int(proportional(jnp.array(0.7), jnp.array([0.0, 0.0]), jnp.array([3, 4]))) == 4, "no weight: any"


def test_for_recovery_every_other_cell_is_the_best_and_the_others_any(grid):
    assert close(shares(lambda key: best_or_any(key, grid)), [1 / 2 + 1 / 12, *[1 / 12] * 5, 0, 0])


def test_exploration_prefers_the_five_most_novel_cells_in_proportion_to_their_novelty(grid):
    novelty = jnp.array([1.0, 2.0, 3.0, 4.0, 10.0, 0.0, jnp.inf, jnp.inf])  # nobody is in the last two
    found = shares(lambda key: frontier(key, grid, novelty, jnp.full(8, -jnp.inf), explore=True))
    assert close(found, [*(1 / 60 + 0.9 * n / 20 for n in (1, 2, 3, 4, 10, 0)), 0, 0])


def test_exploitation_takes_the_best_or_one_of_the_two_best_of_the_last_five_discovered(grid):
    credit = jnp.full(8, -jnp.inf).at[1].set(7.0)  # episodes of a cloud from cell 1 were better than its elite
    found = shares(lambda key: frontier(key, grid, jnp.zeros(8), credit, explore=False))
    # Scores of cells 1 to 5 are 7, 2, 3, 4, 5; above the lowest, the two best have 5 and 3.
    assert close(found, [1 / 2, 5 / 16, 0, 0, 0, 3 / 16, 0, 0])
