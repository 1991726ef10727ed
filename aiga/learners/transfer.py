"""What becomes of a trained network where it must learn other classes: how fast it learns, and what it forgets.

    head <- random
    standard fine-tuning:   batches of pictures in a random order, for some epochs; accuracy after each
    tasks in sequence:      pictures one by one, task after task, once; after each task, accuracy on every task

Frati et al. (2024), https://arxiv.org/abs/2310.07996, of which the first test is, and Frati et al. (2025),
https://arxiv.org/abs/2507.01559, which tracks each task.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Key
from aiga.data.domains import Elsewhere
from aiga.data.fewshot import flat
from aiga.learners.continual import Examined, Shown, course, examine, learn, right, shuffled

Learns = Literal["head", "all"]
PARTS: dict[str, tuple[str, ...]] = {"head": ("head",), "all": ("features", "head")}
Optimiser = Literal["sgd", "momentum", "rmsprop", "adam", "adamw"]
RULES: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.99),
    "adam": optax.adam,
    "adamw": lambda rate: optax.adamw(rate, weight_decay=0.01),
}
"""From a learning rate; the other settings are PyTorch's defaults, and a momentum of 0.9."""


def rule(name: str) -> Callable[[Any], optax.GradientTransformation]:
    """An optimiser by its name."""
    if name not in RULES:
        raise UsageError(f"there is no optimiser `{name}`: give one of {', '.join(get_args(Optimiser))}.")
    return RULES[name]


class New(eqx.Module):
    """Classes that were not trained on."""

    held: UInt8[Array, "v 28 28"]
    """To choose learning rates on."""
    test: UInt8[Array, "e 28 28"]
    source: str = eqx.field(static=True)


def new(found: Elsewhere) -> New:
    """The classes of a domain on the device, class by class."""
    return New(flat(found.held), flat(found.test), found.source)


class Transfer(eqx.Module):
    """The tests of a trained network, each at the learning rate that was best on what is held."""

    near: New
    """For classes in sequence."""
    far: New
    """For standard fine-tuning."""
    length: int = eqx.field(static=True)
    """Classes of the continual test."""
    tasks: int = eqx.field(static=True)
    """One after the other; 0: none."""
    ways: int = eqx.field(static=True)
    """Classes of a task, and of the fine-tuning."""
    rates: tuple[float, ...] = eqx.field(static=True)
    learns: Learns = eqx.field(static=True)
    """What adapts to classes in sequence; fine-tuning adapts all."""
    epochs: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    streams: int = eqx.field(static=True)

    def recovered(self, key: Key, network: PyTree, optimiser: Optimiser) -> tuple[Float[Array, " e"], float]:
        """Accuracies of standard fine-tuning, before it and after each epoch, and the rate: the best for their mean."""
        search, final = jax.random.split(key)
        chosen = int(self.tuned(search, network, self.far.held, optimiser)[:, 1:].mean(axis=1).argmax())
        return self.tuned(final, network, self.far.test, optimiser)[chosen], self.rates[chosen]

    def continual(self, key: Key, network: PyTree, optimiser: Optimiser) -> tuple[Examined, float]:
        """Accuracies after one stream of classes, and the rate: the best for other pictures of them."""
        search, final = jax.random.split(key)
        chosen = int(self.streamed(search, network, self.near.held, optimiser).test.argmax())
        there = self.streamed(final, network, self.near.test, optimiser)
        return jax.tree.map(lambda x: x[chosen], there), self.rates[chosen]

    def dynamics(self, key: Key, network: PyTree, optimiser: Optimiser) -> tuple[Float[Array, "rows t"], float]:
        """Accuracies by task that was learnt and by task, and the rate: the best for what is kept at the end."""
        search, final = jax.random.split(key)
        chosen = int(self.followed(search, network, self.near.held, optimiser)[:, -1].mean(axis=1).argmax())
        return self.followed(final, network, self.near.test, optimiser)[chosen], self.rates[chosen]

    @eqx.filter_jit
    def tuned(self, key: Key, network: PyTree, pictures: Array, optimiser: Optimiser) -> Float[Array, "r e"]:
        about = {"adapts": PARTS["all"], "optimiser": rule(optimiser), "batch": self.batch, "epochs": self.epochs}
        return self._mean(lambda key: fine_tuned(key, network, pictures, self.ways, self.rates, **about), key)

    @eqx.filter_jit
    def streamed(self, key: Key, network: PyTree, pictures: Array, optimiser: Optimiser) -> Examined:
        about = {"adapts": PARTS[self.learns], "optimiser": rule(optimiser)}
        return self._mean(lambda key: examine(key, network, pictures, self.length, self.rates, **about), key)

    @eqx.filter_jit
    def followed(self, key: Key, network: PyTree, pictures: Array, optimiser: Optimiser) -> Float[Array, "r rows t"]:
        about = {"ways": self.ways, "adapts": PARTS[self.learns], "optimiser": rule(optimiser)}
        return self._mean(lambda key: tracked(key, network, pictures, self.tasks, self.rates, **about), key)

    def _mean(self, one: Callable[[Key], PyTree], key: Key) -> PyTree:
        """Over streams."""
        return jax.tree.map(lambda x: x.mean(axis=0), jax.lax.map(one, jax.random.split(key, self.streams)))


