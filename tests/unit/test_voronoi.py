import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.voronoi import VoronoiCells

LOW, HIGH = (-2.0, 10.0), (1.0, 11.0)


def brute_force(cells: VoronoiCells, descriptor: np.ndarray) -> np.ndarray:
    inside = np.clip(descriptor, cells.low, cells.high)
    return ((inside[:, None] - np.asarray(cells.centroids)) ** 2).sum(-1).argmin(1)


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("evenly", [True, False])
def test_the_search_finds_the_nearest_of_all_centroids(count, evenly):
    random = np.random.default_rng(count)
    crowded = np.array(LOW) + (np.array(HIGH) - LOW) * random.uniform(0, 1, (count, 2)) ** 4
    cells = VoronoiCells.spread(LOW, HIGH, count) if evenly else VoronoiCells.around(crowded, LOW, HIGH)
    descriptor = random.uniform(np.array(LOW) - 1, np.array(HIGH) + 1, (3000, 2)).astype(np.float32)
    descriptor[:500] = np.asarray(cells.centroids)[random.integers(0, count, 500)]
    found, expected = np.asarray(cells.index(jnp.array(descriptor))), brute_force(cells, descriptor)
    inside, points = np.clip(descriptor, LOW, HIGH), np.asarray(cells.centroids)
    distances = [np.linalg.norm(inside - points[rows], axis=1) for rows in (found, expected)]
    assert np.allclose(*distances, rtol=0, atol=1e-6)
    assert (found != expected).mean() < 0.001  # ties of single precision only


@pytest.mark.parametrize("dimensions", [1, 3, 5])
def test_the_search_is_exact_in_any_number_of_dimensions(dimensions):
    cells = VoronoiCells.spread([0.0] * dimensions, [1.0] * dimensions, 200)
    descriptor = np.random.default_rng(0).uniform(size=(2000, dimensions)).astype(np.float32)
    assert (np.asarray(cells.index(jnp.array(descriptor))) == brute_force(cells, descriptor)).mean() > 0.999


def test_a_nan_belongs_to_no_cell():
    cells = VoronoiCells.spread(LOW, HIGH, 5)
    assert cells.index(jnp.array([[jnp.nan, 10.5]])).tolist() == [5]


def test_lists_stay_short_however_many_cells_there_are():
    widths = [VoronoiCells.spread(LOW, HIGH, count).candidates.shape[1] for count in (100, 10_000)]
    assert max(widths) <= 24


def test_cells_are_spread_evenly_and_the_same_for_the_same_seed():
    cells = VoronoiCells.spread(LOW, HIGH, 50)
    descriptor = jax.random.uniform(jax.random.key(0), (50_000, 2), minval=jnp.array(LOW), maxval=jnp.array(HIGH))
    share = np.bincount(np.asarray(cells.index(descriptor)), minlength=50) / 1000
    assert share.min() > 0.5
    assert share.max() < 1.6
    assert np.array_equal(cells.centroids, VoronoiCells.spread(LOW, HIGH, 50).centroids)
