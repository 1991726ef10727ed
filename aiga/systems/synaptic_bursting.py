"""Learning in another domain without forgetting, by a network that opens few of another's weights at a time.

Beaulieu, Clune & Cheney (2021), "Continual learning under domain transfer with sparse synaptic bursting",
https://arxiv.org/abs/2108.12056:

    every weight of a classifier has a gate, which another network opens by what it sees; at first almost shut
    meta-train:  repeat
        class c        <- random; its row of the head <- random
        for x of 20 pictures of c:   weights <- one SGD step of the loss on x, through the gates     (which stay)
        meta-loss      <- on the 20 and on 64 pictures of all classes, after the last step
        both networks  <- one Adam step down the meta-loss's gradient, from before the first inner step
    domain transfer:   the head <- random, and its gates
        classes of another domain one after the other, once:   weights and gates <- one Adam step on each picture
        accuracy on each class after each class; how many gates are open

    none:       no gates, and the same training
    features:   ANML's: one gate for each feature before the head
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key
from aiga.data.domains import Domain, elsewhere
from aiga.data.fewshot import EACH, flat
from aiga.data.omniglot import Source, characters
from aiga.inspect.bursts import Burst, drawn, recycled
from aiga.inspect.forgetting import matrices, measured
from aiga.learners.continual import course, learn, lesson, meta_loss, zap
from aiga.learners.meta_gradient import Memory, Order, Unroll
from aiga.learners.transfer import tracked
from aiga.nn.conv import kaiming
from aiga.nn.gated import SUPPRESSED, Bursting, bursting, gated, weights
from aiga.runs.claims import Claim
from aiga.runs.record import Run
from aiga.runs.report import Figure

ABOUT = {"papers": (23,), "pillar": "learning", "needs": ()}

Gating = Literal["weights", "features", "none"]
Learns = Literal["weights", "gates"]
SHAPE = (28, 28, 1)
INSIDE = ("features", "head")
OPEN = 0.25
"""A gate above this is open: the middle of the paper's thresholds, 0.10, 0.25 and 0.50."""
HEAD_BIAS = -1.7
"""Of the head's gates in another domain, to begin with: 0.15, as in the authors' code."""
TRAIN = 15
"""Pictures of a class that are learnt from."""
DOMAINS: tuple[Domain, ...] = ("characters", "digits", "textures")


class Trace(NamedTuple):
    """What happens picture by picture while classes are learnt."""

    open: Float[Array, " t"]
    """Share of the gates that are open."""
    changed: Float[Array, " t"]
    """The smallest share of the weights that makes up nine tenths of the change of all."""
    shared: Float[Array, "c c"]
    """Of the weights that class i opens, the share that class j opens too."""


class Transferred(NamedTuple):
    """What came of a domain; zeros before the test."""

    matrix: Float[Array, "rows t"]
    """Accuracy on each class before any and after each."""
    trace: Trace


class Regulated(NamedTuple):
    """The state."""

    network: PyTree
    optimiser: PyTree
    updates: Int[Array, ""]
    domains: dict[str, Transferred]


class Place(eqx.Module):
    """Classes of a domain, and how many of them are learnt one after the other."""

    held: UInt8[Array, "v 28 28"]
    """To choose the learning rate on."""
    test: UInt8[Array, "e 28 28"]
    source: str = eqx.field(static=True)
    length: int = eqx.field(static=True)


