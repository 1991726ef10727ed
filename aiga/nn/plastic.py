"""Connections that change while the network runs, by rules whose parameters gradient descent finds.

Miconi, Clune & Stanley (2018), https://arxiv.org/abs/1804.02464 (differentiable plasticity), and Miconi et al. (2019),
https://arxiv.org/abs/2002.10585 (backpropamine: the network says itself when to change):

    the trace H of every connection <- 0
    at every step:
        post <- tanh((w + alpha * H) pre + input)
        H    <- H and a little of post * pre
    w, alpha and the rate eta are learned by the gradient through all steps; H is forgotten between episodes

A trace is state, not a parameter: it is carried, one for each example.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

Rule = Literal["none", "decay", "oja", "clip", "simple", "retroactive"]
"""How traces change: there are none, and connections are fixed; forget exponentially; Oja's; clip to [-1, 1]; clip, and
a signal is the rate; clip, and a signal is the rate of what an eligibility trace remembers."""
Per = Literal["layer", "neuron", "connection"]
"""What has a number of its own: the whole layer; each neuron, for all that comes in; each connection."""
MODULATED = ("simple", "retroactive")


class Trace(NamedTuple):
    """What plastic connections remember of the episode."""

    hebb: Float[Array, "o i"]
    eligible: Float[Array, "..."]
    """What may still be written, of every connection; empty unless the rule is retroactive."""


class Plastic(eqx.Module):
    """A layer of plastic connections: `layer(x, trace)`, and then `layer.after(trace, x, post)`."""

    weight: Float[Array, "o i"]
    alpha: Float[Array, "..."]
    """How much the trace counts: a number, a column or a matrix."""
    eta: Float[Array, "..."]
    """The rate, in [0, 1]: a number, a column or a matrix; empty where the signal is the rate, or nothing is kept."""
    rule: Rule = eqx.field(static=True)

    def initial(self) -> Trace:
        """The trace at the beginning of an episode."""
        none = jnp.zeros((0, 0) if self.rule == "none" else self.weight.shape)
        return Trace(none, none if self.rule == "retroactive" else jnp.zeros(0, none.dtype))

    def __call__(self, x: Float[Array, " i"], trace: Trace) -> Float[Array, " o"]:
        """Differentiable plasticity, Eq. 1, before the activation."""
        weight = self.weight if self.rule == "none" else self.weight + self.alpha * trace.hebb
        return weight @ x

    def after(
        self,
        trace: Trace,
        pre: Float[Array, " i"],
        post: Float[Array, " o"],
        signal: Float[Array, "..."] | None = None,
    ) -> Trace:
        """The trace after `pre` made `post`.

        Differentiable plasticity, Eq. 2 (decay), and Oja's rule; backpropamine, Eq. 2 (clip), 3 (simple), and 4 and 5
        (retroactive: what is written was eligible before this step).  The `signal` M, of the modulated rules alone, is
        a number, or one for each neuron, or one for each connection.
        """
        if (signal is not None) != (self.rule in MODULATED):
            raise UsageError(f"the rule is {self.rule!r}: give a signal to {' or '.join(MODULATED)}, and to no other.")
        if self.rule == "none":
            return trace
        together, (hebb, eligible) = jnp.outer(post, pre), trace
        if signal is None:
            return Trace(self._written(hebb, together, post[:, None]), eligible)
        signal = signal[:, None] if signal.ndim == 1 else signal
        if self.rule == "simple":
            return Trace(jnp.clip(hebb + signal * together, -1, 1), eligible)
        later = (1 - self.eta) * eligible + self.eta * together
        return Trace(jnp.clip(hebb + signal * eligible, -1, 1), later)

    def _written(self, hebb: Array, together: Array, post: Float[Array, "o 1"]) -> Float[Array, "o i"]:
        if self.rule == "decay":
            return (1 - self.eta) * hebb + self.eta * together
        if self.rule == "oja":
            return hebb + self.eta * (together - post**2 * hebb)
        return jnp.clip(hebb + self.eta * together, -1, 1)


def bounded(network: PyTree) -> PyTree:
    """The network with all rates in [0, 1], where a step of an optimiser may have left it.

    Beyond it what should be forgotten grows, and in a long text without end.
    """

    def within(part: Any) -> Any:
        if not isinstance(part, Plastic):
            return part
        return eqx.tree_at(lambda layer: layer.eta, part, jnp.clip(part.eta, 0, 1))

    return jax.tree.map(within, network, is_leaf=lambda part: isinstance(part, Plastic))


class Modulator(eqx.Module):
    """M: the hyperbolic tangent of a linear function of the hidden units, perhaps weighted for each place."""

    linear: eqx.nn.Linear
    fan: Float[Array, "..."] | None
    """Learned weights of the signal at each neuron, or at each connection; None: one signal for all."""

    def __call__(self, hidden: Float[Array, " h"]) -> Float[Array, "..."]:
        signal = jnp.tanh(self.linear(hidden))[0]
        return signal if self.fan is None else signal * self.fan


class Remembered(NamedTuple):
    """What a plastic recurrent layer carries from step to step."""

    hidden: Float[Array, " h"]
    trace: Trace


class PlasticCell(eqx.Module):
    """A recurrent layer whose connections from hidden units to hidden units are plastic: `cell(x, carry)`."""

    recurrent: Plastic
    encoder: eqx.nn.Linear | None
    """From inputs to hidden units; None: each unit has an input of its own."""
    modulator: Modulator | None
    """Of a modulated rule; it sees the hidden units after the step."""
    clamped: bool = eqx.field(static=True, default=False)
    """Units with an input other than zero take its value, as where images are completed."""

    def initial(self) -> Remembered:
        """The memory at the beginning of an episode."""
        return Remembered(jnp.zeros(len(self.recurrent.weight)), self.recurrent.initial())

    def __call__(self, x: Float[Array, " i"], carry: Remembered) -> Remembered:
        before, trace = carry
        given = x if self.encoder is None else self.encoder(x)
        hidden = jnp.tanh(self.recurrent(before, trace) + given)
        hidden = jnp.where(given != 0, given, hidden) if self.clamped else hidden
        signal = None if self.modulator is None else self.modulator(hidden)
        return Remembered(hidden, self.recurrent.after(trace, before, hidden, signal))


class LSTMRemembered(NamedTuple):
    """What a plastic LSTM carries from step to step."""

    hidden: Float[Array, " h"]
    cell: Float[Array, " h"]
    trace: Trace


class PlasticLSTM(eqx.Module):
    """An LSTM in which the path from hidden units to what is written into the cell is plastic: `lstm(x, carry)`.

    Backpropamine, appendix A.1: the three gates are as ever; the trace is of `h(t-1)` and `i(t)`, and the signal is a
    function of `h(t-1)`.
    """

    gates: eqx.nn.Linear
    """From inputs and hidden units to the gates of writing, forgetting and showing."""
    encoder: eqx.nn.Linear
    recurrent: Plastic
    modulator: Modulator | None

    def initial(self) -> LSTMRemembered:
        """The memory at the beginning of a text."""
        none = jnp.zeros(len(self.recurrent.weight))
        return LSTMRemembered(none, none, self.recurrent.initial())

    def __call__(self, x: Float[Array, " i"], carry: LSTMRemembered) -> LSTMRemembered:
        before, cell, trace = carry
        write, keep, show = jnp.split(jax.nn.sigmoid(self.gates(jnp.concatenate([x, before]))), 3)
        written = jnp.tanh(self.encoder(x) + self.recurrent(before, trace))
        cell = keep * cell + write * written
        signal = None if self.modulator is None else self.modulator(before)
        return LSTMRemembered(show * jnp.tanh(cell), cell, self.recurrent.after(trace, before, written, signal))


def plastic(
    key: Key,
    inputs: int,
    outputs: int,
    rule: Rule = "decay",
    *,
    alpha: Per = "connection",
    eta: Per = "layer",
    rate: float = 0.01,
    scale: float = 0.01,
) -> Plastic:
    """Plastic connections with small normal weights.

    Args:
        key: Where the weights come from.
        inputs: How many units they come from.
        outputs: How many they go to.
        rule: How traces change.
        alpha: What has its own weight of the trace.
        eta: What has its own rate.
        rate: The first value of every rate.
        scale: Standard deviation of weights and of weights of the trace.
    """
    weights, traces = jax.random.split(key)
    shapes = {"layer": (), "neuron": (outputs, 1), "connection": (outputs, inputs)}
    return Plastic(
        scale * jax.random.normal(weights, (outputs, inputs)),
        jnp.zeros(0) if rule == "none" else scale * jax.random.normal(traces, shapes[alpha]),
        jnp.zeros(0) if rule in ("none", "simple") else jnp.full(shapes[eta], rate),
        rule,
    )


def modulator(key: Key, hidden: int, fan: Per = "layer") -> Modulator:
    """A modulator of `hidden` plastic units; where it fans out, it begins with equal weights."""
    shapes = {"neuron": (hidden,), "connection": (hidden, hidden)}
    return Modulator(eqx.nn.Linear(hidden, 1, key=key), jnp.ones(shapes[fan]) if fan in shapes else None)


def plastic_cell(
    key: Key,
    inputs: int,
    hidden: int,
    rule: Rule = "clip",
    *,
    alpha: Per = "connection",
    fan: Per = "layer",
    scale: float = 0.01,
) -> PlasticCell:
    """A recurrent layer with an encoder and, where the rule asks for one, a modulator."""
    recurrent, encoder, signal = jax.random.split(key, 3)
    return PlasticCell(
        plastic(recurrent, hidden, hidden, rule, alpha=alpha, scale=scale),
        eqx.nn.Linear(inputs, hidden, key=encoder),
        modulator(signal, hidden, fan) if rule in MODULATED else None,
    )


def plastic_lstm(
    key: Key,
    inputs: int,
    hidden: int,
    rule: Rule = "clip",
    *,
    alpha: Per = "connection",
    fan: Per = "connection",
    scale: float = 0.1,
) -> PlasticLSTM:
    """An LSTM as of the paper's small language model: a rate for each connection, or a signal that fans out to each."""
    gates, encoder, recurrent, signal = jax.random.split(key, 4)
    return PlasticLSTM(
        eqx.nn.Linear(inputs + hidden, 3 * hidden, key=gates),
        eqx.nn.Linear(inputs, hidden, key=encoder),
        plastic(recurrent, hidden, hidden, rule, alpha=alpha, eta="connection", scale=scale),
        modulator(signal, hidden, fan) if rule in MODULATED else None,
    )
