"""Seen some times, completed from a half: random patterns of bits, and pictures.

Miconi, Stanley & Clune (2018), https://arxiv.org/abs/1804.02464, sections 4.1 and 4.2:

    a few times, in a random order:
        every pattern is the input for some steps, then nothing for some steps
    half of one pattern is the input for some steps
    loss <- squared distance of the last output to the whole pattern

Every bit has a unit, which also is its output; one more unit is always on, and a larger network has others.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key
from aiga.learners.meta_gradient import Unroll
from aiga.nn.plastic import MODULATED, Per, PlasticCell, Rule, modulator, plastic


class Recall(NamedTuple):
    """Some patterns, and how much of one is given at the end."""

    stored: Float[Array, "p n"]
    """In [-1, 1], in the order in which the last round shows them."""
    order: Array
    """Which pattern each showing shows."""
    asked: Array
    """The number of the pattern that is to be completed."""
    given: Bool[Array, " n"]


class Completion(eqx.Module):
    """Complete a pattern: the episodes, the networks and the loss."""

    bits: int = eqx.field(static=True)
    pictures: Float[Array, "m n"] | None
    """To learn from, in [-1, 1]; None: patterns are random bits."""
    tests: Float[Array, "q n"] | None
    source: str = eqx.field(static=True, default="random")
    patterns: int = eqx.field(static=True, default=5)
    rounds: int = eqx.field(static=True, default=2)
    shown: int = eqx.field(static=True, default=6)
    """Steps of a showing."""
    blank: int = eqx.field(static=True, default=4)
    """Steps after it."""
    recall: int = eqx.field(static=True, default=6)
    """Steps from the half to the answer."""
    gain: float = eqx.field(static=True, default=20.0)
    """Of the input of bits; where pictures are completed, units take the value of their input."""
    batch: int = eqx.field(static=True, default=1)
    examined: int = eqx.field(static=True, default=32)
    """Episodes of an examination."""
    unroll: Unroll = Unroll()

    def build(self, key: Key, units: int, rule: Rule, alpha: Per) -> PlasticCell:
        """A layer of `units` that are all connected; each has an input of its own."""
        recurrent, signal = jax.random.split(key)
        heard = modulator(signal, units) if rule in MODULATED else None
        layer = plastic(recurrent, units, units, rule, alpha=alpha)
        return PlasticCell(layer, None, heard, clamped=self.pictures is not None)

    def begin(self, network: PlasticCell) -> tuple[()]:
        """What is carried from one update to the next: nothing."""
        del network
        return ()

    def loss(
        self, key: Key, network: PlasticCell, memory: tuple[()]
    ) -> tuple[Float[Array, ""], tuple[tuple[()], Info]]:
        """The squared distance to the whole pattern, summed over its units, mean over the batch."""
        target, _, answer = self.answers(key, network, self.batch, self.pictures)
        return ((answer - target) ** 2).sum(axis=1).mean(), (memory, {})

    def examine(self, key: Key, network: PlasticCell) -> Info:
        """What is wrong of the halves that were not given, where pictures are those of the test set."""
        target, given, answer = self.answers(key, network, self.examined, self.tests)
        wrong = jnp.sign(answer) != jnp.sign(target) if self.pictures is None else (answer - target) ** 2
        return {"completion/error": (wrong * ~given).sum() / (~given).sum()}

    def answers(
        self, key: Key, network: PlasticCell, n: int, pictures: Float[Array, "m n"] | None
    ) -> tuple[Float[Array, "b n"], Bool[Array, "b n"], Float[Array, "b n"]]:
        """Of `n` episodes: the pattern, which of its bits were given, and what the network made of them."""
        episodes = jax.vmap(lambda key: self.episode(key, pictures))(jax.random.split(key, n))
        inputs = jax.vmap(lambda episode: self.inputs(episode, len(network.recurrent.weight)))(episodes)
        memory = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), network.initial())

        def step(memory, x):
            return jax.vmap(network)(x, memory), None

        memory, _ = self.unroll(step, memory, inputs.swapaxes(0, 1))
        target = jax.vmap(lambda episode: episode.stored[episode.asked])(episodes)
        return target, episodes.given, memory.hidden[:, : self.bits]

    def episode(self, key: Key, pictures: Float[Array, "m n"] | None) -> Recall:
        """Random patterns; of bits a random half is given, of pictures the upper or the lower half."""
        draw, order, ask, half = jax.random.split(key, 4)
        shape = self.patterns, self.bits
        if pictures is None:
            stored = jax.random.rademacher(draw, shape, float)
            given = jax.random.uniform(half, (self.bits,)).argsort().argsort() < self.bits // 2
        else:
            stored = pictures[jax.random.randint(draw, (self.patterns,), 0, len(pictures))]
            given = (jnp.arange(self.bits) < self.bits // 2) ^ jax.random.bernoulli(half)
        rounds = jax.random.uniform(order, (self.rounds, self.patterns)).argsort(axis=1)
        return Recall(stored, rounds.ravel(), jax.random.randint(ask, (), 0, self.patterns), given)

    def inputs(self, episode: Recall, units: int) -> Float[Array, "t u"]:
        """What every unit is given at every step."""
        gain = self.gain if self.pictures is None else 1.0
        shown = jnp.repeat(episode.stored[episode.order][:, None], self.shown, axis=1)
        shown = jnp.pad(shown, ((0, 0), (0, self.blank), (0, 0))).reshape(-1, self.bits)
        half = jnp.tile(episode.stored[episode.asked] * episode.given, (self.recall, 1))
        steps = gain * jnp.concatenate([shown, half])
        return jnp.pad(steps, ((0, 0), (0, units - self.bits))).at[:, self.bits].set(gain)


def greys(pictures: UInt8[np.ndarray, "m h h *colours"], side: int) -> Float[np.ndarray, "m n"]:
    """Pictures as patterns: without colours, smaller by whole pixels, each of mean zero and within [-1, 1]."""
    width = pictures.shape[1]
    if side < 1 or width % side:
        raise UsageError(f"pictures of {width} pixels cannot have a side of {side}: give a part of {width}.")
    grey = pictures.reshape(*pictures.shape[:3], -1).mean(axis=-1, dtype=np.float32)
    small = grey.reshape(len(grey), side, width // side, side, width // side).mean(axis=(2, 4)).reshape(len(grey), -1)
    centred = small - small.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.abs(centred).max(axis=1, keepdims=True), 1e-6)