class SynapticBursting(eqx.Module):
    """Meta-train on characters, then learn classes of each domain in sequence."""

    train: UInt8[Array, "n 28 28"]
    places: dict[str, Place]
    source: str = eqx.field(static=True)
    build: "Build"
    unroll: Unroll
    rate: float
    learning_rate: float
    zap: bool = eqx.field(static=True)
    inner_steps: int = eqx.field(static=True)
    remember: int = eqx.field(static=True)
    updates: int = eqx.field(static=True)
    fuse: int = eqx.field(static=True)
    rates: tuple[float, ...] = eqx.field(static=True)
    streams: int = eqx.field(static=True)
    learns: Learns = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Regulated:
        network = self.build(key)
        optimiser = self._adam().init(eqx.filter(network, eqx.is_array))
        return Regulated(
            network,
            optimiser,
            jnp.zeros((), jnp.int32),
            {name: _nothing(place.length) for name, place in self.places.items()},
        )

    def step(self, key: Key, state: Regulated) -> tuple[Regulated, Info]:
        learn, test = jax.random.split(key)
        sources = {f"data/{name}": place.source for name, place in self.places.items()}
        state, said = self.trained(learn, state)
        about = {"data/source": self.source, **sources, **self.unroll.describe(state.network)}
        info = {**about, **said, "train/updates": state.updates}
        if int(state.updates) >= self.updates:
            found, results = self.tested(test, state.network)
            state, info = state._replace(domains=found), {**info, **results, "run/finished": 1}
        return state, info

    def trained(self, key: Key, state: Regulated) -> tuple[Regulated, Info]:
        """Some steps of Adam.  A loop on the host: on a CPU, XLA multiplies pictures with weights of their own
        seventeen times slower inside a compiled loop.
        """
        told = []
        for one in jax.random.split(key, self.fuse):
            state, said = self.update(one, state)
            told.append(said)
        return state, {name: float(np.mean([said[name] for said in told])) for name in told[0]}

    @eqx.filter_jit
    def update(self, key: Key, state: Regulated) -> tuple[Regulated, Info]:
        """One step down the gradient of what a lesson leads to."""
        draw, renew = jax.random.split(key)
        data = lesson(draw, self.train, len(self.train) // EACH, self.inner_steps, self.remember)
        network = zap(renew, state.network, data.label[None]) if self.zap else state.network
        (loss, said), slope = eqx.filter_value_and_grad(meta_loss, has_aux=True)(network, data, self.unroll, self.rate)
        change, optimiser = self._adam().update(slope, state.optimiser)
        opening = network.opening(data.train[0])
        info = {
            "train/loss": loss, "train/first": said.before, "train/last": said.after,
            "train/remembered": said.accuracy, "train/open": (opening > OPEN).mean(),
        }  # fmt: skip
        network = eqx.apply_updates(network, change)
        return state._replace(network=network, optimiser=optimiser, updates=state.updates + 1), info

    def tested(self, key: Key, network: PyTree) -> tuple[dict[str, Transferred], Info]:
        """Every domain by itself, from the meta-trained network, at the rate that keeps most on what is held."""
        found, info, told = {}, {}, []
        for one, (name, place) in zip(jax.random.split(key, len(self.places)), self.places.items(), strict=True):
            search, final, trace = jax.random.split(one, 3)
            held = self.followed(search, network, place.held, place.length)
            chosen = int(held[:, -1].mean(axis=1).argmax())
            matrix = self.followed(final, network, place.test, place.length)[chosen]
            found[name] = Transferred(matrix, self.traced(trace, network, place.test, place.length))
            shown = found[name].trace
            said = {
                **measured(np.asarray(matrix))._asdict(), "rate": self.rates[chosen], "open": shown.open.mean(),
                "changed": shown.changed.mean(), "recycled": recycled(np.asarray(shown.shared)),
            }  # fmt: skip
            info |= {f"{name}/{key}": value for key, value in said.items()}
            told.append(said)
        return found, info | {f"transfer/{key}": float(np.mean([said[key] for said in told])) for key in told[0]}

    @eqx.filter_jit
    def followed(self, key: Key, network: PyTree, pictures: Array, length: int) -> Float[Array, "r rows t"]:
        """Accuracies by learning rate, by class that was learnt and by class; the mean of some streams."""

        def one(key: Key) -> Array:
            renew, stream = jax.random.split(key)
            opened = reopened(renew, network)
            return tracked(stream, opened, pictures, length, self.rates, ways=1, adapts=self._adapts(network))

        return jax.lax.map(one, jax.random.split(key, self.streams)).mean(axis=0)

    @eqx.filter_jit
    def traced(self, key: Key, network: PyTree, pictures: Array, length: int) -> Trace:
        """Steps of SGD as in the lessons of meta-training: Adam would change what has no gradient, too."""
        draw, head, renew = jax.random.split(key, 3)
        given = course((draw, head), reopened(renew, network), pictures, length, INSIDE)
        rule = optax.sgd(self.rate)
        _, after = learn(given.network, given.lessons, INSIDE, rule, every=1, watch=_row)
        moved = jnp.abs(jnp.diff(jnp.concatenate([_row(given.network)[None], after]), axis=0))
        opening = given.lessons.seen[1] > OPEN
        return Trace(opening.mean(axis=1), carried(moved), overlap(opening.reshape(length, -1, opening.shape[1])))

    def _adapts(self, network: PyTree) -> tuple[str, ...]:
        """In another domain; what looks stays, and so does ANML's whole gate."""
        return (*INSIDE, "gate") if isinstance(network, Bursting) and self.learns == "gates" else INSIDE

    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def reopened(key: Key, network: PyTree) -> PyTree:
    """The network with random gates of its head, which begin somewhat open; others have no such gates."""
    if not isinstance(network, Bursting):
        return network
    count = network.head.weight.size
    last = lambda net: (net.gate.layers[-1].weight, net.gate.layers[-1].bias)  # noqa: E731
    weight, bias = last(network)
    fresh = kaiming(key, (weight.shape[1], count)).T
    return eqx.tree_at(last, network, (weight.at[-count:].set(fresh), bias.at[-count:].set(HEAD_BIAS)))


def carried(moved: Float[Array, "t n"], part: float = 0.9) -> Float[Array, " t"]:
    """The smallest share of the weights that makes up this part of the whole change of a step."""
    total = jnp.cumsum(jnp.sort(moved, axis=1)[:, ::-1], axis=1)
    count = 1 + (total < part * total[:, -1:]).sum(axis=1)
    return jnp.where(total[:, -1] > 0, count / moved.shape[1], 0.0)


def overlap(opened: Bool[Array, "c e g"]) -> Float[Array, "c c"]:
    """Of what class i opens in at least half of its pictures, the share that class j opens too; 0 if it opens none."""
    own = (opened.mean(axis=1) >= 0.5).astype(jnp.float32)
    return own @ own.T / jnp.maximum(own.sum(axis=1), 1)[:, None]


def _row(network: PyTree) -> Float[Array, " n"]:
    return ravel_pytree(weights(network))[0]


def _nothing(length: int) -> Transferred:
    steps = length * TRAIN
    trace = Trace(jnp.zeros(steps), jnp.zeros(steps), jnp.zeros((length, length)))
    return Transferred(jnp.zeros((length + 1, length)), trace)


class Build(eqx.Module):
    """From a key to a network with random weights."""

    gating: Gating = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    eye: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)
    bias: float = eqx.field(static=True)
    normed: bool = eqx.field(static=True)

    def __call__(self, key: Key) -> PyTree:
        if self.gating != "weights":
            gates = self.eye if self.gating == "features" else 0
            return gated(key, SHAPE, self.channels, gates, self.classes, normed=self.normed)
        about = {"rank": self.rank or None, "bias": self.bias, "normed": self.normed}
        return bursting(key, SHAPE, self.channels, self.eye, self.classes, **about)


