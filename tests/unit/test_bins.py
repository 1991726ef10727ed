import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.bins import BinCells
from aiga.archives.grid import Grid, GridCells
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation


def test_a_bin_has_its_lower_edge_and_borders_take_what_lies_outside():
    cells = BinCells.between([[0.0, 0.005, 0.5, 0.995, 1.0]])
    places = jnp.array([[-1.0], [0.0], [0.004], [0.005], [0.5], [0.994], [0.995], [1.0], [7.0]])
    assert cells.index(places).tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3]
    assert (cells.count, cells.dimensions, cells.shape) == (4, 1, (4,))


def test_the_last_dimension_runs_fastest_and_nan_is_nowhere():
    cells = BinCells.between([[0.0, 0.1, 1.0], [0.0, 0.9, 1.0]])
    places = jnp.array([[0.05, 0.5], [0.05, 0.95], [0.5, 0.5], [0.5, 0.95], [0.5, jnp.nan]])
    assert cells.index(places).tolist() == [0, 1, 2, 3, 4]


def test_quantiles_hold_equal_shares():
    sample = np.array([[0.9, 0.91, 0.97, 0.99], [0.1, 0.2, 0.3, 0.4]]).T
    cells = BinCells.quantiles(sample, 2, 0.0, 1.0)
    assert np.allclose(cells.edges, [[0, 0.94, 1], [0, 0.25, 1]])


def test_where_values_are_equal_the_widest_bins_are_halved():
    cells = BinCells.quantiles(np.array([[0.5]] * 5), 4, 0.0, 1.0)
    assert cells.edges.tolist() == [[0, 0.25, 0.5, 0.75, 1]]
    assert BinCells.quantiles(np.array([[1.0]] * 5), 4, 0.0, 1.0).edges.tolist() == [[0, 0.25, 0.5, 0.75, 1]]


def test_even_places_stretch_narrow_bins():
    cells = BinCells.between([[0.0, 0.01, 1.0]])
    assert np.allclose(
        cells.even(np.array([[0.0], [0.005], [0.01], [0.505], [1.0]])), [[0], [0.25], [0.5], [0.75], [1]]
    )


def test_an_archive_has_these_cells():
    grid = Grid.empty(jnp.zeros(1), BinCells.between([[0.0, 0.99, 1.0]]))
    grid, status = grid.add(jnp.ones((2, 1)), Evaluation(jnp.array([1.0, 2.0]), jnp.array([[0.98], [0.995]])))
    assert status.tolist() == [2, 2]
    assert grid.metrics()["archive/coverage"] == 1


def test_elites_are_sorted_anew_into_other_cells_with_their_identities():
    grid = Grid.empty(jnp.zeros(1), BinCells.between([[0.0, 0.5, 0.75, 1.0]]))
    places = jnp.array([[0.1], [0.6], [0.9]])
    grid, _ = grid.add(jnp.arange(3.0)[:, None], Evaluation(jnp.array([1.0, 3.0, 2.0]), places))
    moved = grid.sorted_into(BinCells.between([[0.0, 0.2, 0.3, 1.0]]))
    assert moved.fitness.tolist() == [1, -jnp.inf, 3]
    assert moved.identity[jnp.array([0, 2])].tolist() == [[0, 0], [0, 1]]
    assert (int(moved.births), int(moved.size)) == (1, 2)


@pytest.mark.parametrize("edges", [[[0.0, 0.5, 0.5, 1.0]], [[1.0]], [[0.0, float("nan"), 1.0]]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(UsageError, match="two or more rising edges"):
        BinCells.between(edges)


def test_elites_sorted_by_another_descriptor_keep_the_best_of_each_cell_with_its_identity():
    cells = GridCells((0.0,), (1.0,), (4,))
    empty = Grid.empty(jnp.zeros(1), cells, parents=1)
    genomes, fitness = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([1.0, 3.0, 2.0])
    archive, _ = empty.add(genomes, Evaluation(fitness, jnp.array([[0.1], [0.4], [0.9]])))
    moved = archive.sorted_into(cells, jnp.array([[0.9], [0.9], [0.5], [0.2]]))
    # cells 0 and 1 (identities 0 and 1) go to cell 3; cell 2 was empty; cell 3 (identity 2) goes to cell 0
    assert moved.fitness.tolist() == [2.0, -np.inf, -np.inf, 3.0]
    assert moved.genomes[jnp.array([0, 3])].tolist() == [[3.0], [2.0]]
    assert moved.identity.tolist() == [[0, 2], [-1, -1], [-1, -1], [0, 1]]
    assert int(moved.size) == 2
    assert int(moved.births) == int(archive.births) == 1
