import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.trees import Layout
from aiga.variation.safe import absolute, curved, mutate, rescaled, summed, trusted

X = jnp.array([[1.0, 2.0], [-3.0, 4.0]])


def linear(genome, x):
    """y_0 = w_0 x_0 + w_1 x_1, y_1 = 10 w_2 x_1; the fourth weight does nothing."""
    w = genome["w"]
    return jnp.stack([x @ w[:2], 10 * w[2] * x[:, 1]], axis=1)


GENOME = {"w": jnp.array([0.5, -1.0, 2.0, 7.0])}
LAYOUT = Layout.of(GENOME)
WEIGHTS = LAYOUT.flat(GENOME)


def outputs(vector):
    return linear(LAYOUT.tree(vector), X)


def network(genome, x):
    return jnp.tanh(jnp.tanh(x @ genome["a"]) @ genome["b"])


def random_network():
    a, b = jax.random.normal(jax.random.key(0), (2, 6))
    return {"a": a.reshape(2, 3), "b": b.reshape(3, 2)}


def test_summed_gradients_cancel_where_experiences_disagree():
    # sum of x_0: 1 - 3; of x_1: 2 + 4; of 10 x_1: 60
    np.testing.assert_allclose(summed(outputs, WEIGHTS), [2, 6, 60, 0])
    opposite = jnp.array([[1.0, 2.0], [-1.0, -2.0]])
    assert summed(lambda v: linear(LAYOUT.tree(v), opposite), WEIGHTS).tolist() == [0, 0, 0, 0]


def test_absolute_gradients_do_not_cancel():
    # mean of |x_0|: 2; of |x_1|: 3; of |10 x_1|: 30
    np.testing.assert_allclose(absolute(linear, LAYOUT, WEIGHTS, X), [2, 3, 30, 0])


def test_a_weight_of_two_outputs_counts_the_length_of_its_gradient():
    def both(genome, x):
        return jnp.stack([3 * genome * x[:, 0], 4 * genome * x[:, 0]], axis=1)

    layout, one = Layout.of(jnp.ones(())), jnp.ones(1)
    np.testing.assert_allclose(absolute(both, layout, one, X), [5 * 2])
    np.testing.assert_allclose(summed(lambda v: both(layout.tree(v), X), one), [5 * 2])


def test_curvature_is_that_of_the_squared_change_along_the_direction():
    # direction w_0: H[:, 0] = 2 mean (x_0^2, x_0 x_1) = 2 (5, -5)
    direction = jnp.array([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(curved(outputs, WEIGHTS, direction), np.sqrt([10, 10, 0, 0]), rtol=1e-5)


def test_curvature_equals_the_hessian_vector_product_of_a_deep_network():
    genome = random_network()
    layout = Layout.of(genome)
    weights = layout.flat(genome)
    direction = jax.random.normal(jax.random.key(1), weights.shape)
    before = network(genome, X)

    def change(vector):
        return ((network(layout.tree(vector), X) - before) ** 2).sum(axis=1).mean()

    exact = jnp.sqrt(jnp.abs(jax.hessian(change)(weights) @ direction))
    found = curved(lambda v: network(layout.tree(v), X), weights, direction)
    np.testing.assert_allclose(found, exact, rtol=2e-3, atol=1e-4)


def test_sensitivities_equal_finite_differences():
    genome = random_network()
    layout = Layout.of(genome)
    weights, step = layout.flat(genome), 1e-2

    def difference(along):
        up, down = (network(layout.tree(weights + sign * step * along), X) for sign in (1, -1))
        return (up - down) / (2 * step)

    jacobian = jax.vmap(difference)(jnp.eye(12))  # weights, experiences, outputs
    np.testing.assert_allclose(
        summed(lambda v: network(layout.tree(v), X), weights),
        jnp.sqrt((jacobian.sum(axis=1) ** 2).sum(axis=1)),
        rtol=1e-2,
        atol=1e-3,
    )
    np.testing.assert_allclose(
        absolute(network, layout, weights, X),
        jnp.sqrt((jnp.abs(jacobian).mean(axis=1) ** 2).sum(axis=1)),
        rtol=1e-2,
        atol=1e-3,
    )


def test_weights_without_effect_get_plain_noise_and_small_effects_are_not_believed():
    assert trusted(jnp.array([0.0, 1e-9, 0.5, 3.0])).tolist() == pytest.approx([1, 0.01, 0.5, 3])


def test_noise_is_divided_by_the_sensitivity():
    def change(operator, magnitude):
        return mutate(jax.random.key(5), GENOME, X, linear, operator, magnitude)["w"] - GENOME["w"]

    noise = change("plain", 1.0)
    np.testing.assert_allclose(change("sm-g-abs", 0.1), noise / jnp.array([20.0, 30.0, 300.0, 10.0]), rtol=1e-3)
    np.testing.assert_allclose(change("sm-g-sum", 0.1), noise / jnp.array([20.0, 60.0, 600.0, 10.0]), rtol=1e-3)


def test_no_weight_changes_by_more_than_the_clip():
    for operator in ("sm-r", "sm-g-sum", "sm-g-abs", "sm-g-so"):
        change = mutate(jax.random.key(6), GENOME, X, linear, operator, 100.0, 0.2)["w"] - GENOME["w"]
        assert float(jnp.abs(change).max()) == pytest.approx(0.2, rel=1e-4), operator


def test_a_rescaled_child_changes_its_outputs_by_what_is_asked_for():
    calm = jax.tree.map(lambda leaf: 0.3 * leaf, random_network())
    for apply, genome in ((linear, GENOME), (network, calm)):
        for seed in range(4):
            child = mutate(jax.random.key(seed), genome, X, apply, "sm-r", 0.01)
            change = ((apply(child, X) - apply(genome, X)) ** 2).mean()
            assert float(change) == pytest.approx(0.01, rel=0.02)


def test_the_line_search_takes_the_largest_change_where_outputs_cannot_change_enough():
    def bounded(vector):
        return 0.01 * jnp.tanh(vector)[None]

    step = rescaled(bounded, jnp.zeros(2), jnp.array([1.0, 0.0]), 1.0)
    assert float(jnp.tanh(step)) > 0.999
    assert np.isfinite(step)


def test_a_safe_child_changes_its_outputs_evenly():
    def lopsided(genome, x):
        return jnp.stack([100 * genome[0] * x[:, 0], 0.1 * genome[1] * x[:, 1]], axis=1)

    genome = jnp.ones(2)

    def ratio(operator):
        keys = jax.random.split(jax.random.key(0), 200)
        children = jax.vmap(lambda key: mutate(key, genome, X, lopsided, operator, 0.001))(keys)
        change = jnp.abs(jax.vmap(lopsided, (0, None))(children, X) - lopsided(genome, X)).mean(axis=(0, 1))
        return float(change[0] / change[1])

    assert ratio("plain") > 300
    assert 0.8 < ratio("sm-g-abs") < 1.25
