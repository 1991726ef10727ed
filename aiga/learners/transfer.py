"""What becomes of a trained network where it must learn other classes: how fast it learns, and what it forgets.

    head <- random
    standard fine-tuning:   batches of pictures in a random order, for some epochs; accuracy after each
    tasks in sequence:      pictures one by one, task after task, once; after each task, accuracy on every task

Frati et al. (2024), https://arxiv.org/abs/2310.07996, of which the first test is, and Frati et al. (2025),
https://arxiv.org/abs/2507.01559, which tracks each task.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Key
from aiga.learners.continual import Shown, course, learn, right, shuffled

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
) -> Float[Array, "r t+1 t"]:
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

    def one(rate: Array) -> Float[Array, "t+1 t"]:
        _, after = learn(network, lessons, adapts, optimiser(rate), every=train * ways, watch=apart)
        return jnp.concatenate([apart(network)[None], after])

    return jax.vmap(one)(jnp.asarray(rates))