def make(
    gating: Gating = "weights",
    bias: float = SUPPRESSED,
    rank: int = 16,
    order: Order = 1,
    data: Source = "auto",
    domains: tuple[Domain, ...] = DOMAINS,
    length: int = 20,
    learns: Learns = "gates",
    zap: bool = True,
    norm: bool = True,
    channels: int = 16,
    eye: int = 16,
    classes: int = 100,
    inner_steps: int = 20,
    remember: int = 64,
    rate: float = 0.1,
    learning_rate: float = 0.002,
    updates: int = 600,
    memory: Memory = "scan",
    rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01),
    streams: int = 2,
    fuse: int = 50,
) -> SynapticBursting:
    """Meta-learn which weights to open when, and learn classes of other domains in sequence.

    Args:
        gating: Gates for every weight, for every feature before the head as in ANML, or none.
        bias: Of the gates before training: -8 shuts nearly all, 0 leaves all half open.
        rank: Through so few numbers all gates are opened; 0: directly, as in the paper, which is large.
        order: Of the gradient through the inner steps: 1, they count as constants, or 2, exact.
        data: Where characters and digits come from: Omniglot and MNIST, those that we draw, or what is found.
        domains: Each is learnt from the meta-trained network, by itself.
        length: Classes of a domain that are learnt one after the other, or all if it has fewer.
        learns: What learns in another domain: the weights and their gates, or the weights alone.
        zap: Whether the class's row of the head is drawn anew before each lesson.
        norm: Whether convolutions are followed by instance norm.
        channels: Of each convolution that makes features.
        eye: Channels of each convolution of what opens the gates.
        classes: Characters to train on, of 964.
        inner_steps: Pictures of a class that are learnt one after the other.
        remember: Pictures of all classes in the meta-loss.
        rate: Learning rate of the inner steps.
        learning_rate: Of Adam, of the meta-gradient.
        updates: Steps of Adam, then the run tests and ends.
        memory: What of the inner steps the gradient keeps.
        rates: Learning rates of Adam to choose from in another domain.
        streams: Of each domain.
        fuse: Updates in a step of the run.
    """
    known, names = characters(data), tuple(domains)
    if not 2 <= classes <= len(known.train):
        raise UsageError(f"--classes is {classes}: give 2 to {len(known.train)}.")
    if not names or length < 2:
        raise UsageError(f"--domains is {names} and --length is {length}: give a domain, and two classes or more.")
    if not rates or min(*rates, rate, learning_rate, channels, eye, inner_steps, remember, updates, fuse, streams) <= 0:
        raise UsageError("rates and numbers must be above zero; only --rank and --bias may be zero.")
    places = {name: _place(name, length, data, classes) for name in names}
    rows = max(classes, *(place.length for place in places.values()))
    return SynapticBursting(
        train=flat(known.train[:classes]), places=places, source=known.source,
        build=Build(gating, channels, eye, rows, rank, bias, norm), unroll=Unroll(INSIDE, order, memory), rate=rate,
        learning_rate=learning_rate, zap=zap, inner_steps=inner_steps, remember=remember, updates=updates, fuse=fuse,
        rates=tuple(rates), streams=streams, learns=learns,
    )  # fmt: skip


