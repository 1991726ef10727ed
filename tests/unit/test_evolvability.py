from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from aiga.core.protocols import Evaluation
from aiga.strategies.evolvability import (
    Diversity,
    alikeness,
    entropy,
    entropy_utilities,
    graph_utilities,
    normalised,
    surrogate,
    variance,
    variance_utilities,
)

STATISTICS = {"variance": (variance, variance_utilities), "entropy": (entropy, entropy_utilities)}


def population(n=40, d=2, sigma=0.3):
    """Mirrored perturbations of a mean, their noise, and a behaviour that is not linear."""
    noise = jax.random.normal(jax.random.key(0), (n // 2, 3))
    noise = jnp.concatenate([noise, -noise])
    mean = jnp.array([0.5, -1.0, 2.0])
    genomes = mean + sigma * noise
    behaviour = jnp.stack([genomes[:, 0] * genomes[:, 1], jnp.sin(3 * genomes[:, 2]) + genomes[:, 0]], 1)[:, :d]
    return mean, genomes, noise, behaviour - behaviour.mean(0)


def gradient(utilities, noise, sigma=0.3):
    return (utilities[:, None] * noise).mean(0) / sigma


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("d", [1, 2])
def test_the_direct_estimator_the_graphs_weights_and_the_surrogates_gradient_agree(name, d):
    statistic, direct = STATISTICS[name]
    mean, genomes, noise, behaviour = population(d=d)
    weight = jnp.full(40, 1 / 40)
    by_hand = gradient(direct(behaviour, weight), noise)
    by_graph = gradient(graph_utilities(statistic, behaviour, weight), noise)
    by_surrogate = jax.grad(surrogate)(mean, genomes, 0.3, behaviour, statistic)
    assert float(jnp.linalg.norm(by_hand)) > 0.01
    np.testing.assert_allclose(by_hand, by_surrogate, atol=1e-5)
    np.testing.assert_allclose(by_graph, by_surrogate, atol=1e-5)


@pytest.mark.parametrize("name", STATISTICS)
def test_the_surrogate_has_the_statistics_value_and_the_slope_of_the_statistic_under_importance_weights(name):
    """With the genomes fixed, the statistic at another mean weighs them by N(genome; other) / N(genome; mean)."""
    statistic, _ = STATISTICS[name]
    mean, genomes, _, behaviour = (np.asarray(x, float) for x in population())

    def kernel_entropy(weight):
        apart = ((behaviour[:, None] - behaviour[None]) ** 2).sum(-1)
        return -weight @ np.log(np.exp(-apart) @ weight)

    def at(other):
        log = (((genomes - mean) ** 2).sum(1) - ((genomes - other) ** 2).sum(1)) / (2 * 0.3**2)
        weight = np.exp(log) / len(log)
        if name == "entropy":
            return kernel_entropy(weight)
        return weight @ (behaviour**2).sum(1) - ((weight @ behaviour) ** 2).sum()

    steps = 1e-6 * np.eye(3)
    slope = [(at(mean + step) - at(mean - step)) / 2e-6 for step in steps]
    value, found = jax.value_and_grad(surrogate)(
        *map(jnp.asarray, (mean, genomes)), 0.3, jnp.asarray(behaviour), statistic
    )
    assert float(value) == pytest.approx(at(mean), rel=1e-5)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-5)


def test_the_variance_of_a_square_grows_as_calculus_says():
    """For x of N(m, s^2), Var x^2 = 4 m^2 s^2 + 2 s^4, whose derivative by m is 8 m s^2."""
    noise = jnp.asarray(ndtri((np.arange(20_000) + 0.5) / 20_000), jnp.float32)[:, None]
    behaviour = (0.7 + 0.3 * noise) ** 2
    weight = jnp.full(20_000, 1 / 20_000)
    utilities = variance_utilities(behaviour - behaviour.mean(0), weight)
    assert float(gradient(utilities, noise)[0]) == pytest.approx(8 * 0.7 * 0.3**2, rel=5e-3)
    assert float(variance(behaviour, weight)) == pytest.approx(4 * 0.7**2 * 0.3**2 + 2 * 0.3**4, rel=5e-3)


def test_the_entropy_of_a_normal_behaviour_is_its_closed_form_and_does_not_move_with_it():
    """For b of N(m, v) and kernel width h: log(1 + 2 v / h^2) / 2 + v / (h^2 + 2 v), whatever m is."""
    noise = jnp.asarray(ndtri((np.arange(2_000) + 0.5) / 2_000), jnp.float32)[:, None]
    weight = jnp.full(2_000, 1 / 2_000)
    behaviour, v, h = 0.9 * noise, 0.9**2, 0.5
    expected = np.log(1 + 2 * v / h**2) / 2 + v / (h**2 + 2 * v)
    assert float(entropy(behaviour, weight, h)) == pytest.approx(expected, rel=5e-3)
    assert float(gradient(entropy_utilities(behaviour, weight, h), noise)[0]) == pytest.approx(0, abs=1e-4)


def test_three_behaviours_have_the_utilities_computed_by_hand():
    behaviour, weight = jnp.array([[-1.0], [0.0], [1.0]]), jnp.full(3, 1 / 3)
    assert variance_utilities(behaviour, weight).tolist() == pytest.approx([1, 0, 1], abs=1e-6)
    near, far = np.exp(-1.0), np.exp(-4.0)
    outer, inner = (1 + near + far) / 3, (1 + 2 * near) / 3
    rare = -np.log(outer) - ((1 + far) / outer + near / inner) / 3
    common = -np.log(inner) - (2 * near / outer + 1 / inner) / 3
    assert entropy_utilities(behaviour, weight).tolist() == pytest.approx([rare, common, rare], abs=1e-5)
    assert alikeness(behaviour, 2.0)[0, 2] == pytest.approx(np.exp(-1.0))


@pytest.mark.parametrize("statistic", ["variance", "entropy"])
@pytest.mark.parametrize("estimator", ["direct", "graph"])
@pytest.mark.parametrize("unit", ["ranks", "deviations", "none"])
def test_what_failed_has_no_utility_and_does_not_change_the_others(statistic, estimator, unit):
    diversity = Diversity(statistic, estimator, unit)
    behaviour = jnp.array([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
    alone = diversity(Evaluation(jnp.zeros(3), behaviour))
    failed = jnp.array([[jnp.nan, 0.0], [9.0, 9.0]])
    fitness = jnp.array([0.0, 0.0, 0.0, 0.0, jnp.nan])
    among = diversity(Evaluation(fitness, jnp.concatenate([behaviour, failed])))
    np.testing.assert_allclose(among[:3], alone, rtol=1e-5)
    assert np.isnan(among[3:]).all()
    assert np.isnan(diversity(Evaluation(jnp.full(3, jnp.nan), behaviour))).all()


@pytest.mark.parametrize("statistic", ["variance", "entropy"])
@pytest.mark.parametrize("estimator", ["direct", "graph"])
@pytest.mark.parametrize("unit", ["ranks", "deviations", "none"])
def test_where_all_behave_the_same_nobody_is_preferred(statistic, estimator, unit):
    utilities = Diversity(statistic, estimator, unit)(Evaluation(jnp.arange(4.0), jnp.full((4, 2), 3.0)))
    assert np.isfinite(utilities).all()
    assert float(jnp.ptp(utilities)) == 0


def test_behaviour_is_compared_in_ranks_or_deviations_or_as_it_is():
    behaviour, alive = jnp.array([[1.0], [3.0], [100.0], [3.0]]), jnp.ones(4, bool)
    assert normalised(behaviour, alive, "ranks").ravel().tolist() == pytest.approx([-0.5, 0, 0.5, 0], abs=1e-6)
    in_deviations = normalised(behaviour, alive, "deviations")
    assert float(in_deviations.mean()) == pytest.approx(0, abs=1e-6)
    assert float(in_deviations.std()) == pytest.approx(1, abs=1e-6)
    assert normalised(behaviour, alive, "none").ravel().tolist() == [-25.75, -23.75, 73.25, -23.75]


def test_a_bandwidth_is_of_the_entropy_of_both_estimators():
    evaluation = Evaluation(jnp.zeros(5), jnp.array([[0.0], [0.1], [0.5], [2.0], [3.0]]))
    direct, graph = (Diversity("entropy", how, "none", 0.4)(evaluation) for how in ("direct", "graph"))
    np.testing.assert_allclose(direct, graph, rtol=1e-5)
    assert not np.allclose(direct, Diversity("entropy", "direct", "none", 1.0)(evaluation))
    assert partial(entropy, bandwidth=0.4)(evaluation.descriptor, jnp.full(5, 0.2)) > entropy(
        evaluation.descriptor, jnp.full(5, 0.2)
    )
