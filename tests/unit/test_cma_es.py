import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.strategies.cma_es import CMAES

SEARCH = CMAES(2, 4, 0.5)
START = jnp.array([1.0, 2.0])
SAMPLES = START + 0.5 * jnp.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
BEST_FIRST = jnp.array([2, 1, 0, 3])


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_one_update_in_two_dimensions_is_that_of_the_tutorial_by_hand():
    """Two parents of four: weights ln 2.5 - ln 1 and ln 2.5 - ln 2, scaled to a sum of 1, so mu_eff = 1.4598."""
    rates = SEARCH.rates(jnp.array(2))
    assert rates.weights.tolist() == pytest.approx([0.804163, 0.195837, 0, 0], abs=1e-6)
    assert float(rates.effective) == pytest.approx(1.459790, rel=1e-5)
    found = [float(x) for x in (rates.step, rates.damping, rates.path, rates.rank_one, rates.rank_many)]
    assert found == pytest.approx([0.408969, 1.408969, 0.634052, 0.161946, 0.016589], abs=1e-5)
    after = SEARCH.tell(SEARCH.begin(START), SAMPLES, BEST_FIRST, jnp.array(2))
    assert after.mean.tolist() == pytest.approx([1 + 0.5 * 0.804163, 2 + 0.5 * 0.195837], rel=1e-6)
    # The root of 0.408969 (2 - 0.408969) 1.459790 is 0.974607, and that of c_c's path 1.124410: both times the step.
    assert after.step_path.tolist() == pytest.approx([0.783743, 0.190864], rel=1e-5)
    assert after.shape_path.tolist() == pytest.approx([0.904209, 0.220201], rel=1e-5)
    # 0.5 exp(0.408969 / 1.408969 (0.806649 / 1.254273 - 1)): the path is shorter than a random one.
    assert float(after.sigma) == pytest.approx(0.450798, rel=1e-5)
    # 0.821465 I + 0.161946 p p' + 0.016589 (0.804163 e1 e1' + 0.195837 e2 e2')
    assert np.allclose(after.covariance, [[0.967211, 0.032245], [0.032245, 0.832566]], atol=1e-5)
    assert np.allclose(after.factor @ after.factor.T, after.covariance, atol=1e-6)


def test_samples_have_the_mean_and_the_covariance_of_the_state():
    search = CMAES(2, 50_000, 0.5)
    factor = jnp.array([[2.0, 0.0], [1.0, 0.5]])
    state = search.begin(START)._replace(covariance=factor @ factor.T, factor=factor)
    samples = np.asarray(search.ask(jax.random.key(0), state))
    assert np.allclose(samples.mean(axis=0), START, atol=0.03)
    assert np.allclose(np.cov(samples.T), 0.25 * np.array([[4.0, 2.0], [2.0, 1.25]]), atol=0.03)


def test_without_parents_nothing_changes():
    state = SEARCH.begin(START)
    assert same(SEARCH.tell(state, SAMPLES, BEST_FIRST, jnp.array(0)), state)


def test_who_failed_comes_last_and_is_not_looked_at():
    """The order and the number of parents are all that a failure has: where it lies does not matter."""
    state, elsewhere = SEARCH.begin(START), SAMPLES.at[3].set(1e9)
    assert same(*(SEARCH.tell(state, samples, BEST_FIRST, jnp.array(2)) for samples in (SAMPLES, elsewhere)))


def test_of_one_parent_the_mean_becomes_the_best_sample():
    after = SEARCH.tell(SEARCH.begin(START), SAMPLES, BEST_FIRST, jnp.array(1))
    assert np.allclose(after.mean, SAMPLES[2])


def test_many_searches_at_once_are_as_each_alone():
    states = jax.vmap(SEARCH.begin)(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    samples = jax.vmap(SEARCH.ask)(jax.random.split(jax.random.key(0), 2), states)
    order, parents = jnp.array([[0, 1, 2, 3], [3, 2, 1, 0]]), jnp.array([2, 1])
    together = jax.vmap(SEARCH.tell)(states, samples, order, parents)
    for i in range(2):
        alone = SEARCH.tell(jax.tree.map(lambda x, i=i: x[i], states), samples[i], order[i], parents[i])
        rows = jax.tree.map(lambda x, i=i: x[i], together)
        assert all(
            np.allclose(a, b, rtol=1e-5) for a, b in zip(jax.tree.leaves(rows), jax.tree.leaves(alone), strict=True)
        )


def test_a_search_has_converged_when_its_covariance_is_singular_or_its_steps_are_nothing():
    state = SEARCH.begin(START)
    assert not bool(SEARCH.converged(state))
    assert bool(SEARCH.converged(state._replace(factor=jnp.diag(jnp.array([1.0, 1e-4])))))
    assert bool(SEARCH.converged(state._replace(factor=jnp.full((2, 2), jnp.nan))))
    assert bool(SEARCH.converged(state._replace(sigma=jnp.array(1e-9))))
    assert bool(SEARCH.converged(state._replace(sigma=jnp.array(1e-12), mean=jnp.zeros(2))))


def test_a_search_with_nothing_to_rank_or_without_extent_is_refused():
    with pytest.raises(UsageError, match="population of 1 has nothing to rank"):
        CMAES(2, 1)
    with pytest.raises(UsageError, match="`sigma` is 0"):
        CMAES(2, 4, 0.0)
