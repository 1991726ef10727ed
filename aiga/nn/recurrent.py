"""Recurrent networks that read a sequence and answer at its end."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.core.protocols import Key

Kind = Literal["rnn", "gru", "lstm"]


class Elman(eqx.Module):
    """The simple recurrent layer: the hyperbolic tangent of a linear function of input and memory."""

    linear: eqx.nn.Linear
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, key: Key) -> None:
        self.linear = eqx.nn.Linear(input_size + hidden_size, hidden_size, key=key)
        self.hidden_size = hidden_size

    def __call__(self, x: Float[Array, " i"], carry: Float[Array, " h"]) -> Float[Array, " h"]:
        return jnp.tanh(self.linear(jnp.concatenate([x, carry])))


class Reader(eqx.Module):
    """Recurrent layers one above the other, and a linear one that sees the last of them after the last input."""

    cells: tuple[Elman | eqx.nn.GRUCell | eqx.nn.LSTMCell, ...]
    last: eqx.nn.Linear

    def __call__(self, sequence: Float[Array, "t i"]) -> Float[Array, " o"]:
        carries, out = tuple(_empty(cell) for cell in self.cells), jnp.zeros(self.last.in_features)
        (_, out), _ = jax.lax.scan(lambda now, x: self._step(now, x), (carries, out), sequence)
        return self.last(out)

    def _step(self, now: tuple[PyTree, Array], x: Float[Array, " i"]) -> tuple[tuple[PyTree, Array], None]:
        carries = []
        for cell, carry in zip(self.cells, now[0], strict=True):
            carries.append(cell(x, carry))
            x = carries[-1][0] if isinstance(cell, eqx.nn.LSTMCell) else carries[-1]
        return (tuple(carries), x), None


def reader(key: Key, inputs: int, hidden: int, outputs: int, kind: Kind = "rnn", layers: int = 2) -> Reader:
    """A network of fresh layers, uniform in +-1 / sqrt(`hidden`) or, without memory, in +-1 / sqrt(its inputs)."""
    make = {"rnn": Elman, "gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}[kind]
    *keys, last = jax.random.split(key, layers + 1)
    cells = [make(inputs if i == 0 else hidden, hidden, key=one) for i, one in enumerate(keys)]
    return Reader(tuple(cells), eqx.nn.Linear(hidden, outputs, key=last))


def _empty(cell: Elman | eqx.nn.GRUCell | eqx.nn.LSTMCell) -> PyTree:
    """The memory before the first input."""
    zeros = jnp.zeros(cell.hidden_size)
    return (zeros, zeros) if isinstance(cell, eqx.nn.LSTMCell) else zeros
