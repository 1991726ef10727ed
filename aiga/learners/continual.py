"""Learning classes one after the other: meta-training for it, and the test of what is left at the end.

Javed & White (2019), https://arxiv.org/abs/1905.12588, and Beaulieu et al. (2020), https://arxiv.org/abs/2002.09571:

    meta-training, for each class c (Alg. 1):
        zap:        the head's row of c <- random
        inner:      20 pictures of c, one SGD step each
        meta-loss:  on the same 20 and on 64 pictures of all classes, with the weights after the last step
    meta-test (Alg. 2):
        head <- random
        N classes that were never seen, 15 pictures each in a row, one step each, once
        accuracy on those pictures, and on the other five of each class
        oracle: the same pictures and steps in a random order

What of a network stays while it learns is computed once for each picture, before the first step.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Key
from aiga.data.fewshot import EACH, Stream, gathered, stream, trajectory
from aiga.learners.meta_gradient import Learnt, Unroll
from aiga.nn.gated import zapped

BLOCK = 200
"""Pictures that are looked at together, where nothing is learnt from them."""


@runtime_checkable
class Network(Protocol):
    """An `eqx.Module` that can be asked in three stages, as `Gated` and `Represented` can."""

    head: eqx.nn.Linear

    @property
    def steady(self) -> tuple[str, ...]:
        """While these parts stay the same, so does the opening for an `x`."""
        ...

    def __call__(self, x: Array) -> Array: ...

    def opening(self, x: Array) -> PyTree: ...

    def logits(self, x: Array, opening: PyTree) -> Array: ...

    def read(self, x: Array) -> Array:
        """What the head is given."""
        ...


class Split(NamedTuple):
    """A network's answer in two parts: what is made of a picture once, and what is made of that after each step."""

    see: Callable[[Any, Array], PyTree]
    answer: Callable[[Any, PyTree], Array]


WHOLE = Split(lambda network, x: x, lambda network, x: network(x))
STEADY = Split(lambda network, x: (x, network.opening(x)), lambda network, seen: network.logits(*seen))
HEAD = Split(lambda network, x: network.read(x), lambda network, seen: network.head(seen))


def split(network: Network, adapts: Sequence[str]) -> Split:
    """How to ask a network of which only these parts adapt: the most that stays is computed once."""
    if set(adapts) <= {"head"}:
        return HEAD
    return WHOLE if set(adapts) & set(network.steady) else STEADY


class Shown(NamedTuple):
    """Pictures as a network sees them, by its `Split`, and their classes."""

    seen: PyTree
    labels: Int[Array, " t"]


class Lesson(NamedTuple):
    """Pictures of one class, and pictures of all classes that shall be remembered."""

    label: Int[Array, ""]
    train: Float[Array, "t h w 1"]
    remember: Float[Array, "r h w 1"]
    remember_y: Int[Array, " r"]


def lesson(key: Key, pictures: UInt8[Array, "n s s"], classes: int, train: int = 20, remember: int = 64) -> Lesson:
    """Data of a meta-step, from the first so many classes."""
    drawn = trajectory(key, classes, train, remember)
    return Lesson(drawn.label, look(pictures, drawn.train), look(pictures, drawn.remember), drawn.remember_y)


def look(pictures: UInt8[Array, "n s s"], which: Int[Array, " t"]) -> Float[Array, "t s s 1"]:
    """Some of the pictures in [0, 1], with one channel."""
    return gathered(pictures, which)[..., None]


def follow(network: Any, lesson: Lesson, unroll: Unroll, rate: float | Array) -> tuple[Learnt, Shown]:
    """The network after one SGD step on each picture of the class, and all pictures of the lesson as it sees them."""
    ask = split(network, unroll.adapts)
    seen = jax.vmap(ask.see, (None, 0))(network, jnp.concatenate([lesson.train, lesson.remember]))
    steps = len(lesson.train)
    labels = jnp.concatenate([jnp.broadcast_to(lesson.label, (steps,)), lesson.remember_y])
    shown = Shown(seen, labels)
    return unroll.learn(_mistake(ask), network, jax.tree.map(lambda x: x[:steps], shown), optax.sgd(rate)), shown


