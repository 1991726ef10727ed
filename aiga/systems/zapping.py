"""Resetting the last layer again and again while features are trained, so that they learn and transfer faster.

Frati, Traft, Clune & Cheney (2024), "Reset it and forget it: relearning last-layer weights improves continual and
transfer learning", https://arxiv.org/abs/2310.07996:

    pre-train by alternating sequential and batch learning:   repeat
        class c        <- random; its row of the head <- random                            (zap)
        for x of 20 pictures of c:   all weights <- one SGD step of the loss on x          (they are kept)
        all weights    <- one Adam step on the 20 and 64 pictures of all classes
    transfer:   the head <- random
        continual:   pictures of new classes one by one, once; accuracy on other pictures of all
        standard:    batches of pictures of another domain in a random order; accuracy after each epoch

    iid:    no sequences: batches of all classes, of as many pictures; rows are zapped all the same
    meta:   the steps on c are undone, and Adam follows the gradient through them

Frati, Traft, Clune & Cheney (2025), "How weight resampling and optimizers shape the dynamics of continual learning and
forgetting in neural networks", https://arxiv.org/abs/2507.01559 (`make_dynamics`):

    transfer:   the head <- random; tasks one after the other, with each optimiser
        after each task, accuracy on every task: what is kept, and what each task does to the others
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key
from aiga.data.domains import Domain, elsewhere
from aiga.data.fewshot import EACH, flat
from aiga.data.omniglot import Source, characters
from aiga.inspect.forgetting import halfway, matrices, measured, recoveries
from aiga.learners.continual import batch_loss, follow, lesson, look, meta_loss, zap
from aiga.learners.meta_gradient import Memory, Order, Unroll
from aiga.learners.transfer import PARTS, Learns, Optimiser, Transfer, new
from aiga.nn.gated import gated
from aiga.runs.claims import Claim
from aiga.runs.record import Run
from aiga.runs.report import Figure

ABOUT = {"papers": (13, 22), "pillar": "learning", "needs": ()}

Pretraining = Literal["asb", "iid", "meta"]
Zap = Literal["none", "row", "all"]
SHAPE = (28, 28, 1)


class Zapped(NamedTuple):
    """The state."""

    network: PyTree
    optimiser: PyTree
    updates: Int[Array, ""]
    curves: dict[str, Float[Array, " e"]]
    """Of standard fine-tuning after training, by optimiser; zero before."""
    matrices: dict[str, Float[Array, "rows t"]]
    """Accuracies by optimiser, by task that was learnt and by task; zero before the test, and empty in `make`."""


class Zapping(eqx.Module):
    """Train on some classes, then see how fast other classes are learnt."""

    train: UInt8[Array, "n 28 28"]
    transfer: Transfer
    optimisers: tuple[Optimiser, ...] = eqx.field(static=True)
    source: str = eqx.field(static=True)
    pretraining: Pretraining = eqx.field(static=True)
    unroll: Unroll
    zap: Zap = eqx.field(static=True)
    zap_every: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    rate: float
    learning_rate: float
    inner_steps: int = eqx.field(static=True)
    remember: int = eqx.field(static=True)
    updates: int = eqx.field(static=True)
    fuse: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Zapped:
        network = gated(key, SHAPE, self.channels, 0, self.rows)
        optimiser = self._adam().init(eqx.filter(network, eqx.is_array))
        tasks = self.transfer.tasks
        curves = {name: jnp.zeros(self.transfer.epochs + 1) for name in self.optimisers}
        found = {name: jnp.zeros((tasks + 1, tasks)) for name in self.optimisers}
        return Zapped(network, optimiser, jnp.zeros((), jnp.int32), curves, found)

    def step(self, key: Key, state: Zapped) -> tuple[Zapped, Info]:
        learn, test = jax.random.split(key)
        near, far = self.transfer.near.source, self.transfer.far.source
        sources = {"data/source": self.source, "data/near": near, "data/far": far}
        state, said = self.trained(learn, state)
        info = {**sources, **self.unroll.describe(state.network), **said}
        if int(state.updates) >= self.updates:
            state, results = self.tested(test, state)
            info |= {**results, "run/finished": 1}
        return state, info

    @eqx.filter_jit
    def trained(self, key: Key, state: Zapped) -> tuple[Zapped, Info]:
        """Some steps of Adam, and what comes before each."""
        state, said = jax.lax.scan(lambda state, key: self.update(key, state), state, jax.random.split(key, self.fuse))
        return state, {**jax.tree.map(jnp.mean, said), "train/updates": state.updates}

    def update(self, key: Key, state: Zapped) -> tuple[Zapped, Info]:
        """Zap, learn a class in sequence or not, and take one step of Adam."""
        draw, renew, more = jax.random.split(key, 3)
        data = lesson(draw, self.train, len(self.train) // EACH, self.inner_steps, self.remember)
        network = self.renewed(renew, state, data.label)
        if self.pretraining == "meta":
            slope_of = eqx.filter_value_and_grad(meta_loss, has_aux=True)
            (loss, said), slope = slope_of(network, data, self.unroll, self.rate)
            info = {"train/loss": loss, "train/first": said.before, "train/last": said.after}
        elif self.pretraining == "asb":
            learnt, _ = follow(network, data, self.unroll, self.rate)
            network = learnt.network
            labels = jnp.concatenate([jnp.broadcast_to(data.label, (self.inner_steps,)), data.remember_y])
            pictures = jnp.concatenate([data.train, data.remember])
            loss, slope = eqx.filter_value_and_grad(batch_loss)(network, pictures, labels)
            info = {"train/loss": loss, "train/first": learnt.losses[0], "train/last": learnt.losses[-1]}
        else:
            which = jax.random.randint(more, (2 * self.inner_steps + self.remember,), 0, len(self.train))
            loss, slope = eqx.filter_value_and_grad(batch_loss)(network, look(self.train, which), which // EACH)
            info = {"train/loss": loss}
        change, optimiser = self._adam().update(slope, state.optimiser)
        network = eqx.apply_updates(network, change)
        return state._replace(network=network, optimiser=optimiser, updates=state.updates + 1), info

    def renewed(self, key: Key, state: Zapped, label: Int[Array, ""]) -> PyTree:
        """The network with the class's row of the head, or all rows every so many updates, drawn anew."""
        if self.zap == "none":
            return state.network
        if self.zap == "row":
            return zap(key, state.network, label[None])
        fresh = zap(key, state.network, jnp.arange(self.rows))
        now = state.updates % self.zap_every == 0
        return jax.tree.map(lambda new, old: jnp.where(now, new, old), fresh, state.network)

    def tested(self, key: Key, state: Zapped) -> tuple[Zapped, Info]:
        """Every test, with every optimiser on the same pictures; each at the rate that was best on what is held."""
        tune, then = jax.random.split(key)
        info: dict[str, Array | float] = {}
        curves, found, network = dict(state.curves), dict(state.matrices), state.network
        for row, name in enumerate(self.optimisers):
            curve, rate = self.transfer.recovered(jax.random.clone(tune), network, name)
            curves[name] = curve
            said = {"first": curve[1], "mean": curve[1:].mean(), "last": curve[-1], "rate": rate}
            info |= _said("finetune", name, row, {**said, "halfway": halfway(np.asarray(curve))})
            if self.transfer.tasks:
                matrix, rate = self.transfer.dynamics(jax.random.clone(then), network, name)
                found[name] = matrix
                info |= _said("dynamics", name, row, {**measured(np.asarray(matrix))._asdict(), "rate": rate})
            else:
                there, rate = self.transfer.continual(jax.random.clone(then), network, name)
                info |= _said("continual", name, row, {"accuracy": there.test, "learnt": there.train, "rate": rate})
        return state._replace(curves=curves, matrices=found), info

    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def _said(test: str, optimiser: str, row: int, values: Mapping[str, Array | float]) -> Info:
    """Numbers of a test under the optimiser's name, and those of the first optimiser under none."""
    named = {f"{test}/{name}_{optimiser}": value for name, value in values.items()}
    return named | ({f"{test}/{name}": value for name, value in values.items()} if row == 0 else {})


