"""Policies: one observation at a time and whole rollouts agree; weights begin orthogonal."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from aiga.nn.distributions import Gaussian
from aiga.nn.mlp import convolutional, mlp, nature_cnn, relu
from aiga.nn.policy import Scale, make_policy


def test_the_weights_of_a_perceptron_are_orthogonal_with_the_asked_gain():
    network = mlp(jax.random.key(0), (6, 4, 2), gain=3.0, last_gain=0.5)
    first, last = (layer.weight for layer in network.layers)
    np.testing.assert_allclose(first @ first.T, 9 * np.eye(4), atol=1e-5)
    np.testing.assert_allclose(last @ last.T, 0.25 * np.eye(2), atol=1e-6)
    assert not any(layer.bias.any() for layer in network.layers)


def test_the_nature_network_makes_512_features_of_four_images():
    network = eqx.filter_eval_shape(nature_cnn, jax.random.key(0))
    image = jax.ShapeDtypeStruct((4, 84, 84), jnp.uint8)
    assert eqx.filter_eval_shape(lambda n, x: n(x), network, image).shape == (512,)
    assert network.linear.weight.shape == (512, 3136)


def test_a_convolution_scales_its_pixels():
    one = convolutional(jax.random.key(0), (2, 6, 6), ((3, 3, 1), (4, 2, 2)), 5, 1 / 255)
    other = convolutional(jax.random.key(0), (2, 6, 6), ((3, 3, 1), (4, 2, 2)), 5)
    image = jax.random.uniform(jax.random.key(1), (2, 6, 6))
    np.testing.assert_allclose(one(255 * image), other(image), rtol=1e-5)
    assert other(image).shape == (5,)


def test_unrolling_a_memory_equals_one_step_at_a_time_with_resets():
    policy = make_policy(jax.random.key(0), 3, 2, memory=5)
    seen = jax.random.normal(jax.random.key(1), (4, 2, 3))
    starts = jnp.array([[False, True], [False, False], [True, False], [False, False]])
    carry = jax.random.normal(jax.random.key(2), (2, 5))
    unrolled = policy.unroll(seen, starts, carry)
    for t in range(4):
        carry = jnp.where(starts[t][:, None], 0, carry)
        outputs = [policy(seen[t, i], carry[i]) for i in range(2)]
        carry = jnp.stack([output.carry for output in outputs])
        np.testing.assert_allclose(unrolled.value[t], [output.value for output in outputs], atol=1e-6)
        np.testing.assert_allclose(
            unrolled.distribution.logits[t], [output.distribution.logits for output in outputs], atol=1e-6
        )
    np.testing.assert_allclose(unrolled.carry, carry, atol=1e-6)


def test_a_policy_without_memory_has_an_empty_carry_and_reads_any_tree():
    policy = make_policy(jax.random.key(0), 3, 2)
    assert policy.initial() == ()
    output = policy({"a": jnp.ones(2), "b": jnp.array(1)})
    assert output.carry == ()
    assert output.value.shape == ()


def test_values_are_given_in_units_of_reward():
    policy = make_policy(jax.random.key(0), 3, 2)
    scaled = eqx.tree_at(lambda p: p.scale, policy, Scale(jnp.array(7.0), jnp.array(2.0)))
    plain = policy(jnp.ones(3)).value
    np.testing.assert_allclose(scaled(jnp.ones(3)).value, 2 * plain + 7, rtol=1e-6)


def test_continuous_policies_give_gaussians():
    assert isinstance(make_policy(jax.random.key(0), 3, 2, continuous=True)(jnp.ones(3)).distribution, Gaussian)


def test_a_policy_survives_pickling():
    policy = make_policy(jax.random.key(0), 3, 2, memory=4, activation=relu)
    again = pickle.loads(pickle.dumps(policy))
    np.testing.assert_array_equal(
        again(jnp.ones(3), jnp.zeros(4)).distribution.logits, policy(jnp.ones(3), jnp.zeros(4)).distribution.logits
    )