class Recalled(NamedTuple):
    """How a lesson went."""

    before: Float[Array, ""]
    """Loss on the first picture of the class, before any step."""
    after: Float[Array, ""]
    """Loss on its last picture, before the last step."""
    accuracy: Float[Array, ""]
    """On what shall be remembered, after the last step."""


def meta_loss(network: Any, lesson: Lesson, unroll: Unroll, rate: float | Array) -> tuple[Float[Array, ""], Recalled]:
    """Mean cross-entropy on the whole lesson after its class was learnt; by the `unroll`, of first or second order."""
    learnt, shown = follow(network, lesson, unroll, rate)
    answers = jax.vmap(split(network, unroll.adapts).answer, (None, 0))(learnt.network, shown.seen)
    loss = optax.softmax_cross_entropy_with_integer_labels(answers, shown.labels).mean()
    right = (answers.argmax(axis=1) == shown.labels)[len(lesson.train) :]
    return loss, Recalled(learnt.losses[0], learnt.losses[-1], right.mean())


def batch_loss(network: Any, pictures: Float[Array, "b h w 1"], labels: Int[Array, " b"]) -> Float[Array, ""]:
    """Mean cross-entropy on pictures without an order."""
    answers = jax.vmap(network)(pictures)
    return optax.softmax_cross_entropy_with_integer_labels(answers, labels).mean()


def reset(key: Key, network: Any) -> Any:
    """The network with a head that knows nothing: Kaiming-normal weights and no biases."""
    head = zapped(key, network.head, jnp.arange(network.head.weight.shape[0]))
    head = eqx.tree_at(lambda layer: layer.bias, head, jnp.zeros(head.weight.shape[0]))
    return eqx.tree_at(lambda net: net.head, network, head)


def zap(key: Key, network: Any, classes: Int[Array, " k"]) -> Any:
    """The network with the head's rows of some classes drawn anew; biases stay."""
    return eqx.tree_at(lambda net: net.head, network, zapped(key, network.head, classes))


def show(
    network: Any, adapts: Sequence[str], pictures: UInt8[Array, "n s s"], which: Int[Array, " t"], labels: Array
) -> Shown:
    """Pictures of a test, as a network sees them of which only these parts adapt."""
    see = split(network, adapts).see
    seen = jax.lax.map(lambda i: see(network, look(pictures, i[None])[0]), which, batch_size=BLOCK)
    return Shown(seen, labels)


def shuffled(key: Key, shown: Shown, epochs: int = 1) -> Shown:
    """The oracle's order: all pictures as often as there are epochs, each time in another random order."""
    lots = jax.random.uniform(key, (epochs, len(shown.labels)))
    return jax.tree.map(lambda x: x[jnp.argsort(lots, axis=1).ravel()], shown)


def learn(
    network: Any,
    shown: Shown,
    adapts: Sequence[str],
    optimiser: optax.GradientTransformation,
    *,
    every: int = 0,
    watch: Callable[[Any], PyTree] = lambda network: None,
) -> tuple[Any, PyTree]:
    """The network after one step of the optimiser on each picture in turn, and what was watched after every so many.

    Args:
        network: What learns.
        shown: Pictures in the order of learning.
        adapts: Parts of the network that learn; the pictures were shown to the network for the same parts.
        optimiser: Its state begins anew.
        every: Pictures between two looks of `watch`, such as those of a class; 0: one look at the end.
        watch: From a network to anything.
    """
    unroll = Unroll(tuple(adapts), 1)
    slope = unroll.gradient(_mistake(split(network, adapts)))
    adapting, fixed = unroll.split(network)
    every = every or len(shown.labels)
    if len(shown.labels) % every:
        raise UsageError(f"`every` is {every}: give a number that divides the {len(shown.labels)} pictures.")

    def step(carry: tuple[PyTree, PyTree], one: Shown) -> tuple[tuple[PyTree, PyTree], None]:
        adapting, state = carry
        updates, state = optimiser.update(slope(eqx.combine(adapting, fixed), one)[1], state, adapting)
        return (eqx.apply_updates(adapting, updates), state), None

    def chunk(carry: tuple[PyTree, PyTree], some: Shown) -> tuple[tuple[PyTree, PyTree], PyTree]:
        carry, _ = jax.lax.scan(step, carry, some)
        return carry, watch(eqx.combine(carry[0], fixed))

    chunks = jax.tree.map(lambda x: x.reshape(-1, every, *x.shape[1:]), shown)
    (adapting, _), watched = jax.lax.scan(chunk, (adapting, optimiser.init(adapting)), chunks)
    return eqx.combine(adapting, fixed), watched


