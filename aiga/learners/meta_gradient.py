"""Gradients through learning: one unroll for all that differentiates a loss after inner steps.

    theta   <- the parts of a network that adapt
    for each x of xs:
        theta <- theta - rate * gradient of loss(theta, x)      or any other step: a recurrent network, a trace
    the loss of the last theta is differentiated with respect to the first, and to all that the steps used

First order, as in Finn et al. (2017), https://arxiv.org/abs/1703.03400, section 5.2: the inner gradients count as
constants.  Second order: they are differentiated too.  Which of the two a system uses, and what adapts, is a value
that it records; the code released with two papers of this field was of first order by mistake.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Info

Order = Literal[1, 2]
Memory = Literal["scan", "nested", "constant"]
Step = Callable[[Any, Any], tuple[Any, Any]]
"""From a carry and one of the `xs` to the next carry and an output, as of `jax.lax.scan`."""

KEPT = 32
"""How many carries constant memory holds."""


class Learnt(NamedTuple):
    """What inner learning leaves."""

    network: PyTree
    state: PyTree
    """Of the optimiser."""
    losses: Float[Array, " t"]
    """Each before its step."""


class Unroll(eqx.Module):
    """Steps that are differentiated, and how.

    It is called as `jax.lax.scan` is: `unroll(step, init, xs)`, and gives the last carry and the stacked outputs.
    """

    adapts: tuple[str, ...] = eqx.field(static=True, default=())
    """Parts of the network that inner gradients change: fields of a module, or keys of a dictionary."""
    order: Order = eqx.field(static=True, default=2)
    """1: inner gradients count as constants; 2: the exact gradient."""
    memory: Memory = eqx.field(static=True, default="scan")
    """What the gradient keeps of T steps.  `scan`: all of each.  `nested`: about sqrt(T) carries, and all of sqrt(T)
    steps; each step is computed twice.  `constant`: `KEPT` carries and all of one step; a step is computed twice up to
    32 steps, three times up to 256, four times up to about 1,000, and so on up to 12 times; from about 60,000 steps on
    the carries grow with the logarithm of T."""

    def __check_init__(self) -> None:
        for name, kinds in (("order", Order), ("memory", Memory)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise UsageError(f"`{name}` is {value!r}: give one of {', '.join(map(str, get_args(kinds)))}.")

    def __str__(self) -> str:
        if not self.adapts:
            return f"exact gradients through steps without an inner gradient, memory: {self.memory}"
        name = {1: "first-order", 2: "second-order"}[self.order]
        return f"{name} gradients through inner updates of {', '.join(self.adapts)}, memory: {self.memory}"

    def describe(self, network: PyTree) -> Info:
        """What to record, with numbers of weights in brackets; the order is 0 where no gradient is taken inside."""
        sizes = {name: _size(part) for name, part in _parts(self._checked(network)).items()}
        named = {name: f"{name} ({size:,})" for name, size in sizes.items() if size}
        return {
            "unroll/order": self.order if self.adapts else 0,
            "unroll/adapts": ", ".join(text for name, text in named.items() if name in self.adapts) or "nothing",
            "unroll/fixed": ", ".join(text for name, text in named.items() if name not in self.adapts) or "nothing",
            "unroll/memory": self.memory,
        }

    def learn(
        self,
        loss: Callable[[PyTree, PyTree], Float[Array, ""]],
        network: PyTree,
        xs: PyTree,
        optimiser: optax.GradientTransformation,
    ) -> Learnt:
        """One step of `optimiser` down the gradient of `loss(network, x)` for each of the `xs`.

        With second order, Adam needs its `eps_root` above zero, since the root has no gradient at zero.
        """
        adapting, fixed = self.split(network)

        def step(carry: tuple[PyTree, PyTree], x: PyTree) -> tuple[tuple[PyTree, PyTree], Float[Array, ""]]:
            adapting, state = carry
            value, slope = self.gradient(loss)(eqx.combine(adapting, fixed), x)
            updates, state = optimiser.update(slope, state, adapting)
            return (eqx.apply_updates(adapting, updates), state), value

        (adapting, state), losses = self(step, (adapting, optimiser.init(adapting)), xs)
        return Learnt(eqx.combine(adapting, fixed), state, losses)

    def gradient(self, loss: Callable[..., Float[Array, ""]]) -> Callable[..., tuple[Float[Array, ""], PyTree]]:
        """For a step of one's own: from the arguments of `loss`, the network first, to its value and its gradient.

        The gradient is of the stated order, and None where the network does not adapt.
        """

        def both(network: PyTree, *arguments: Any) -> tuple[Float[Array, ""], PyTree]:
            adapting, fixed = self.split(network)
            value, slope = jax.value_and_grad(lambda part: loss(eqx.combine(part, fixed), *arguments))(adapting)
            return value, jax.lax.stop_gradient(slope) if self.order == 1 else slope

        return both

    def split(self, network: PyTree) -> tuple[PyTree, PyTree]:
        """The network's numbers that adapt, and all the rest; None in each where the other has something."""
        if not self.adapts:
            raise UsageError(f"no part adapts: give `adapts` some of {', '.join(_parts(network))}.")
        self._checked(network)
        inside = jax.tree_util.tree_map_with_path(
            lambda path, leaf: _name(path) in self.adapts and eqx.is_inexact_array(leaf), network
        )
        return eqx.partition(network, inside)

    def __call__(self, step: Step, init: PyTree, xs: PyTree) -> tuple[PyTree, PyTree]:
        length = len(jax.tree.leaves(xs)[0])
        counts = kept(length, self.memory)
        if self.memory == "constant":
            step = jax.checkpoint(step, prevent_cse=False)  # pyright: ignore[reportPrivateImportUsage]
        total = math.prod(counts)
        if total > length:
            numbers = jnp.arange(total)
            xs = numbers, jax.tree.map(lambda x: x[jnp.minimum(numbers, length - 1)], xs)
            step = _ending(step, length)
        carry, outputs = _scanned(step, init, xs, counts)
        return carry, jax.tree.map(lambda y: y[:length], outputs)

    def _checked(self, network: PyTree) -> PyTree:
        for name in self.adapts:
            if name not in _parts(network):
                raise UsageError(f"the network has no part {name!r}: give some of {', '.join(_parts(network))}.")
        return network


