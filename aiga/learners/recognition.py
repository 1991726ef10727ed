"""Characters recognised after one look: a convolutional network whose last layer is plastic.

Miconi, Stanley & Clune (2018), https://arxiv.org/abs/1804.02464, section 4.3:

    for each of some characters, in a random order:
        show a drawing and its label, which the outputs take: the trace ties the features to the label
    show another drawing of one of them
    loss <- how far the outputs are from its label
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from aiga.core.protocols import Info, Key
from aiga.data.fewshot import Episode, episode, gathered
from aiga.learners.meta_gradient import Unroll
from aiga.nn.conv import Trunk, features, trunk
from aiga.nn.mlp import tanh
from aiga.nn.plastic import Per, Plastic, Rule, Trace, plastic

TOLD = 1000.0
"""What a label adds to its output."""


class Recogniser(eqx.Module):
    """Features of a drawing, and plastic connections from them to labels."""

    trunk: Trunk
    last: Plastic

    def __call__(self, seen: Float[Array, " f"], trace: Trace) -> Float[Array, " c"]:
        """The logarithms of the odds of the labels."""
        return self.last(seen, trace)

    def shown(self, seen: Float[Array, " f"], label: Int[Array, ""], trace: Trace) -> Trace:
        """The trace after a drawing with its label."""
        told = TOLD * jax.nn.one_hot(label, len(self.last.weight))
        return self.last.after(trace, seen, jax.nn.softmax(self(seen, trace) + told))


class Answers(NamedTuple):
    """What was asked in some episodes, and what was answered."""

    logits: Float[Array, "b q c"]
    labels: Int[Array, "b q"]


class Recognition(eqx.Module):
    """N classes, one drawing of each: the episodes, the networks and the loss."""

    train: UInt8[Array, "n s s"]
    test: UInt8[Array, "m s s"]
    source: str = eqx.field(static=True)
    counts: tuple[int, int] = eqx.field(static=True)
    """Classes to learn from, and others that are seen only in tests."""
    layers: int = eqx.field(static=True, default=4)
    """Convolutions of 3 x 3 pixels with a stride of two."""
    normed: bool = eqx.field(static=True, default=False)
    """The features of every drawing have mean zero and deviation one; that takes far fewer episodes to learn, and the
    paper does not do it."""
    ways: int = eqx.field(static=True, default=5)
    shots: int = eqx.field(static=True, default=1)
    asked: int = eqx.field(static=True, default=1)
    """Drawings without a label, each after all that have one; the paper asks about one."""
    rate: float = eqx.field(static=True, default=0.01)
    """Of the traces, to begin with."""
    batch: int = eqx.field(static=True, default=1)
    examined: int = eqx.field(static=True, default=200)
    """Episodes of an examination."""
    unroll: Unroll = Unroll()

    def build(self, key: Key, units: int, rule: Rule, alpha: Per) -> Recogniser:
        """Convolutions of `units` channels, and one plastic layer."""
        body, last = jax.random.split(key)
        side = self.train.shape[1]
        shape = side, side, 1
        unpooled = [False] * self.layers
        eyes = trunk(body, shape, [units] * self.layers, pooled=unpooled, normed=False, stride=2, activation=tanh)
        return Recogniser(eyes, plastic(last, features(eyes, shape), self.ways, rule, alpha=alpha, rate=self.rate))

    def begin(self, network: Recogniser) -> tuple[()]:
        """What is carried from one update to the next: nothing."""
        del network
        return ()

    def loss(self, key: Key, network: Recogniser, memory: tuple[()]) -> tuple[Float[Array, ""], tuple[tuple[()], Info]]:
        """Mean cross-entropy of all that was asked."""
        said = self.answers(key, network, self.batch, self.train, self.counts[0])
        log = jax.nn.log_softmax(said.logits)
        return -jnp.take_along_axis(log, said.labels[..., None], axis=-1).mean(), (memory, {})

    def examine(self, key: Key, network: Recogniser) -> Info:
        """The share of right answers about characters never seen before."""
        said = self.answers(key, network, self.examined, self.test, self.counts[1])
        return {"recognition/accuracy": (said.logits.argmax(axis=-1) == said.labels).mean()}

    def answers(self, key: Key, network: Recogniser, n: int, pictures: UInt8[Array, "n s s"], classes: int) -> Answers:
        """What the network says in `n` episodes."""
        drawn = jax.vmap(lambda key: episode(key, classes, self.ways, self.shots, self.asked))(jax.random.split(key, n))
        return Answers(jax.vmap(lambda one: self.answer(network, one, pictures))(drawn), drawn.test_y)

    def answer(self, network: Recogniser, one: Episode, pictures: UInt8[Array, "n s s"]) -> Float[Array, "q c"]:
        """What the network says to the drawings without a label of one episode; ink is one, paper zero."""
        which = jnp.concatenate([one.train, one.test])
        turns = jnp.concatenate([one.train_turns, one.test_turns])
        seen = jax.vmap(network.trunk)(1 - gathered(pictures, which, turns)[..., None])
        if self.normed:
            seen = jax.nn.standardize(seen)
        split = len(one.train)

        def show(trace: Trace, x: tuple[Array, Array]) -> tuple[Trace, None]:
            return network.shown(*x, trace), None

        trace, _ = self.unroll(show, network.last.initial(), (seen[:split], one.train_y))
        return jax.vmap(network, (0, None))(seen[split:], trace)
