import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.nn.conv import InstanceNorm, convolve, features, largest, trunk


def reference(kernel, image, stride):
    kinds = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(image[None], kernel, (stride, stride), "VALID", dimension_numbers=kinds)[0]


def three(convolution, stride):
    """The convolution, a gradient of it, and a gradient through a step along that gradient, all by kernel and image."""

    def bent(kernel, image):
        return jnp.sin(convolution(kernel, image, stride)).sum()

    def learnt(kernel, image):
        by_kernel, by_image = jax.grad(bent, (0, 1))(kernel, image)
        return bent(kernel - 0.1 * by_kernel, image - 0.1 * by_image)

    def all_of(kernel, image):
        gradients = jax.grad(bent, (0, 1))(kernel, image), jax.grad(learnt, (0, 1))(kernel, image)
        return convolution(kernel, image, stride), gradients

    return jax.jit(jax.vmap(all_of))


@pytest.mark.parametrize(("size", "side", "stride"), [(3, 6, 1), (3, 8, 2)])
def test_convolutions_with_weights_for_each_example_are_xlas_with_their_derivatives(size, side, stride):
    random = np.random.default_rng(0)
    kernels, images = random.normal(size=(2, size, size, 2, 3)), random.normal(size=(2, side, side + 1, 2))
    with jax.enable_x64(True):
        found, expected = (
            jax.tree.leaves(three(f, stride)(jnp.asarray(kernels), jnp.asarray(images))) for f in (convolve, reference)
        )
    assert found[0].shape == (2, (side - size) // stride + 1, (side + 1 - size) // stride + 1, 3)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_every_channel_is_normed_by_its_own_pixels():
    image = jnp.array(
        [[[1.0, 5.0], [3.0, 5.0]]]
    )  # the first channel's mean is 2 and its deviation 1, the second is flat
    normed = InstanceNorm(jnp.array([2.0, 2.0]), jnp.array([0.5, 0.5]))(image)
    np.testing.assert_allclose(normed, [[[-1.5, 0.5], [2.5, 0.5]]], rtol=1e-4)


def test_the_largest_of_four_pixels_stays_and_an_odd_column_goes():
    image = jnp.arange(10.0).reshape(2, 5, 1)
    np.testing.assert_array_equal(largest(image)[..., 0], [[6, 8]])


def test_one_pixel_has_the_gradient_also_of_equal_ones():
    image = jnp.array([[3.0, 1.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]])[..., None]
    slope = jax.grad(lambda image: largest(image).sum())(image)[..., 0]
    np.testing.assert_array_equal(slope, [[1, 0, 0, 0], [0, 0, 0, 1]])


def test_the_trunks_of_anml_are_as_wide_as_the_paper_says():
    shape = (28, 28, 1)
    wide = jax.eval_shape(lambda key: trunk(key, shape, (256, 256, 256)), jax.random.key(0))
    narrow = jax.eval_shape(lambda key: trunk(key, shape, (112, 112, 112)), jax.random.key(0))
    assert (features(wide, shape), features(narrow, shape)) == (2304, 1008)


def test_a_trunk_without_norm_or_pooling_is_its_convolutions():
    """Differentiable plasticity's: steps of two pixels and the hyperbolic tangent."""
    net = trunk(
        jax.random.key(0), (7, 7, 1), (2, 3), pooled=(False, False), normed=False, stride=2, activation=jnp.tanh
    )
    image = jax.random.normal(jax.random.key(1), (7, 7, 1))
    x = image
    for block in net.blocks:
        x = jnp.tanh(reference(block.kernel, x, 2))
    np.testing.assert_allclose(net(image), x.ravel(), rtol=1e-5, atol=1e-6)


def test_kaimings_weights_have_the_variance_of_two_over_their_inputs():
    [block] = trunk(jax.random.key(0), (28, 28, 50), (100,), pooled=(False,)).blocks
    assert float(block.kernel.var()) == pytest.approx(2 / (9 * 50), rel=0.02)
