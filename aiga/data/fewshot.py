"""Few-shot and one-class-at-a-time learning: where the pictures of an episode lie among classes of pictures.

Pictures are numbered class by class, as many of each, so an episode is some integers, and its pictures are
`gathered(flat(classes), episode.train)`.  The functions that draw integers can be compiled, and batched with `jax.vmap`
over keys.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

EACH = 20
"""Pictures of a class in Omniglot."""


class Stream(NamedTuple):
    """Some classes one after the other, numbered as they come, and other pictures of the same to be asked about.

    The same in a random order, often enough, is what the papers call the oracle.
    """

    train: Int[Array, " t"]
    train_y: Int[Array, " t"]
    test: Int[Array, " q"]
    test_y: Int[Array, " q"]


class Trajectory(NamedTuple):
    """Pictures of one class in a random order, and random ones of all classes that are to be remembered."""

    label: Int[Array, ""]
    train: Int[Array, " t"]
    remember: Int[Array, " r"]
    remember_y: Int[Array, " r"]


class Episode(NamedTuple):
    """Some classes, shown with their numbers, and other pictures of the same; quarters of a turn for each picture."""

    train: Int[Array, " t"]
    train_y: Int[Array, " t"]
    train_turns: Int[Array, " t"]
    test: Int[Array, " q"]
    test_y: Int[Array, " q"]
    test_turns: Int[Array, " q"]


def stream(key: Key, classes: int, length: int, train: int = 15, each: int = EACH) -> Stream:
    """The meta-test of OML and ANML: pictures of each class in a row, seen once; its other pictures are the test.

    Javed & White (2019), https://arxiv.org/abs/1905.12588; Beaulieu et al. (2020), https://arxiv.org/abs/2002.09571,
    Alg. 2.  Classes, their order and their pictures are random.

    Args:
        key: Of the draw.
        classes: That there are.
        length: Classes of the stream.
        train: Pictures of each that are learnt from.
        each: Pictures of each.
    """
    _enough(length, classes, "classes")
    _enough(train, each - 1, "pictures of a class")
    which, order = jax.random.split(key)
    chosen = _orders(which, 1, classes)[0, :length]
    places = chosen[:, None] * each + _orders(order, length, each)
    number = jnp.broadcast_to(jnp.arange(length)[:, None], places.shape)
    return Stream(
        places[:, :train].ravel(), number[:, :train].ravel(), places[:, train:].ravel(), number[:, train:].ravel()
    )


def trajectory(key: Key, classes: int, train: int = 20, remember: int = 64, each: int = EACH) -> Trajectory:
    """One step's data of ANML's meta-training (Beaulieu et al. 2020, Alg. 1): the meta-loss is on both parts.

    Pictures to remember are drawn with repetition, from all classes and all their pictures; labels are class numbers.
    """
    _enough(train, each, "pictures of a class")
    which, order, others = jax.random.split(key, 3)
    label = jax.random.randint(which, (), 0, classes)
    seen = label * each + _orders(order, 1, each)[0, :train]
    kept = jax.random.randint(others, (remember,), 0, classes * each)
    return Trajectory(label, seen, kept, kept // each)


def episode(key: Key, classes: int, ways: int = 5, shots: int = 1, tests: int = 1, each: int = EACH) -> Episode:
    """N classes, K pictures of each with labels, then pictures without.

    Miconi, Stanley & Clune (2018), https://arxiv.org/abs/1804.02464, section 4.4: every round shows each class once, in
    a random order; each class is turned by a random number of quarters, the same for all its pictures.  Deviation: a
    picture that is asked about was not shown, while the authors' code may repeat one.
    """
    _enough(ways, classes, "classes")
    _enough(shots + tests, each, "pictures of a class")
    which, rounds, order, turn, ask = jax.random.split(key, 5)
    chosen = _orders(which, 1, classes)[0, :ways]
    turns = jax.random.randint(turn, (ways,), 0, 4)
    shown = _orders(rounds, shots, ways)
    asked = jax.random.randint(ask, (tests,), 0, ways)
    drawings = _orders(order, ways, each)
    first = drawings[shown, jnp.arange(shots)[:, None]]
    then = drawings[asked, shots + jnp.arange(tests)]
    train, test = (chosen[shown] * each + first).ravel(), chosen[asked] * each + then
    return Episode(train, shown.ravel(), turns[shown].ravel(), test, asked, turns[asked])


def flat(classes: UInt8[np.ndarray, "c each *pixels"]) -> UInt8[Array, "n *pixels"]:
    """The pictures in one row on the device, numbered as episodes number them."""
    return jnp.asarray(classes.reshape(-1, *classes.shape[2:]))


def gathered(
    pictures: UInt8[Array, "n s s"], which: Int[Array, "*b"], turns: Int[Array, "*b"] | None = None
) -> Float[Array, "*b s s"]:
    """Some of the pictures in [0, 1], each turned to the left by so many quarters."""
    found = pictures[which].astype(jnp.float32) / 255
    if turns is None:
        return found
    turned = jnp.stack([jnp.rot90(found, k, axes=(-2, -1)) for k in range(4)])
    return jnp.take_along_axis(turned, turns[None, ..., None, None], axis=0)[0]


def grouped(
    pictures: UInt8[np.ndarray, "n *pixels"], labels: Int[np.ndarray, " n"] | UInt8[np.ndarray, " n"], each: int = EACH
) -> UInt8[np.ndarray, "c each *pixels"]:
    """The first so many pictures of each class: other data in the order that episodes need."""
    counts = np.bincount(labels)
    _enough(each, int(counts.min()), "pictures of the rarest class")
    return np.stack([pictures[labels == label][:each] for label in range(len(counts))])


def _enough(asked: int, there: int, what: str) -> None:
    if not 0 < asked <= there:
        raise UsageError(f"{asked} {what} were asked for, of {there}: give 1 to {there}.")


def _orders(key: Key, n: int, length: int) -> Int[Array, "n length"]:
    """So many random orders; a sort of random numbers compiles faster than `jax.random.permutation`."""
    return jnp.argsort(jax.random.uniform(key, (n, length)), axis=1)
