"""Networks whose activations or weights another network scales: neuromodulation by multiplication.

ANML, Beaulieu et al. (2020), https://arxiv.org/abs/2002.09571: a gate for every feature,
`logits = W (features(x) * gate(x)) + b`.  Sparse synaptic bursting, Beaulieu et al. (2021),
https://arxiv.org/abs/2108.12056: a gate for every weight, `network with weights W * gate(x)`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.protocols import Key
from aiga.nn.conv import Trunk, kaiming, trunk
from aiga.nn.conv import features as width_of

SUPPRESSED = -8.0
"""The bias with which every weight begins almost shut: a gate of 3e-4."""


class Gate(eqx.Module):
    """A number in (0, 1) for each of `g` things, from what is seen."""

    encoder: Callable[[Array], Float[Array, " f"]]
    layers: tuple[eqx.nn.Linear, ...]
    """Two where the first makes the second a matrix of low rank."""

    def __call__(self, x: Array) -> Float[Array, " g"]:
        x = self.encoder(x)
        for layer in self.layers:
            x = layer(x)
        return jax.nn.sigmoid(x)


class Gated(eqx.Module):
    """Features, a gate for each of them or none, and a linear head."""

    steady: ClassVar[tuple[str, ...]] = ("gate",)
    """While these parts stay the same, so does the opening for an `x`."""
    features: Callable[[Array], Float[Array, " f"]]
    gate: Gate | None
    head: eqx.nn.Linear

    def __call__(self, x: Array) -> Float[Array, " c"]:
        return self.logits(x, self.opening(x))

    def opening(self, x: Array) -> Float[Array, " f"]:
        """How far each gate is open."""
        return jnp.ones(self.head.in_features) if self.gate is None else self.gate(x)

    def logits(self, x: Array, opening: Float[Array, " f"]) -> Float[Array, " c"]:
        """The answer with gates that were computed before."""
        return self.head(self.features(x) * opening)

    def read(self, x: Array) -> Float[Array, " f"]:
        """What the head is given."""
        return self.features(x) * self.opening(x)


class Represented(eqx.Module):
    """A representation, a layer that learns from it, and a linear head: the network of OML.

    Javed & White (2019), https://arxiv.org/abs/1905.12588, Figure 1: while a class is learnt, the representation stays.
    """

    steady: ClassVar[tuple[str, ...]] = ("features",)
    features: Callable[[Array], Float[Array, " f"]]
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear

    def __call__(self, x: Array) -> Float[Array, " c"]:
        return self.logits(x, self.opening(x))

    def opening(self, x: Array) -> Float[Array, " f"]:
        """The representation."""
        return self.features(x)

    def logits(self, x: Array, opening: Float[Array, " f"]) -> Float[Array, " c"]:
        """The answer with a representation that was computed before."""
        del x
        return self.head(jax.nn.relu(self.hidden(opening)))

    def read(self, x: Array) -> Float[Array, " h"]:
        """What the head is given."""
        return jax.nn.relu(self.hidden(self.features(x)))


class Bursting(eqx.Module):
    """Features and a head of which every weight has a gate: the network of sparse synaptic bursting.

    Beaulieu, Clune & Cheney (2021), https://arxiv.org/abs/2108.12056.  What looks and what opens are two parts, so that
    the second can learn alone.  Gains, shifts and biases have no gates.
    """

    steady: ClassVar[tuple[str, ...]] = ("eye", "gate")
    features: Trunk
    eye: Trunk
    gate: Gate
    head: eqx.nn.Linear

    def __call__(self, x: Array) -> Float[Array, " c"]:
        return self.logits(x, self.opening(x))

    def opening(self, x: Array) -> Float[Array, " g"]:
        """How far each weight's gate is open: those of the convolutions in their order, then the head's."""
        return self.gate(self.eye(x))

    def logits(self, x: Array, opening: Float[Array, " g"]) -> Float[Array, " c"]:
        """The answer with gates that were computed before."""
        open_now = eqx.tree_at(weights, self, burst(weights(self), opening))
        return open_now.head(open_now.features(x))

    def read(self, x: Array) -> Float[Array, " f"]:
        """What the head is given.  Its weights are gated too: it cannot be asked without the rest."""
        kernels = weights(self)[:-1]
        open_now = burst(kernels, self.opening(x)[: sum(kernel.size for kernel in kernels)])
        return eqx.tree_at(lambda net: weights(net)[:-1], self, open_now).features(x)


def weights(network: PyTree) -> list[PyTree]:
    """The kernels of the convolutions that make features, and the weights of the head."""
    return [*(block.kernel for block in network.features.blocks), network.head.weight]


def gate(
    key: Key,
    encoder: Callable[[Array], Float[Array, " f"]],
    inputs: int,
    outputs: int,
    *,
    rank: int | None = None,
    bias: float = 0.0,
) -> Gate:
    """A gate on the `inputs` features of an encoder, with Kaiming-normal weights.

    Args:
        key: Where the weights come from.
        encoder: What looks.
        inputs: How many features it gives.
        outputs: How many things are gated: features, or all the weights of a network.
        rank: Through so few numbers; None: directly, as in the papers.  A gate for every weight is large otherwise.
        bias: The first bias; `SUPPRESSED` for weights.
    """
    keys = jax.random.split(key, 2)
    sizes = (inputs, outputs) if rank is None else (inputs, rank, outputs)
    layers = [linear(one, *size) for one, size in zip(keys, pairwise(sizes), strict=False)]
    layers[-1] = eqx.tree_at(lambda layer: layer.bias, layers[-1], jnp.zeros(outputs) + bias)
    return Gate(encoder, tuple(layers))


def gated(
    key: Key, shape: tuple[int, int, int], channels: int, gates: int, classes: int, *, normed: bool = True
) -> Gated:
    """The network of ANML: three convolutions, gated by another network of three.

    Beaulieu et al. (2020), https://arxiv.org/abs/2002.09571: 256 and 112 channels, 1,000 classes, 6 million weights.

    Args:
        key: Where the weights come from.
        shape: Height, width and channels of an image.
        channels: Of each convolution that makes features.
        gates: Channels of each convolution of the gate; 0: no gate.
        classes: Rows of the head.
        normed: Whether every channel of an image is brought to zero mean and unit deviation.
    """
    body, encoder, opening, head = jax.random.split(key, 4)
    features = trunk(body, shape, [channels] * 3, normed=normed)
    size = width_of(features, shape)
    shutter = None
    if gates:
        look = trunk(encoder, shape, [gates] * 3, normed=normed)
        shutter = gate(opening, look, width_of(look, shape), size)
    return Gated(features, shutter, linear(head, size, classes))


def bursting(
    key: Key,
    shape: tuple[int, int, int],
    channels: int,
    eye: int,
    classes: int,
    *,
    rank: int | None = 16,
    bias: float = SUPPRESSED,
    normed: bool = True,
) -> Bursting:
    """The network of sparse synaptic bursting: three convolutions and a head, and three convolutions that gate them.

    Beaulieu, Clune & Cheney (2021), https://arxiv.org/abs/2108.12056: 112 and 192 channels and a direct gate, which is
    590 million weights.

    Args:
        key: Where the weights come from.
        shape: Height, width and channels of an image.
        channels: Of each convolution that makes features.
        eye: Channels of each convolution of what looks.
        classes: Rows of the head.
        rank: Through so few numbers all gates are opened; None: directly.
        bias: Of the gates to begin with.
        normed: Whether every channel of an image is brought to zero mean and unit deviation.
    """
    body, see, opening, head = jax.random.split(key, 4)
    features, look = (trunk(one, shape, [width] * 3, normed=normed) for one, width in ((body, channels), (see, eye)))
    layer = linear(head, width_of(features, shape), classes)
    count = sum(block.kernel.size for block in features.blocks) + layer.weight.size
    shutter = gate(opening, eqx.nn.Identity(), width_of(look, shape), count, rank=rank, bias=bias)
    return Bursting(features, look, shutter, layer)


def represented(
    key: Key, shape: tuple[int, int, int], channels: int, hidden: int, classes: int, *, normed: bool = False
) -> Represented:
    """The network of OML: six convolutions that represent, and two layers that learn.

    Javed & White (2019), https://arxiv.org/abs/1905.12588: 256 channels, 1,024 hidden units, no norm.  Deviation: they
    have images of 84 x 84 and strides; here the first convolution is pooled, and 28 x 28 pixels leave 3 x 3.
    """
    body, middle, head = jax.random.split(key, 3)
    features = trunk(body, shape, [channels] * 6, pooled=(True, *[False] * 5), normed=normed)
    return Represented(features, linear(middle, width_of(features, shape), hidden), linear(head, hidden, classes))


def linear(key: Key, inputs: int, outputs: int) -> eqx.nn.Linear:
    """A linear layer with Kaiming-normal weights and no bias to begin with."""
    layer = eqx.nn.Linear(inputs, outputs, key=jax.random.key(0))  # its numbers are all replaced
    weight = kaiming(key, (inputs, outputs)).T
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, jnp.zeros(outputs)))


def zapped(key: Key, head: eqx.nn.Linear, classes: Int[Array, " k"]) -> eqx.nn.Linear:
    """The head with the weights of some classes drawn anew, Kaiming-normal; biases stay."""
    fresh = kaiming(key, (head.weight.shape[1], len(classes))).T
    return eqx.tree_at(lambda layer: layer.weight, head, head.weight.at[classes].set(fresh))


def burst(weights: PyTree, opening: Float[Array, " g"]) -> PyTree:
    """Weights, each multiplied with its gate; gates are in the order of the tree's leaves."""
    flat, unravel = ravel_pytree(weights)
    return unravel(flat * opening)
