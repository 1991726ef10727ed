import equinox as eqx
import jax
import numpy as np
import pytest

from aiga.nn.mlp import convolutional, mlp, unfolded


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((4, 20, 20), (8, 4)), ((3, 11, 13), (4, 3)), ((2, 7, 6), (3, 1)), ((1, 9, 9), (2, 3))],
)
def test_a_convolution_by_patches_is_a_convolution(shape, kernel):
    [layer] = convolutional(jax.random.key(0), shape, ((5, *kernel),), 2).convolutions
    layer = eqx.tree_at(lambda conv: conv.bias, layer, jax.random.normal(jax.random.key(1), layer.bias.shape))
    image = jax.random.normal(jax.random.key(2), shape)
    np.testing.assert_allclose(unfolded(layer, image), layer(image), rtol=1e-4, atol=1e-5)


def test_many_deep_networks_are_drawn_together_as_each_alone():
    """Batched QR decompositions of several layers wait for each other forever, where there are few cores."""
    together = jax.jit(jax.vmap(deep))(jax.random.split(jax.random.key(0), 200))
    alone = deep(jax.random.split(jax.random.key(0), 200)[-1])
    np.testing.assert_array_equal(together.layers[3].weight[-1], alone.layers[3].weight)


def deep(key):
    return mlp(key, (4, *[15] * 6, 2))