def batched(shown: Shown, size: int) -> Shown:
    """The pictures in batches, in their order; what does not fill a batch is left out."""
    whole = len(shown.labels) // size
    return jax.tree.map(lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), shown)


def fine_tuned(
    key: Key,
    network: Any,
    pictures: UInt8[Array, "n s s"],
    length: int,
    rates: Sequence[float],
    *,
    adapts: Sequence[str],
    optimiser: Callable[[Any], optax.GradientTransformation] = optax.adam,
    batch: int = 15,
    epochs: int = 5,
    train: int = 15,
) -> Float[Array, "r e"]:
    """For each learning rate, the accuracy on other pictures of the classes, before any step and after each epoch.

    Args:
        key: Of the classes, of their pictures, of the head, and of the order.
        network: What was trained; its head begins anew.
        pictures: Of classes that were never seen, class by class.
        length: Classes, drawn from those.
        rates: Learning rates to try.
        adapts: Parts that learn.
        optimiser: From a learning rate.
        batch: Pictures of a step.
        epochs: Times that each picture is seen.
        train: Pictures of each class that are learnt from.
    """
    draw, head, order = jax.random.split(key, 3)
    network, lessons, questions = course((draw, head), network, pictures, length, adapts, train=train)
    if len(lessons.labels) % batch:
        raise UsageError(f"`batch` is {batch}: give a number that divides the {len(lessons.labels)} pictures.")
    lived = batched(shuffled(order, lessons, epochs), batch)
    before = right(network, questions, adapts).mean()

    def one(rate: Array) -> Float[Array, " e"]:
        watch = lambda network: right(network, questions, adapts).mean()  # noqa: E731
        _, after = learn(network, lived, adapts, optimiser(rate), every=len(lived.labels) // epochs, watch=watch)
        return jnp.concatenate([before[None], after])

    return jax.vmap(one)(jnp.asarray(rates))


def tracked(
    key: Key,
    network: Any,
    pictures: UInt8[Array, "n s s"],
    tasks: int,
    rates: Sequence[float],
    *,
    ways: int,
    adapts: Sequence[str],
    optimiser: Callable[[Any], optax.GradientTransformation] = optax.adam,
    train: int = 15,
) -> Float[Array, "r rows t"]:
    """For each learning rate, the accuracy on every task before any step and after each task.

    Args:
        key: Of the classes, of their pictures, and of the head.
        network: What was trained; its head begins anew.
        pictures: Of classes that were never seen, class by class.
        tasks: One after the other.
        rates: Learning rates to try.
        ways: Classes of a task, one after the other too.
        adapts: Parts that learn.
        optimiser: From a learning rate.
        train: Pictures of each class that are learnt from, once; accuracy is on the others.
    """
    draw, head = jax.random.split(key)
    network, lessons, questions = course((draw, head), network, pictures, tasks * ways, adapts, train=train)

    def apart(network: Any) -> Float[Array, " t"]:
        return right(network, questions, adapts).reshape(tasks, -1).mean(axis=1)

    def one(rate: Array) -> Float[Array, "rows t"]:
        _, after = learn(network, lessons, adapts, optimiser(rate), every=train * ways, watch=apart)
        return jnp.concatenate([apart(network)[None], after])

    return jax.vmap(one)(jnp.asarray(rates))
