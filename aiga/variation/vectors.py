"""Variation of real-valued genomes: any pytree of float arrays whose leaves lead with the batch axis."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, UInt32

from aiga.core.protocols import Key

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Threefry-2x32: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", Table 2."""
BLOCK = 4096
"""Counters per turn of the loop."""


def gaussian(key: Key, x: PyTree, sigma: float = 0.1) -> PyTree:
    """`x` plus normal noise of standard deviation `sigma`, independent in every number."""
    leaves, treedef = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten([leaf + sigma * normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)])


def iso_line(key: Key, x: PyTree, y: PyTree, iso: float = 0.01, line: float = 0.1) -> PyTree:
    """Gaussian mutation of `x` plus a random step along the line from `x` to `y`.

    Vassiliades & Mouret (2018), https://arxiv.org/abs/1804.03906, Eq. 1.  The step along the line is one normal
    number per candidate, shared by all leaves of its genome.
    """
    along, across = jax.random.split(key)
    step = line * normal(along, jax.tree.leaves(x)[0].shape[:1])

    def vary(x: Array, y: Array, mutated: Array) -> Array:
        return mutated + step.reshape(-1, *[1] * (x.ndim - 1)) * (y - x)

    return jax.tree.map(vary, x, y, gaussian(across, x, iso))


def polynomial(
    key: Key, x: PyTree, rate: float = 0.1, eta: float = 15.0, low: float = -1.0, high: float = 1.0
) -> PyTree:
    """`x` with some numbers changed by polynomial mutation, each with probability `rate`, and held within its bounds.

    Deb & Goyal (1996), "A combined genetic adaptive search (GeneAS) for engineering design".  Larger `eta` makes
    smaller changes: most are below (high - low) / eta.
    """
    leaves, treedef = jax.tree.flatten(x)

    def vary(key: Key, leaf: Array) -> Array:
        which, step = jax.random.split(key)
        change = polynomial_step(jax.random.uniform(step, leaf.shape), eta) * (high - low)
        changed = jax.random.uniform(which, leaf.shape) < rate
        return jnp.where(changed, jnp.clip(leaf + change, low, high), leaf)

    return treedef.unflatten(
        [vary(k, leaf) for k, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)]
    )


def polynomial_step(u: Float[Array, "..."], eta: float) -> Float[Array, "..."]:
    """From uniform numbers in [0, 1) to steps of density (eta + 1) / 2 (1 - |step|)^eta between -1 and 1."""
    below, above = (2 * u) ** (1 / (eta + 1)) - 1, 1 - (2 * (1 - u)) ** (1 / (eta + 1))
    return jnp.where(u < 0.5, below, above)


def normal(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers: `jax.random.normal` in distribution, at a quarter of its cost on a CPU.

    On a CPU, random numbers are most of the cost of mutating a batch.  The loops over blocks, here and in `threefry`,
    keep the compiler from merging this with its consumers into one loop that it cannot vectorise.
    """
    size = math.prod(shape)
    words = threefry(jax.random.bits(key, (2,), jnp.uint32), size)
    return jax.lax.map(_normal, words).reshape(-1)[:size].reshape(shape)


def threefry(key: UInt32[Array, " 2"], size: int) -> UInt32[Array, "blocks block"]:
    """At least `size` random words of the stream `key`: Threefry-2x32 with 20 rounds, as `jax.random.bits`.

    Faster than that on a CPU, because both words of every counter are used and the rounds are unrolled.
    """
    block = max(1, min(BLOCK, -(-size // 4)))
    blocks = -(-size // (2 * block))
    starts = block * jnp.arange(blocks, dtype=jnp.uint32)
    return jnp.concatenate(jax.lax.map(lambda start: _threefry(key, start, block, blocks * block), starts))


def _normal(words: UInt32[Array, " block"]) -> Float[Array, " block"]:
    # 23 random bits make a float in [1, 2); then the open interval (-1, 1), symmetric about zero.
    unit = jax.lax.bitcast_convert_type((words >> 9) | jnp.uint32(0x3F800000), jnp.float32)
    return math.sqrt(2) * jax.lax.erf_inv(2 * (unit - 1.5) + 2**-23)


def _threefry(
    key: UInt32[Array, " 2"], start: UInt32[Array, ""], block: int, half: int
) -> tuple[UInt32[Array, " block"], UInt32[Array, " block"]]:
    """The words of the counters `start` to `start + block - 1` of the first and of the second `half`."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    counter = start + jnp.arange(block, dtype=jnp.uint32)
    a, b = counter + schedule[0], counter + jnp.uint32(half) + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            a = a + b
            b = ((b << rotation) | (b >> (32 - rotation))) ^ a
        a = a + schedule[(group + 1) % 3]
        b = b + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return a, b