def make(
    pretraining: Pretraining = "asb",
    zap: Zap = "row",
    zap_every: int = 50,
    order: Order = 1,
    data: Source = "auto",
    domain: Domain = "digits",
    channels: int = 16,
    classes: int = 100,
    inner_steps: int = 20,
    remember: int = 64,
    rate: float = 0.01,
    learning_rate: float = 0.002,
    updates: int = 600,
    memory: Memory = "scan",
    length: int = 100,
    ways: int = 20,
    learns: Learns = "head",
    optimisers: tuple[Optimiser, ...] = ("adam",),
    rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03),
    epochs: int = 5,
    batch: int = 15,
    streams: int = 2,
    fuse: int = 50,
) -> Zapping:
    """Train features that learn new classes fast, by resetting the last layer again and again.

    Args:
        pretraining: Sequences of a class and batches in turn, batches alone, or gradients through sequences.
        zap: What of the head is drawn anew: nothing, the row of the class of the update, or all rows.
        zap_every: Updates between two heads, where all rows are drawn anew.
        order: Of `meta`'s gradient: 1, inner steps count as constants, or 2, exact.
        data: Omniglot, characters that we draw, or Omniglot if it is found.
        domain: Of the fine-tuning.
        channels: Of each convolution.
        classes: To train on, of 964.
        inner_steps: Pictures of a class that are learnt one after the other.
        remember: Pictures of all classes in a batch.
        rate: Learning rate of the sequential steps.
        learning_rate: Of Adam, on batches.
        updates: Steps of Adam, then the run tests and ends.
        memory: What of the sequential steps `meta`'s gradient keeps.
        length: Characters that were never seen, in the continual test.
        ways: Classes of the fine-tuning, or all if the domain has fewer.
        learns: What adapts in the continual test; fine-tuning adapts all.
        optimisers: Of the tests; the first one's results are the run's.
        rates: Learning rates to choose from in the tests.
        epochs: Of the fine-tuning.
        batch: Pictures of a step of the fine-tuning.
        streams: Of each test.
        fuse: Updates in a step of the run.
    """
    transfer = _transfer(
        data, domain, classes, length, ways=ways, rates=rates, learns=learns, epochs=epochs, batch=batch,
        streams=streams,
    )  # fmt: skip
    return _built(
        transfer, optimisers, data, classes, pretraining=pretraining, unroll=Unroll(PARTS["all"], order, memory),
        zap=zap, zap_every=zap_every, channels=channels, rate=rate, learning_rate=learning_rate,
        inner_steps=inner_steps, remember=remember, updates=updates, fuse=fuse,
    )  # fmt: skip