PAPER = {
    "rank": 0, "channels": 112, "eye": 192, "classes": 963, "updates": 25_000, "learning_rate": 0.001, "length": 100,
    "domains": ("cifar100",), "rates": (0.0002,), "streams": 10,
}  # fmt: skip
"""The authors' code, with first-order gradients as its README runs it, and 590 million weights: a GPU's work."""


def _place(name: Domain, length: int, data: Source, after: int) -> Place:
    found = elsewhere(name, length, data, after=after)
    return Place(flat(found.held), flat(found.test), found.source, min(length, len(found.test)))


CLAIM = (
    Claim(
        statement="With gates for every weight, a network that was meta-trained to learn characters in sequence keeps"
        " more of other characters, seen once and one class after the other, than one without gates after as many"
        " steps.",
        source="Beaulieu, Clune & Cheney 2021, abstract: learning sequentially with little forgetting",
        metric="characters/kept",
        treatment={},
        control={"gating": "none"},
        also=("characters/forgotten", "train/loss", "train/open", "transfer/open", "transfer/recycled"),
    ),
    Claim(
        statement="It does so in another domain too: it keeps more of the digits.",
        source="Beaulieu, Clune & Cheney 2021, abstract: under domain transfer",
        metric="digits/kept",
        treatment={},
        control={"gating": "none"},
        also=("digits/learnt", "digits/forgotten", "digits/rate", "textures/kept"),
    ),
    Claim(
        statement="Learning is sparse: a smaller share of the weights makes up nine tenths of each step's change.",
        source="Beaulieu, Clune & Cheney 2021, abstract: sparse bursts of activity in weights",
        metric="transfer/changed",
        treatment={},
        control={"gating": "none"},
        better="lower",
        also=("characters/changed", "digits/changed", "textures/changed", "transfer/open"),
    ),
)


def figures(run: Run) -> list[Figure]:
    """What is forgotten in each domain, and the bursts."""
    if "run/finished" not in run.latest():
        return []
    domains = run.state.domains
    known = {name: np.asarray(found.matrix) for name, found in domains.items()}
    traces = {name: Burst(*map(np.asarray, found.trace)) for name, found in domains.items()}
    return [*drawn(traces), *matrices(known, "class")]


if __name__ == "__main__":
    import aiga

    aiga.run("synaptic_bursting", steps=12)
