"""Meta-learning to learn many classes in sequence, with a network that gates another.

Beaulieu, Frati, Miconi, Lehman, Stanley, Clune & Cheney (2020), "Learning to continually learn", ANML,
https://arxiv.org/abs/2002.09571:

    meta-train:  repeat
        class c        <- random; its row of the head <- random                            (zap)
        for x of 20 pictures of c:   features, head <- one SGD step of the loss on x       (the gate stays)
        meta-loss      <- on the 20 and on 64 pictures of all classes, after the last step
        all weights    <- one Adam step down the meta-loss's gradient, from before the first inner step
    meta-test:   the head <- random; all else stays
        for each of N classes that were never seen, for x of 15 of its pictures:   head <- one Adam step on x
        accuracy on the other pictures of all N classes

    oml:       Javed & White (2019): six convolutions stay inside, two layers adapt; no gate
    pretrain:  Adam on batches of pictures of all classes; as many pictures as ANML sees; then the same meta-test
    scratch:   no training before; all layers learn in the meta-test
    oracle of each: the meta-test's pictures and steps in random order
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Info, Key
from aiga.data.fewshot import EACH, flat
from aiga.data.omniglot import Classes, Source, characters
from aiga.learners.continual import Examined, batch_loss, examine, lesson, look, meta_loss, zap
from aiga.learners.meta_gradient import Memory, Order, Unroll
from aiga.nn.gated import gated, represented
from aiga.runs.claims import Claim
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style

ABOUT = {"papers": (32,), "pillar": "learning", "needs": ()}

Method = Literal["anml", "oml", "pretrain", "scratch"]
Learns = Literal["auto", "head", "all"]
INSIDE = {"anml": ("features", "head"), "oml": ("hidden", "head"), "pretrain": (), "scratch": ()}
"""What the inner steps of meta-training change."""
SHAPE = (28, 28, 1)


class Metatrained(NamedTuple):
    """The state."""

    network: PyTree
    optimiser: PyTree
    updates: Int[Array, ""]


class Anml(eqx.Module):
    """Train on some classes, then examine what is learnt of others that come one after the other."""

    train: UInt8[Array, "n 28 28"]
    """Of the classes to train on."""
    held: UInt8[Array, "v 28 28"]
    """Of other background classes, to choose the learning rate of the test; of the test's own where none are left."""
    test: UInt8[Array, "e 28 28"]
    source: str = eqx.field(static=True)
    method: Method = eqx.field(static=True)
    unroll: Unroll
    build: "Build"
    rate: float
    learning_rate: float
    zap: bool = eqx.field(static=True)
    reset_every: int = eqx.field(static=True)
    inner_steps: int = eqx.field(static=True)
    remember: int = eqx.field(static=True)
    meta_steps: int = eqx.field(static=True)
    fuse: int = eqx.field(static=True)
    lengths: tuple[int, ...] = eqx.field(static=True)
    watched: int = eqx.field(static=True)
    rates: tuple[float, ...] = eqx.field(static=True)
    streams: int = eqx.field(static=True)
    oracle_epochs: int = eqx.field(static=True)
    learns: tuple[str, ...] = eqx.field(static=True)
    follows: Literal["adam", "sgd"] = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Metatrained:
        network = self.build(key)
        return Metatrained(network, self._rule().init(eqx.filter(network, eqx.is_array)), jnp.zeros((), jnp.int32))

    def step(self, key: Key, state: Metatrained) -> tuple[Metatrained, Info]:
        learn, validate, test = jax.random.split(key, 3)
        about = {"data/source": self.source, **self.unroll.describe(state.network)}
        state, said = self.trained(learn, state)
        accuracy = self.examined(validate, state.network, self.held, self.watched, 0)
        info = {**about, **said, "validation/accuracy": accuracy.test.max()}
        if int(state.updates) >= self.meta_steps:
            info |= {**self.tested(test, state.network), "run/finished": 1}
        return state, info

    @eqx.filter_jit
    def trained(self, key: Key, state: Metatrained) -> tuple[Metatrained, Info]:
        """Some training steps."""
        if self.method == "scratch":
            return state._replace(updates=state.updates + self.fuse), {"train/updates": state.updates + self.fuse}
        state, said = jax.lax.scan(lambda state, key: self.update(key, state), state, jax.random.split(key, self.fuse))
        return state, {**{name: values.mean() for name, values in said.items()}, "train/updates": state.updates}

    def update(self, key: Key, state: Metatrained) -> tuple[Metatrained, Info]:
        """One Adam step: down the gradient of a batch, or of what inner steps lead to."""
        draw, renew = jax.random.split(key)
        if self.method == "pretrain":
            which = jax.random.randint(draw, (self.inner_steps + self.remember,), 0, len(self.train))
            network = self._headless(renew, state)
            loss, slope = eqx.filter_value_and_grad(batch_loss)(network, look(self.train, which), which // EACH)
            info = {"train/loss": loss}
        else:
            data = lesson(draw, self.train, len(self.train) // EACH, self.inner_steps, self.remember)
            network = zap(renew, state.network, data.label[None]) if self.zap else state.network
            slope_of = eqx.filter_value_and_grad(meta_loss, has_aux=True)
            (loss, said), slope = slope_of(network, data, self.unroll, self.rate)
            info = {
                "train/loss": loss,
                "train/first": said.before,
                "train/last": said.after,
                "train/remembered": said.accuracy,
            }
        change, optimiser = self._rule().update(slope, state.optimiser)
        return Metatrained(eqx.apply_updates(network, change), optimiser, state.updates + 1), info

    def _headless(self, key: Key, state: Metatrained) -> PyTree:
        """The network, with a head of random weights every so many steps."""
        if not self.reset_every:
            return state.network
        fresh = zap(key, state.network, jnp.arange(self.build.classes))
        now = state.updates % self.reset_every == 0
        return jax.tree.map(lambda new, old: jnp.where(now, new, old), fresh, state.network)

    def tested(self, key: Key, network: PyTree) -> Info:
        """The meta-test for each number of classes, and its oracle: accuracies at the learning rate that was chosen.

        The rate is the best on classes that are neither of training nor of the test, on as many streams of as many.
        """
        info: dict[str, Array | float] = {}
        for keys, length in zip(jax.random.split(key, (len(self.lengths), 4)), self.lengths, strict=True):
            for name, (search, final), epochs in (("", keys[:2], 0), ("oracle_", keys[2:], self.oracle_epochs)):
                chosen = self.examined(search, network, self.held, length, epochs).test.argmax()
                there = self.examined(final, network, self.test, length, epochs)
                info[f"test/{name}accuracy_{length}"] = there.test[chosen]
                info[f"test/{name}learnt_{length}"] = there.train[chosen]
                info[f"test/{name}searched_{length}"] = there.test.max()
                info[f"test/{name}rate_{length}"] = self.rates[int(chosen)]
        last = self.lengths[-1]
        names = "accuracy", "learnt", "searched", "oracle_accuracy"
        info |= {f"test/{name}": info[f"test/{name}_{last}"] for name in names}
        return info | {"test/drop": 1 - info["test/accuracy"] / jnp.maximum(info["test/oracle_accuracy"], 1e-6)}

    @eqx.filter_jit
    def examined(self, key: Key, network: PyTree, pictures: Array, length: int, epochs: int) -> Examined:
        """Accuracies by learning rate, mean over streams."""
        rule = optax.adam if self.follows == "adam" else optax.sgd

        def one(key: Key) -> Examined:
            return examine(
                key, network, pictures, length, self.rates, adapts=self.learns, optimiser=rule, epochs=epochs
            )

        return jax.tree.map(lambda x: x.mean(axis=0), jax.lax.map(one, jax.random.split(key, self.streams)))

    def _rule(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


class Build(eqx.Module):
    """From a key to a network with random weights."""

    method: Method = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    gates: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    normed: bool = eqx.field(static=True)

    def __call__(self, key: Key) -> PyTree:
        if self.method == "oml":
            return represented(key, SHAPE, self.channels, self.hidden, self.classes, normed=self.normed)
        gates = self.gates if self.method == "anml" else 0
        return gated(key, SHAPE, self.channels, gates, self.classes, normed=self.normed)


def make(
    method: Method = "anml",
    data: Source = "auto",
    order: Order = 1,
    zap: bool = True,
    norm: bool = True,
    channels: int = 32,
    gates: int = 16,
    hidden: int = 256,
    rows: int = 0,
    classes: int = 200,
    inner_steps: int = 20,
    remember: int = 64,
    rate: float = 0.1,
    learning_rate: float = 0.004,
    meta_steps: int = 800,
    reset_every: int = 0,
    memory: Memory = "scan",
    lengths: tuple[int, ...] = (20, 100),
    learns: Learns = "auto",
    follows: Literal["adam", "sgd"] = "adam",
    rates: tuple[float, ...] = (0.0001, 0.0003, 0.001, 0.003, 0.01),
    streams: int = 3,
    oracle_epochs: int = 1,
    watched: int = 20,
    fuse: int = 50,
) -> Anml:
    """Meta-learn features and gates with which many classes can be learnt one after the other.

    Args:
        method: ANML; OML; the same features trained on batches; or no training.
        data: Omniglot, characters that we draw, or Omniglot if it is found.
        order: Of the gradient through the inner steps: 1, they count as constants, or 2, exact.
        zap: Whether the class's row of the head is drawn anew before each lesson.
        norm: Whether convolutions are followed by instance norm.
        channels: Of each convolution that makes features.
        gates: Channels of each convolution of the gate; 0: no gate. Only ANML has one.
        hidden: Units between OML's representation and its head.
        rows: Of the head; it has at least one for each class of training and of the longest stream.
        classes: To train on, of 964.
        inner_steps: Pictures of a class that are learnt one after the other.
        remember: Pictures of all classes in the meta-loss.
        rate: Learning rate of the inner steps.
        learning_rate: Of Adam, of the meta-gradient or on batches.
        meta_steps: Steps of Adam, then the run tests and ends.
        reset_every: Steps of `pretrain` between two heads of random weights; 0: never.
        memory: What of the inner steps the gradient keeps.
        lengths: Classes of the tests' streams, the longest last.
        learns: What adapts in the test: `head`, `all`, or by `auto` all of `scratch`, OML's two layers, else the head.
        follows: What makes the steps of the test.
        rates: Learning rates to choose from in the test.
        streams: Of each test.
        oracle_epochs: Times that the oracle sees each picture.
        watched: Classes of the stream that is shown while training.
        fuse: Steps of Adam in a step of the run.
    """
    lengths, rates = tuple(lengths), tuple(rates)
    known = characters(data)
    _checked(known, classes, lengths, rates, watched, rate, learning_rate)
    _positive(inner_steps=inner_steps, remember=remember, meta_steps=meta_steps, fuse=fuse, streams=streams)
    rows = max(rows, classes, *lengths, watched)
    held = known.train[classes:] if len(known.train) - classes >= max(*lengths, watched) else known.test
    inside = INSIDE[method]
    auto = {"scratch": ("features", "head"), "oml": ("hidden", "head")}.get(method, ("head",))
    every = ("features", "hidden", "head") if method == "oml" else ("features", "gate", "head")
    return Anml(
        train=flat(known.train[:classes]), held=flat(held[: len(known.test)]), test=flat(known.test),
        source=known.source, method=method, unroll=Unroll(inside, order, memory),
        build=Build(method, channels, gates, hidden, rows, norm), rate=rate, learning_rate=learning_rate, zap=zap,
        reset_every=reset_every, inner_steps=inner_steps, remember=remember, meta_steps=meta_steps, fuse=fuse,
        lengths=lengths, watched=watched, rates=rates, streams=streams, oracle_epochs=oracle_epochs,
        learns={"auto": auto, "head": ("head",), "all": every}[learns], follows=follows,
    )  # fmt: skip


def _checked(
    known: Classes, classes: int, lengths: tuple[int, ...], rates: tuple[float, ...], watched: int, *steps: float
) -> None:
    if not 2 <= classes <= len(known.train):
        raise UsageError(f"--classes is {classes}: give 2 to {len(known.train)}.")
    if not lengths or not all(1 <= length <= len(known.test) for length in (*lengths, watched)):
        raise UsageError(
            f"--lengths is {lengths} and --watched is {watched}: give numbers of classes, 1 to {len(known.test)}."
        )
    if not rates or min(*rates, *steps) <= 0:
        raise UsageError(f"--rates is {rates}, the other learning rates are {steps}: give numbers above zero.")


def _positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {count}: give a number above zero.")


PAPER = {
    "order": 2,
    "channels": 256,
    "gates": 112,
    "hidden": 1024,
    "rows": 1000,
    "classes": 963,
    "learning_rate": 0.001,
    "meta_steps": 20_000,
    "lengths": (10, 50, 75, 100, 200, 300, 400, 500, 600),
    "rates": (0.001, 0.0008, 0.0006, 0.0004, 0.0002, 0.0001, 0.00008, 0.00006, 0.00004, 0.00002, 0.00001),
    "streams": 10,
}
"""ANML's own.  No background classes are left to choose the test's learning rate on: other streams of the test's
classes serve, as in its code."""

_ONE = {"lengths": (100,)}
_ALSO = ("test/oracle_accuracy", "test/drop", "test/learnt", "test/searched")

CLAIM = (
    Claim(
        statement="Of 100 new classes, seen once and one after the other, a meta-trained network remembers far more "
        "than one trained on as many pictures in batches.",
        source="Beaulieu et al. 2020, accuracy by number of classes, and its controls",
        metric="test/accuracy",
        treatment=_ONE,
        control={**_ONE, "method": "pretrain", "reset_every": 200},
        others={
            "pretrain": {**_ONE, "method": "pretrain"},
            "scratch": {**_ONE, "method": "scratch", "meta_steps": 1, "streams": 1},
        },
        margin=0.3,
        precondition="Without a sequence both have learnt: the control's oracle has an accuracy of 0.4 or more.",
        also=_ALSO,
    ),
    Claim(
        statement="Of 100 new classes in sequence, ANML remembers more than OML of which the head alone adapts in the "
        "test.",
        source="Beaulieu et al. 2020, accuracy by number of classes: OML-OLFT",
        metric="test/accuracy",
        treatment=_ONE,
        control={**_ONE, "method": "oml", "rate": 0.03, "learns": "head"},
        others={
            "no gate, a rate of 0.03": {**_ONE, "gates": 0, "rate": 0.03},
            "no gate, a rate of 0.1": {**_ONE, "gates": 0},
        },
        also=_ALSO,
    ),
)


def figures(run: Run) -> Iterator[Figure]:
    """What was remembered by number of classes, and the gates of pictures of some classes."""
    graph = require("plotly.graph_objects", "report")
    latest = run.latest()
    lengths = [name.rsplit("_", 1)[1] for name in latest if name.startswith("test/accuracy_")]
    if lengths:
        content = graph.Figure()
        for name, colour in (("accuracy", ACCENT), ("oracle_accuracy", FAINT)):
            values = [latest[f"test/{name}_{length}"] for length in lengths]
            content.add_scatter(x=[int(length) for length in lengths], y=values, name=name, line={"color": colour})
        style(content, height=320, xaxis_title="classes of the stream", yaxis_range=[0, 1])
        yield Figure(
            "Remembered", "Accuracy on other pictures of all classes, in sequence and in random order.", content
        )
    if getattr(run.state.network, "gate", None) is not None:
        openings = gates(run.state.network, characters(run.options.get("data", "auto")).test[:12])
        content = graph.Figure(graph.Heatmap(z=openings.reshape(-1, openings.shape[-1]), colorscale="Greys"))
        style(content, height=420, xaxis_title="feature", yaxis_title="20 pictures of each of 12 classes")
        yield Figure("Gates", "How far the gate of each feature is open (black), for pictures of new classes.", content)


def gates(network: PyTree, pictures: UInt8[np.ndarray, "c each s s"]) -> Float[np.ndarray, "c each f"]:
    """The openings for pictures of some classes; the features in the order of the class that opens them most."""
    seen = look(flat(pictures), jnp.arange(len(pictures) * pictures.shape[1]))
    openings = np.asarray(jax.lax.map(network.opening, seen, batch_size=200)).reshape(*pictures.shape[:2], -1)
    return openings[..., np.argsort(openings.mean(axis=1).argmax(axis=0), kind="stable")]


if __name__ == "__main__":
    import aiga

    aiga.run("anml")