def mean_loss(
    loss: Callable[[PyTree, PyTree], Float[Array, ""]], network: PyTree, xs: PyTree, at_once: int
) -> Float[Array, ""]:
    """The mean of `loss(network, x)` over the `xs`, with the memory of `at_once` of them.

    Its gradient, by network and `xs`, is computed on the way there, so it can be differentiated once, and backwards: as
    the last loss after learning, not inside.  For ANML's step on a CPU, 12 of 84 pictures at once take a sixth less
    time than all, since less memory is touched.
    """
    length = len(jax.tree.leaves(xs)[0])
    if length % at_once:
        raise UsageError(f"`at_once` is {at_once} of {length}: give a number that divides it.")
    return _mean_loss((network, xs), loss, at_once)


@eqx.filter_custom_vjp
def _mean_loss(both: tuple[PyTree, PyTree], loss: Callable[..., Array], at_once: int) -> Float[Array, ""]:
    return _accumulated(both, loss, at_once)[0]


def _accumulated(both: tuple[PyTree, PyTree], loss: Callable[..., Array], at_once: int) -> tuple[Array, PyTree]:
    """The mean loss and its gradient."""
    inexact, rest = eqx.partition(both[0], eqx.is_inexact_array)

    @eqx.filter_value_and_grad
    def summed(given: tuple[PyTree, PyTree]) -> Float[Array, ""]:
        return jax.vmap(loss, (None, 0))(eqx.combine(given[0], rest), given[1]).sum()

    def add(total: PyTree, some: PyTree) -> tuple[PyTree, PyTree]:
        value, (slope, slopes) = summed((inexact, some))
        return jax.tree.map(jnp.add, total, (value, slope)), slopes

    length = len(jax.tree.leaves(both[1])[0])
    chunks = jax.tree.map(lambda x: x.reshape(length // at_once, at_once, *x.shape[1:]), both[1])
    value = jax.eval_shape(summed, (inexact, jax.tree.map(lambda x: x[0], chunks)))[0]
    zero = jnp.zeros(value.shape, value.dtype), jax.tree.map(jnp.zeros_like, inexact)
    (value, slope), slopes = jax.lax.scan(add, zero, chunks)
    slopes = jax.tree.map(lambda x: x.reshape(length, *x.shape[2:]), slopes)
    return value / length, jax.tree.map(lambda x: x / length, (slope, slopes))


@_mean_loss.def_fwd
def _forward(
    perturbed: PyTree, both: tuple[PyTree, PyTree], loss: Callable[..., Array], at_once: int
) -> tuple[Array, PyTree]:
    del perturbed
    return _accumulated(both, loss, at_once)


@_mean_loss.def_bwd
def _backward(slopes: PyTree, outer: Array, *_: Any) -> PyTree:
    return jax.tree.map(lambda x: outer * x, slopes)


def kept(length: int, memory: Memory) -> tuple[int, ...]:
    """How many carries are kept at once of all steps, of a part of them, of a part of that, ...

    Their product is the number of steps, or a little more.
    """
    if memory == "scan" or length < 2:
        return (length,)
    if memory == "nested":
        return _evenly(length, 2)
    options = [_evenly(length, depth) for depth in range(1, 12)]
    return next((counts for counts in options if sum(counts) <= KEPT), min(options, key=sum))


def _evenly(length: int, depth: int) -> tuple[int, ...]:
    """About equal counts; their product is `length` where numbers somewhat above the root divide it."""
    if depth == 1:
        return (length,)
    root = math.ceil(round(length ** (1 / depth), 9))
    first = next((count for count in range(root, 2 * root) if length % count == 0), root)
    return (first, *_evenly(-(-length // first), depth - 1))


def _scanned(step: Step, carry: PyTree, xs: PyTree, counts: tuple[int, ...]) -> tuple[PyTree, PyTree]:
    """A scan of scans: of all but the innermost, the gradient keeps the carries and computes the rest again."""
    if len(counts) == 1:
        return jax.lax.scan(step, carry, xs)

    def chunk(carry: PyTree, xs: PyTree) -> tuple[PyTree, PyTree]:
        return _scanned(step, carry, xs, counts[1:])

    first, rest = counts[0], math.prod(counts[1:])
    chunks = jax.tree.map(lambda x: x.reshape(first, rest, *x.shape[1:]), xs)
    again = jax.checkpoint(chunk, prevent_cse=False)  # pyright: ignore[reportPrivateImportUsage]
    carry, outputs = jax.lax.scan(again, carry, chunks)
    return carry, jax.tree.map(lambda y: y.reshape(first * rest, *y.shape[2:]), outputs)


def _ending(step: Step, length: int) -> Step:
    """The step of numbered `xs`, which from `length` on does nothing."""

    def numbered(carry: PyTree, x: tuple[Array, PyTree]) -> tuple[PyTree, PyTree]:
        outputs = jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), jax.eval_shape(step, carry, x[1])[1])
        return jax.lax.cond(x[0] < length, step, lambda carry, _: (carry, outputs), carry, x[1])

    return numbered


def _parts(network: PyTree) -> dict[str, PyTree]:
    """The first level of the tree, by name."""
    found, _ = jax.tree_util.tree_flatten_with_path(network, is_leaf=lambda x: x is not network)
    return {_name(path): part for path, part in found}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path[:1], simple=True)


def _size(part: PyTree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(part) if eqx.is_inexact_array(leaf))
