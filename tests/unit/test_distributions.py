"""Distributions over actions, against scipy and by sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from aiga.nn.distributions import Categorical, Distribution, Gaussian

LOGITS = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])) + 3.0


def test_categorical_gives_the_logarithms_of_its_probabilities():
    given = Categorical(LOGITS)
    np.testing.assert_allclose(given.log_prob(jnp.array([0, 2])), np.log([0.5, 0.8]), rtol=1e-6)
    np.testing.assert_allclose(given.entropy(), stats.entropy([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(given.mode(), [0, 2])


def test_categorical_samples_as_often_as_it_says():
    drawn = Categorical(jnp.broadcast_to(LOGITS[1], (20_000, 3))).sample(jax.random.key(0))
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [0.1, 0.1, 0.8], atol=0.01)


def test_the_gradient_of_a_categorical_is_one_hot_less_probabilities():
    gradient = jax.grad(lambda logits: Categorical(logits).log_prob(jnp.array(0)))(LOGITS[0])
    np.testing.assert_allclose(gradient, [0.5, -0.25, -0.25], atol=1e-6)


def test_gaussian_agrees_with_scipy():
    mean, std, x = np.array([0.5, -1.0]), np.array([0.3, 2.0]), np.array([0.1, 0.7])
    given = Gaussian(jnp.array(mean), jnp.log(jnp.array(std)))
    reference = stats.norm(mean, std)
    np.testing.assert_allclose(given.log_prob(jnp.array(x)), reference.logpdf(x).sum(), rtol=1e-5)
    np.testing.assert_allclose(given.entropy(), reference.entropy().sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "other"),
    [
        (Categorical(LOGITS[0]), Categorical(LOGITS[1])),
        (Gaussian(jnp.array([0.5]), jnp.array([0.1])), Gaussian(jnp.array([0.0]), jnp.array([-0.2]))),
    ],
)
def test_the_divergence_is_the_mean_difference_of_logarithms(given, other):
    drawn = jax.vmap(given.sample)(jax.random.split(jax.random.key(1), 100_000))
    sampled = jax.vmap(lambda a: given.log_prob(a) - other.log_prob(a))(drawn).mean()
    assert isinstance(given, Distribution)
    assert float(given.kl(given)) == pytest.approx(0, abs=1e-6)
    assert float(given.kl(other)) == pytest.approx(float(sampled), rel=0.02)
