import jax.numpy as jnp
import numpy as np

from aiga.nn.normaliser import Normaliser


def merged(*batches):
    normaliser = Normaliser.none((2,))
    for batch in batches:
        normaliser = normaliser.after(jnp.array(float(len(batch))), batch.sum(0), (batch**2).sum(0))
    return normaliser


def test_batches_make_the_moments_of_all_that_was_seen():
    x = jnp.array(np.random.default_rng(0).normal([3, -1], [2, 5], (100, 2)), jnp.float32)
    normaliser = merged(x[:1], x[1:40], x[40:40], x[40:])
    assert float(normaliser.seen) == 100
    assert np.allclose(normaliser.mean, x.mean(0), atol=1e-4)
    assert np.allclose(normaliser.apply(x, 99.0), (x - x.mean(0)) / x.std(0), atol=1e-3)


def test_with_nothing_seen_observations_stay_as_they_are():
    assert np.array_equal(Normaliser.none((2,)).apply(jnp.array([1.0, -7.0])), [1.0, -5.0])


def test_what_hardly_changes_is_not_blown_up_and_what_is_far_is_clipped():
    normaliser = merged(jnp.array([[1.0, 0.0], [1.0, 2.0]]))
    assert np.allclose(normaliser.apply(jnp.array([1.1, 99.0])), [1.0, 5.0], atol=1e-5), "a floor of 0.1; clipped at 5"
