import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aiga.learners.meta_gradient import Unroll
from aiga.nn.gated import SUPPRESSED, Gate, Gated, burst, bursting, gate, linear, weights, zapped


def double(x):
    return 2 * x


def small():
    """Two features, a gate that is half open for the first and three quarters for the second, and two classes."""
    head = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias),
        linear(jax.random.key(0), 2, 2),
        (jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, -0.5])),
    )
    layer = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias),
        linear(jax.random.key(0), 2, 2),
        (jnp.zeros((2, 2)), jnp.array([0.0, jnp.log(3.0)])),
    )
    return Gated(double, Gate(double, (layer,)), head)


def test_features_are_multiplied_with_their_gates_before_the_head():
    x = jnp.array([1.0, 2.0])  # features 2 and 4, gated 1 and 3
    np.testing.assert_allclose(small().opening(x), [0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(small()(x), [1 + 6 + 0.5, 3 + 12 - 0.5], rtol=1e-6)
    np.testing.assert_allclose(small().logits(x, jnp.array([0.0, 1.0])), [8.5, 15.5], rtol=1e-6)


def test_a_network_without_a_gate_has_them_all_open():
    net = small()
    np.testing.assert_allclose(Gated(double, None, net.head)(jnp.array([1.0, 2.0])), [10.5, 21.5], rtol=1e-6)


def test_the_head_and_not_the_gate_adapts_inside():
    """The gate of two steps is seen by the meta-gradient, though no inner step changes it."""

    def loss(net, x):
        return net(x)[0] ** 2

    def after(net):
        return loss(Unroll(("head",)).learn(loss, net, jnp.ones((2, 2)), sgd).network, jnp.ones(2))

    sgd = optax.sgd(0.01)
    net = small()
    learnt = Unroll(("head",)).learn(loss, net, jnp.ones((2, 2)), sgd).network
    assert not jnp.array_equal(learnt.head.weight, net.head.weight)
    np.testing.assert_array_equal(learnt.gate.layers[0].bias, net.gate.layers[0].bias)
    assert jnp.abs(eqx.filter_grad(after)(net).gate.layers[0].bias).min() > 0


def test_zapping_draws_the_weights_of_some_classes_anew_and_leaves_biases():
    head = eqx.tree_at(lambda layer: layer.bias, linear(jax.random.key(0), 400, 5), jnp.arange(5.0))
    after = zapped(jax.random.key(1), head, jnp.array([1, 3]))
    changed = (after.weight != head.weight).mean(axis=1)
    np.testing.assert_array_equal(changed, [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(after.bias, head.bias)
    assert float(after.weight[1:4:2].var()) == pytest.approx(2 / 400, rel=0.2)


@pytest.mark.parametrize(("rank", "sizes"), [(None, [(6, 3)]), (2, [(2, 3), (6, 2)])])
def test_weights_begin_almost_shut(rank, sizes):
    shutter = gate(jax.random.key(0), jnp.tanh, 3, 6, rank=rank, bias=SUPPRESSED)
    assert [layer.weight.shape for layer in shutter.layers] == sizes
    np.testing.assert_allclose(shutter(jnp.zeros(3)), 1 / (1 + np.exp(8)), rtol=1e-5)


def test_each_weight_is_multiplied_with_its_own_gate():
    weights = {"a": jnp.ones((2, 2)), "b": jnp.array([10.0])}
    opened = burst(weights, jnp.arange(5.0))
    np.testing.assert_array_equal(opened["a"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(opened["b"], [40])


def test_every_kernel_and_the_head_have_gates_of_their_own_and_biases_have_none():
    net = bursting(jax.random.key(0), (28, 28, 1), 2, 1, 3, rank=2, bias=0.0)
    kernels = [3 * 3 * 1 * 2, 3 * 3 * 2 * 2, 3 * 3 * 2 * 2]
    assert [leaf.size for leaf in weights(net)] == [*kernels, 3 * 18]
    x = jax.random.uniform(jax.random.key(1), (28, 28, 1))
    opening = net.opening(x)
    assert opening.shape == (sum(kernels) + 3 * 18,)
    np.testing.assert_allclose(net(x), net.logits(x, opening))
    np.testing.assert_allclose(net.logits(x, jnp.ones_like(opening)), net.head(net.features(x)), rtol=1e-6)
    np.testing.assert_allclose(net.logits(x, jnp.zeros_like(opening)), net.head.bias)
    half = jnp.ones_like(opening).at[-3 * 18 :].set(0.5)
    biased = eqx.tree_at(lambda net: net.head.bias, net, jnp.array([1.0, 2.0, 3.0]))
    whole = biased.head(biased.features(x))
    np.testing.assert_allclose(biased.logits(x, half) - biased.head.bias, (whole - biased.head.bias) / 2, rtol=1e-5)
    read = net.read(x)
    inside = net.head.weight * opening[-3 * 18 :].reshape(3, 18)
    np.testing.assert_allclose(inside @ read, net(x), rtol=1e-4, atol=1e-6)