def right(network: Any, shown: Shown, adapts: Sequence[str]) -> Float[Array, " t"]:
    """1 for each picture that is answered rightly, 0 for the others."""
    answers = jax.lax.map(lambda seen: split(network, adapts).answer(network, seen), shown.seen, batch_size=BLOCK)
    return (answers.argmax(axis=1) == shown.labels).astype(jnp.float32)


class Course(NamedTuple):
    """A network with a head that knows nothing, and a stream of classes for it."""

    network: Any
    lessons: Shown
    """Pictures to learn from, class after class."""
    questions: Shown
    """Other pictures of the same classes, in the same order of classes."""


def course(
    keys: tuple[Key, Key],
    network: Any,
    pictures: UInt8[Array, "n s s"],
    length: int,
    adapts: Sequence[str],
    *,
    train: int = 15,
) -> Course:
    """A stream of classes drawn from the pictures, as a network sees them of which only these parts adapt.

    Of the two keys, one is of the classes and of their pictures, and one is of the head.
    """
    draw, head = keys
    drawn: Stream = stream(draw, len(pictures) // EACH, length, train)
    network = reset(head, network)
    lessons = show(network, adapts, pictures, drawn.train, drawn.train_y)
    return Course(network, lessons, show(network, adapts, pictures, drawn.test, drawn.test_y))


class Examined(NamedTuple):
    """Accuracies after a stream, by learning rate."""

    train: Float[Array, "*b"]
    """On the pictures that were learnt from."""
    test: Float[Array, "*b"]
    """On other pictures of the same classes."""


def examine(
    key: Key,
    network: Any,
    pictures: UInt8[Array, "n s s"],
    length: int,
    rates: Sequence[float],
    *,
    adapts: Sequence[str] = ("head",),
    optimiser: Callable[[Any], optax.GradientTransformation] = optax.adam,
    epochs: int = 0,
    train: int = 15,
) -> Examined:
    """The meta-test on one stream of classes drawn from the pictures, for each learning rate.

    Args:
        key: Of the classes, of their pictures, and of the head, which begins anew.
        network: What was meta-trained; its head has a row for each class of the stream, or more.
        pictures: Of classes that were never seen, class by class.
        length: Classes of the stream.
        rates: Learning rates to try.
        adapts: Parts that learn.
        optimiser: From a learning rate.
        epochs: 0: the stream, once; else the oracle, with so many epochs.
        train: Pictures of each class that are learnt from.
    """
    draw, head, order = jax.random.split(key, 3)
    network, lessons, questions = course((draw, head), network, pictures, length, adapts, train=train)
    lived = shuffled(order, lessons, epochs) if epochs else lessons

    def one(rate: Array) -> Examined:
        after, _ = learn(network, lived, adapts, optimiser(rate))
        return Examined(*(right(after, shown, adapts).mean() for shown in (lessons, questions)))

    return jax.vmap(one)(jnp.asarray(rates))


def _mistake(ask: Split) -> Callable[[Any, Shown], Float[Array, ""]]:
    """Cross-entropy on one picture, or its mean over a batch."""

    def loss(network: Any, one: Shown) -> Float[Array, ""]:
        answer = jax.vmap(ask.answer, (None, 0)) if one.labels.ndim else ask.answer
        return optax.softmax_cross_entropy_with_integer_labels(answer(network, one.seen), one.labels).mean()

    return loss
