import equinox as eqx
import jax
import numpy as np
import pytest

from aiga.nn.mlp import convolutional, unfolded


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((4, 20, 20), (8, 4)), ((3, 11, 13), (4, 3)), ((2, 7, 6), (3, 1)), ((1, 9, 9), (2, 3))],
)
def test_a_convolution_by_patches_is_a_convolution(shape, kernel):
    [layer] = convolutional(jax.random.key(0), shape, ((5, *kernel),), 2).convolutions
    layer = eqx.tree_at(lambda conv: conv.bias, layer, jax.random.normal(jax.random.key(1), layer.bias.shape))
    image = jax.random.normal(jax.random.key(2), shape)
    np.testing.assert_allclose(unfolded(layer, image), layer(image), rtol=1e-4, atol=1e-5)
