import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.nn.atari import Network, large, padding, patches, small


def test_the_networks_have_as_many_weights_as_their_layers():
    convolutions = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64)
    assert large(18).size == convolutions + (11 * 11 * 64 * 512 + 512) + (512 * 18 + 18) == 4_052_658
    assert small(18).size == 1_008_450
    assert large(18).scale().shape == (4_052_658,)


def test_first_weights_are_scaled_by_their_inputs_and_there_are_no_biases():
    scale = small(3).scale()
    first, second = 8 * 8 * 4 * 16, 4 * 4 * 16 * 32
    assert np.allclose(scale[:first], 1 / 16)
    assert np.array_equal(scale[first : first + 16], np.zeros(16))
    assert np.allclose(scale[first + 16 : first + 16 + second], 1 / 16)
    assert np.allclose(scale[-3 - 256 * 3 : -3], 0.1 / 16)
    assert np.array_equal(scale[-3:], np.zeros(3))


def test_patches_are_padded_so_that_there_is_one_for_every_stride():
    assert (padding(84, 8, 4), padding(21, 4, 2), padding(11, 3, 1), padding(4, 1, 2)) == (
        (2, 2),
        (1, 2),
        (1, 1),
        (0, 0),
    )
    image = np.arange(1, 10, dtype=np.float32).reshape(3, 3, 1)
    found = patches(image, 3, 2)
    assert np.array_equal(found[0, 0], [0, 0, 0, 0, 1, 2, 0, 4, 5])
    assert np.array_equal(found[1, 1], [5, 6, 0, 8, 9, 0, 0, 0, 0])


@pytest.mark.parametrize("network", [small(4), large(6)])
def test_outputs_are_those_of_jax(network: Network):
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal(network.size) * 0.1).astype(np.float32) * (network.scale() + 0.01)
    pictures = rng.integers(0, 256, (4, 84, 84)).astype(np.uint8)
    x, end = jnp.moveaxis(jnp.asarray(pictures), 0, -1)[None] / 255, 0
    for layer, shape in enumerate(network.shapes()):
        begin, middle = end, end + int(np.prod(shape))
        end = middle + shape[-1]
        kernel, bias = weights[begin:middle].reshape(shape), weights[middle:end]
        if len(shape) == 4:
            strides = (network.convolutions[layer][2],) * 2
            x = jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        else:
            x = x.reshape(1, -1) @ kernel
        x = x + bias
        x = jax.nn.relu(x) if end < network.size else x
    assert np.allclose(network.outputs(weights, pictures), x[0], atol=1e-6)
    assert network.action(weights, pictures) == int(x[0].argmax())
