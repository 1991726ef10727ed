import jax
import jax.numpy as jnp
import numpy as np

from aiga.learners.map_search import map_search, matern, posterior


def test_the_kernel_is_that_of_the_formula():
    found = matern(jnp.array([[0.0, 0.0]]), jnp.array([[0.0, 0.0], [0.3, 0.4], [3.0, 4.0]]), 0.5)
    s = np.sqrt(5) * np.array([0, 1, 10])
    assert np.allclose(found[0], (1 + s + s**2 / 3) * np.exp(-s), atol=1e-6)


def test_one_trial_moves_the_belief_by_hand_computed_amounts():
    """k = k(distance) / (1 + noise) times the surprise, and 1 - k^2 / (1 + noise) remains of the variance."""
    place, prior = jnp.array([[0.0], [1.0], [9.0]]), jnp.array([0.5, 0.25, 1.0])
    known = jnp.array([True, False])
    belief = posterior(place, prior, jnp.array([0, 2]), jnp.array([0.0, 7.0]), known, length=1.0, noise=0.25)
    s = np.sqrt(5.0)
    k = (1 + s + 5 / 3) * np.exp(-s)
    assert np.allclose(belief.mean, [0.5 - 0.5 / 1.25, 0.25 - k * 0.5 / 1.25, 1.0], atol=1e-5)
    assert np.allclose(belief.variance, [1 - 1 / 1.25, 1 - k**2 / 1.25, 1.0], atol=1e-5)


def test_the_posterior_is_that_of_the_textbook_formula():
    random = np.random.default_rng(0)
    place, prior, observed = random.uniform(size=(30, 4)), random.uniform(size=30), random.uniform(size=6)
    tried, length, noise = np.array([3, 8, 8, 21, 0, 29]), 0.4, 0.01

    def kernel(a, b):
        s = np.sqrt(5) * np.linalg.norm(a[:, None] - b, axis=2) / length
        return (1 + s + s**2 / 3) * np.exp(-s)

    gain = kernel(place, place[tried]) @ np.linalg.inv(kernel(place[tried], place[tried]) + noise * np.eye(6))
    belief = posterior(*map(jnp.array, (place, prior, tried, observed)), jnp.ones(6, bool), length=length, noise=noise)
    assert np.allclose(belief.mean, prior + gain @ (observed - prior[tried]), atol=1e-4)
    assert np.allclose(belief.variance, 1 - (gain * kernel(place, place[tried])).sum(axis=1), atol=1e-4)


def test_a_search_leaves_a_broken_kind_of_behaviour_for_the_best_that_still_works():
    place = jnp.linspace(0, 1, 101)[:, None]
    prior = place[:, 0]
    occupied = jnp.arange(101) != 50

    def trial(key, row):
        return jnp.where(row > 60, jnp.where(row == 100, jnp.nan, 0.0), prior[row])

    search = jax.jit(lambda key: map_search(key, place, prior, occupied, trial, trials=10, length=0.2))
    found = search(jax.random.key(0))
    assert int(found.tried[0]) == 100
    assert float(found.observed[0]) == 0
    assert 51 <= int(found.chosen) <= 60
    assert 50 not in found.tried.tolist()
