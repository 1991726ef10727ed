import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.strategies.noise import NoiseTable

SMALL = NoiseTable(jnp.arange(10.0))


def test_a_row_is_the_slice_that_begins_at_its_index():
    assert np.array_equal(SMALL.rows(jnp.array([0, 7]), 3), [[0, 1, 2], [7, 8, 9]])
    assert np.array_equal(SMALL.row(jnp.array(4), 2), [4, 5])


@pytest.mark.parametrize("n", [0, 1, 3, 8, 17])
def test_the_weighted_sum_is_that_of_the_rows(n):
    index = jnp.arange(n) % 7
    weights = jnp.arange(n) - 1.5
    expected = sum((float(w) * np.arange(i, i + 4) for i, w in zip(index, weights, strict=True)), np.zeros(4))
    assert np.allclose(SMALL.weighted(index, weights, 4), expected)


def test_drawn_slices_lie_within_the_table_and_reach_both_ends():
    index = SMALL.draw(jax.random.key(0), 200, 9)
    assert set(np.asarray(index).tolist()) == {0, 1}
    assert np.array_equal(SMALL.draw(jax.random.key(0), 3, 10), [0, 0, 0])


def test_a_genome_longer_than_the_table_is_refused():
    with pytest.raises(UsageError, match="11 numbers, the noise table 10"):
        SMALL.draw(jax.random.key(0), 1, 11)
    with pytest.raises(UsageError, match="size above zero"):
        NoiseTable.make(0)


def test_a_table_is_normal_and_the_same_everywhere_for_its_seed():
    table = NoiseTable.make(2**16, seed=123)
    assert np.array_equal(table.values, NoiseTable.make(2**16, seed=123).values)
    assert not np.array_equal(table.values, NoiseTable.make(2**16, seed=124).values)
    # The stream of numpy's RandomState, which is frozen: provenance of old runs depends on these numbers.
    assert np.allclose(table.values[:3], [-1.0856306, 0.99734545, 0.2829785], atol=1e-7)
    assert abs(float(table.values.mean())) < 0.02
    assert abs(float(table.values.std()) - 1) < 0.02


def test_a_table_made_in_pieces_is_one_stream():
    whole = np.random.RandomState(5).standard_normal(2**20 + 3).astype(np.float32)
    assert np.array_equal(NoiseTable.make(2**20 + 3, seed=5).values, whole)