def make_dynamics(
    pretraining: Pretraining = "asb",
    zap: Zap = "row",
    data: Source = "auto",
    domain: Domain = "characters",
    channels: int = 16,
    classes: int = 100,
    rate: float = 0.01,
    updates: int = 600,
    tasks: int = 10,
    ways: int = 5,
    learns: Learns = "all",
    optimisers: tuple[Optimiser, ...] = ("adam", "sgd", "momentum", "rmsprop"),
    rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03),
    epochs: int = 5,
    streams: int = 2,
    fuse: int = 50,
) -> Zapping:
    """Watch what each of several optimisers learns and forgets, task by task, after training with or without resets.

    Args:
        pretraining: Sequences of a class and batches in turn, batches alone, or gradients through sequences.
        zap: What of the head is drawn anew in training: nothing, the row of the class of the update, or all rows.
        data: Omniglot, characters that we draw, or Omniglot if it is found.
        domain: Of the tasks and of the fine-tuning.
        channels: Of each convolution.
        classes: To train on, of 964.
        rate: Learning rate of the sequential steps.
        updates: Steps of Adam, then the run tests and ends.
        tasks: One after the other, or as many as the domain has classes for.
        ways: Classes of a task, and of the fine-tuning.
        learns: What adapts to the tasks; fine-tuning adapts all.
        optimisers: Of the tests; the first one's results are the run's.
        rates: Learning rates to choose from in the tests.
        epochs: Of the fine-tuning.
        streams: Of each test.
        fuse: Updates in a step of the run.
    """
    transfer = _transfer(
        data, domain, classes, 0, tasks=tasks, ways=ways, rates=rates, learns=learns, epochs=epochs, batch=15,
        streams=streams,
    )  # fmt: skip
    return _built(
        transfer, optimisers, data, classes, pretraining=pretraining, unroll=Unroll(PARTS["all"], 1), zap=zap,
        zap_every=50, channels=channels, rate=rate, learning_rate=0.002, inner_steps=20, remember=64,
        updates=updates, fuse=fuse,
    )  # fmt: skip


