"""Learn what people mean by similar: a linear projection in which their answers about triplets are right.

Ding et al. (2023), "Quality Diversity through Human Feedback", https://arxiv.org/abs/2310.12103.  A triplet
is a reference and two others, A and B, as vectors of features; an answer says which of the two is closer to the
reference.  With d(.) the squared distance from the reference in the projected space, the loss of an answer is

    max(0, margin + d(closer) - d(other)).

Everything is one compiled program of fixed shapes: room for answers that nobody has given yet is allowed.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.protocols import Key

CLOSER_A, CLOSER_B, UNANSWERED = 1, -1, 0


class Fit(NamedTuple):
    """A projection, and how it was found."""

    projection: Float[Array, "f d"]
    accuracy: Float[Array, ""]
    """Share of the held-out answers that the projection agrees with; NaN: none were held out."""
    epochs: Int[Array, ""]


def distances(projection: Float[Array, "f d"], triplets: Float[Array, "n 3 f"]) -> Float[Array, " n"]:
    """How much farther A is from the reference than B: the difference of squared distances, projected."""
    places = triplets @ projection
    a, b = (jnp.sum((places[:, 0] - places[:, i]) ** 2, axis=-1) for i in (1, 2))
    return a - b


def triplet_loss(
    projection: Float[Array, "f d"], triplets: Float[Array, "n 3 f"], answers: Int[Array, " n"], margin: float = 0.05
) -> Float[Array, ""]:
    """The mean hinge over the answered triplets: 1, A is closer; -1, B is; 0, no answer."""
    hinge = jnp.maximum(0.0, margin + answers * distances(projection, triplets))
    answered = answers != UNANSWERED
    return jnp.sum(jnp.where(answered, hinge, 0.0)) / jnp.maximum(answered.sum(), 1)


def agreement(
    projection: Float[Array, "f d"], triplets: Float[Array, "n 3 f"], answers: Int[Array, " n"]
) -> Float[Array, ""]:
    """The share of the answered triplets that the projection answers alike; NaN if there is none."""
    said = jnp.where(distances(projection, triplets) > 0, CLOSER_B, CLOSER_A)
    return jnp.sum((said == answers).astype(jnp.float32)) / jnp.sum(answers != UNANSWERED)


def untrained(key: Key, features: int, dimensions: int = 2) -> Float[Array, "{features} {dimensions}"]:
    """A random projection: uniform within one over the root of the number of features."""
    bound = 1 / math.sqrt(features)
    return jax.random.uniform(key, (features, dimensions), minval=-bound, maxval=bound)


class _Training(NamedTuple):
    projection: Float[Array, "f d"]
    optimiser: PyTree
    accuracies: Float[Array, " window"]
    """Of the last epochs, the newest at the end."""
    epochs: Int[Array, ""]


def fit(
    key: Key,
    triplets: Float[Array, "n 3 f"],
    answers: Int[Array, " n"],
    *,
    dimensions: int = 2,
    margin: float = 0.05,
    learning_rate: float = 1e-3,
    batch: int = 32,
    held_out: float = 0.25,
    most_epochs: int = 1000,
    patience: int = 10,
) -> Fit:
    """The projection that Adam finds from a random one.

    The last answers are held out.  After an epoch, as many batches (drawn with replacement) as fit into the rest, the
    agreement with those is measured; training ends when its mean over `patience` epochs falls.

    Args:
        key: Where the projection starts, and what the batches are.
        triplets: Features of reference, A and B; rows without an answer may hold anything finite.
        answers: 1: A is closer; -1: B is closer; 0: no answer.
        dimensions: Of the projected space.
        margin: By how much the farther one should be farther; squared distance in the projected space.
        learning_rate: Adam's.
        batch: Triplets per update.
        held_out: The share of the answers, the last ones, that are not trained on.
        most_epochs: An end even if the agreement never falls.
        patience: Epochs that the agreement is averaged over.
    """
    begin, stream = jax.random.split(key)
    order = jnp.argsort(answers == UNANSWERED, stable=True)  # the answered ones first, in the order of asking
    triplets, answers = triplets[order], answers[order]
    answered = jnp.sum(answers != UNANSWERED)
    trained = (answered * (1 - held_out)).astype(jnp.int32)
    examined = jnp.where(jnp.arange(len(answers)) < trained, UNANSWERED, answers)
    adam = optax.adam(learning_rate)

    def update(i: Int[Array, ""], carry: tuple[Key, Array, PyTree]) -> tuple[Key, Array, PyTree]:
        epoch, projection, optimiser = carry
        rows = jax.random.randint(jax.random.fold_in(epoch, i), (batch,), 0, jnp.maximum(trained, 1))
        gradient = jax.grad(triplet_loss)(projection, triplets[rows], answers[rows], margin)
        change, optimiser = adam.update(gradient, optimiser)
        return epoch, jnp.asarray(optax.apply_updates(projection, change)), optimiser

    def epoch(now: _Training) -> _Training:
        turns = jnp.maximum(trained // batch, 1)
        carry = (jax.random.fold_in(stream, now.epochs), now.projection, now.optimiser)
        _, projection, optimiser = jax.lax.fori_loop(0, turns, update, carry)
        latest = agreement(projection, triplets, examined)
        return _Training(projection, optimiser, jnp.append(now.accuracies[1:], latest), now.epochs + 1)

    def goes_on(now: _Training) -> Array:
        falls = now.accuracies[1:].mean() < now.accuracies[:-1].mean()
        return (now.epochs < most_epochs) & ~((now.epochs > patience + 1) & falls)

    start = untrained(begin, triplets.shape[-1], dimensions)
    blank = _Training(start, adam.init(start), jnp.zeros(patience + 1), jnp.array(0, jnp.int32))
    done = jax.lax.while_loop(goes_on, epoch, blank)
    return Fit(done.projection, done.accuracies[-1], done.epochs)
