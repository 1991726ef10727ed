"""Perceptrons and convolutions with orthogonal weights, as policy-gradient methods start from them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Key

Layer = TypeVar("Layer", eqx.nn.Linear, eqx.nn.Conv2d)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent, as a function that can be pickled."""
    return jnp.tanh(x)


def relu(x: Array) -> Array:
    """The positive part, as a function that can be pickled."""
    return jax.nn.relu(x)


class MLP(eqx.Module):
    """Linear layers with an activation between them, and `last` after the last one."""

    layers: tuple[eqx.nn.Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True, default=tanh)
    last: Callable[[Array], Array] | None = eqx.field(static=True, default=None)

    def __call__(self, x: Array) -> Array:
        x = jnp.ravel(x)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        x = self.layers[-1](x)
        return self.last(x) if self.last else x


def mlp(
    key: Key,
    sizes: Sequence[int],
    activation: Callable[[Array], Array] = tanh,
    *,
    last: Callable[[Array], Array] | None = None,
    gain: float = 2**0.5,
    last_gain: float | None = None,
) -> MLP:
    """A perceptron of the given layer sizes, inputs and outputs included; it flattens its input."""
    keys = jax.random.split(key, (len(sizes) - 1, 2))
    gains = [gain] * (len(sizes) - 2) + [gain if last_gain is None else last_gain]
    layers = [
        orthogonal(weights, eqx.nn.Linear(before, after, key=start), scale)
        for (start, weights), before, after, scale in zip(keys, sizes[:-1], sizes[1:], gains, strict=True)
    ]
    return MLP(tuple(layers), activation, last)


class Convolutional(eqx.Module):
    """Convolutions with rectifiers, then one linear layer with one; the image is `channels height width`."""

    convolutions: tuple[eqx.nn.Conv2d, ...]
    linear: eqx.nn.Linear
    scale: float = eqx.field(static=True, default=1.0)
    """What pixels are multiplied with."""

    def __call__(self, image: Array) -> Float[Array, " f"]:
        x = image.astype(float) * self.scale
        for layer in self.convolutions:
            x = jax.nn.relu(convolved(layer, x))
        return jax.nn.relu(self.linear(jnp.ravel(x)))


def convolved(layer: eqx.nn.Conv2d, image: Float[Array, "c h w"]) -> Float[Array, "o y x"]:
    """The convolution as the platform does it best."""
    return jax.lax.platform_dependent(image, cpu=lambda x: unfolded(layer, x), default=lambda x: layer(x))


def unfolded(layer: eqx.nn.Conv2d, image: Float[Array, "c h w"]) -> Float[Array, "o y x"]:
    """The same as one product with all patches: on a CPU, the gradients of XLA's own take minutes inside a loop."""
    product = by_patches(layer.weight.transpose(2, 3, 1, 0), image.transpose(1, 2, 0), layer.stride[0])
    return product.transpose(2, 0, 1) + jnp.asarray(layer.bias)


def by_patches(kernel: Float[Array, "s s i o"], image: Float[Array, "h w i"], stride: int = 1) -> Float[Array, "y x o"]:
    """A convolution without padding as one product with all patches.

    To have few slices, the image is divided into blocks as large as the stride; patches are some blocks beside each
    other.
    """
    size, channels = len(kernel), image.shape[-1]
    blocks = -(-size // stride)
    rows, columns = (1 + (side - size) // stride for side in image.shape[:2])
    edges = [
        (0, (count - 1 + blocks) * stride - side, 0)
        for count, side in zip((rows, columns), image.shape[:2], strict=True)
    ]
    tiles = jax.lax.pad(image, jnp.zeros((), image.dtype), [*edges, (0, 0, 0)])
    tiles = tiles.reshape(rows - 1 + blocks, stride, -1, stride, channels).transpose(0, 2, 4, 1, 3)
    tiles = tiles.reshape(*tiles.shape[:2], -1)
    slices = [tiles[i : i + rows, j : j + columns] for i in range(blocks) for j in range(blocks)]
    beyond = (0, blocks * stride - size, 0)
    kernel = jax.lax.pad(kernel, jnp.zeros((), kernel.dtype), [beyond, beyond, (0, 0, 0), (0, 0, 0)])
    kernel = kernel.reshape(blocks, stride, blocks, stride, *kernel.shape[2:]).transpose(0, 2, 4, 1, 3, 5)
    return jnp.concatenate(slices, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def convolutional(
    key: Key,
    shape: tuple[int, int, int],
    kernels: Sequence[tuple[int, int, int]],
    features: int,
    scale: float = 1.0,
) -> Convolutional:
    """Convolutions of the given (channels, size, stride) over images of `shape`, then `features` numbers."""
    layers, channels, sides = [], shape[0], shape[1:]
    conv, linear = jax.random.split(key)
    for one, (width, size, stride) in zip(jax.random.split(conv, (len(kernels), 2)), kernels, strict=True):
        layer = eqx.nn.Conv2d(channels, width, size, stride, key=one[0])
        layers.append(orthogonal(one[1], layer, 2**0.5))
        channels, sides = width, tuple((side - size) // stride + 1 for side in sides)
    start, weights = jax.random.split(linear)
    dense = orthogonal(weights, eqx.nn.Linear(channels * sides[0] * sides[1], features, key=start), 2**0.5)
    return Convolutional(tuple(layers), dense, scale)


def nature_cnn(key: Key, shape: tuple[int, int, int] = (4, 84, 84)) -> Convolutional:
    """The network of Mnih et al. (2015), https://www.nature.com/articles/nature14236: 512 features of byte images."""
    return convolutional(key, shape, ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, 1 / 255)


def orthogonal(key: Key, layer: Layer, gain: float) -> Layer:
    """The layer with orthogonal weights of the given gain, and no bias to begin with.

    Saxe, McClelland & Ganguli (2014), https://arxiv.org/abs/1312.6120.
    """
    shape, kind = layer.weight.shape, layer.weight.dtype
    size = shape[0], layer.weight.size // shape[0]
    # One after the other under `vmap`: the batched QR decompositions of several layers block each other on a CPU.
    draw = jax.custom_batching.sequential_vmap(lambda key: jax.nn.initializers.orthogonal(gain)(key, size, kind))
    flat = draw(key)
    return eqx.tree_at(lambda x: (x.weight, x.bias), layer, (flat.reshape(shape), 0 * layer.bias))  # pyright: ignore[reportOperatorIssue]  # has one