def _transfer(data: Source, domain: Domain, classes: int, length: int, *, tasks: int = 0, **about) -> Transfer:
    """The tests, of as many classes as there are."""
    ways, rates = about["ways"], tuple(about["rates"])
    if min(ways, about["epochs"], about["streams"], about["batch"]) < 1 or max(length, tasks) < 1 or ways < 2:
        raise UsageError("--ways must be 2 or more; --length, --tasks, --epochs, --batch and --streams 1 or more.")
    if not rates or min(rates) <= 0:
        raise UsageError(f"--rates is {rates}: give numbers above zero.")
    near = elsewhere("characters" if length else domain, length or tasks * ways, data, after=classes)
    far = elsewhere(domain, ways, data, after=classes)
    ways = min(ways, len(far.test))
    about |= {"rates": rates, "ways": ways, "length": min(length, len(near.test))}
    return Transfer(near=new(near), far=new(far), tasks=min(tasks, len(near.test) // ways), **about)


def _built(transfer: Transfer, optimisers: tuple[Optimiser, ...], data: Source, classes: int, **about) -> Zapping:
    known = characters(data)
    if not 2 <= classes <= len(known.train):
        raise UsageError(f"--classes is {classes}: give 2 to {len(known.train)}.")
    if not optimisers or min(about[name] for name in POSITIVE) <= 0:
        raise UsageError(f"give an optimiser, and numbers above zero for {', '.join(POSITIVE)}.")
    rows = max(classes, transfer.length, transfer.ways * max(transfer.tasks, 1))
    train = flat(known.train[:classes])
    return Zapping(train, transfer, tuple(optimisers), known.source, rows=rows, **about)


POSITIVE = ("zap_every", "channels", "rate", "learning_rate", "inner_steps", "remember", "updates", "fuse")

PAPER = {
    "channels": 256, "classes": 963, "rate": 0.1, "learning_rate": 0.001, "updates": 9_000, "length": 600,
    "rates": (0.055, 0.01, 0.0055, 0.001, 0.0007, 0.0004, 0.0001, 0.00007, 0.00004), "streams": 10,
}  # fmt: skip
"""Of the authors' code on Omniglot.  No background classes are left to choose a rate on: the test's own serve."""

_KEPT = "channels", "classes", "rate", "updates", "rates", "streams"
PAPER_DYNAMICS = {"tasks": 300, "ways": 2} | {name: PAPER[name] for name in _KEPT}
"""A guess: of this paper only the abstract was at hand."""

SHOWN = ("continual/learnt", "finetune/first", "finetune/mean", "train/loss")
CLAIM = (
    Claim(
        statement="Features that were trained on batches while all rows of the head were drawn anew again and again let"
        " more classes be learnt one after the other than features without.",
        source="Frati et al. 2024, abstract: better transfer in continual learning, beyond meta-learning",
        metric="continual/accuracy",
        treatment={"pretraining": "iid", "zap": "all"},
        control={"pretraining": "iid", "zap": "none"},
        also=SHOWN,
    ),
    Claim(
        statement="So do features that were trained by sequences and batches in turn, with the row of each sequence"
        " drawn anew.",
        source="Frati et al. 2024, abstract: zapping and sequential learning without higher-order gradients",
        metric="continual/accuracy",
        treatment={"zap": "row"},
        control={"zap": "none"},
        others={"no zapping, a rate of 0.1": {"zap": "none", "rate": 0.1}},
        also=SHOWN,
    ),
    Claim(
        statement="Zapped features recover faster from a new head: after one epoch in another domain more is known.",
        source="Frati et al. 2024, abstract: more rapid adaptation; Frati et al. 2025, abstract: recover more quickly",
        metric="finetune/first",
        treatment={"pretraining": "iid", "zap": "all"},
        control={"pretraining": "iid", "zap": "none"},
        also=("finetune/mean", "finetune/last", "finetune/halfway"),
    ),
)
CLAIM_DYNAMICS = Claim(
    statement="The optimiser shapes forgetting: with momentum less of each task is lost than with plain descent.",
    source="Frati et al. 2025, abstract, says that it does; which forgets less is what we found",
    metric="dynamics/forgotten",
    treatment={"optimisers": ["momentum"]},
    control={"optimisers": ["sgd"]},
    better="lower",
    others={"adam": {"optimisers": ["adam"]}, "rmsprop": {"optimisers": ["rmsprop"]}},
    also=("dynamics/learnt", "dynamics/kept", "dynamics/synergy", "dynamics/interference", "finetune/halfway"),
)


def figures(run: Run) -> list[Figure]:
    """How fast the network learns again, and what each task does to the others."""
    if "run/finished" not in run.latest():
        return []
    curves, found = (jax.tree.map(np.asarray, of) for of in (run.state.curves, run.state.matrices))
    said = "Accuracy on other pictures of the new classes, from a head of random weights on."
    return [
        recoveries(curves, "epochs", said),
        *(matrices(found) if min(matrix.size for matrix in found.values()) else ()),
    ]


if __name__ == "__main__":
    import aiga

    aiga.run("zapping", steps=12)
