"""A language model with plastic weights: an LSTM that reads a text in windows and predicts what follows.

Miconi et al. (2019), https://arxiv.org/abs/2002.10585, section 4.3 and appendix A.1; the training is that of Zaremba,
Sutskever & Vinyals (2014), https://arxiv.org/abs/1409.2329, without dropout:

    repeat, window after window, some rows of the text beside each other:
        read the window; states and traces go on from the window before, and are forgotten where the text begins anew
        loss <- cross-entropy of what follows every symbol; its gradient goes through the window
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from aiga.core.protocols import Info, Key
from aiga.learners.meta_gradient import Unroll
from aiga.nn.plastic import LSTMRemembered, Per, PlasticLSTM, Rule, plastic_lstm


class Model(eqx.Module):
    """An embedding, a plastic LSTM, and linear odds of the next symbol."""

    embedding: Float[Array, "s u"]
    lstm: PlasticLSTM
    last: eqx.nn.Linear

    def __call__(self, symbol: Int[Array, ""], carry: LSTMRemembered) -> tuple[Float[Array, " s"], LSTMRemembered]:
        carry = self.lstm(self.embedding[symbol], carry)
        return self.last(carry.hidden), carry


class Place(NamedTuple):
    """Where reading has come to."""

    window: Int[Array, ""]
    carry: LSTMRemembered
    """Of every row."""


class Reading(eqx.Module):
    """Predict the next symbol of a text: the networks and the loss."""

    inputs: Int[Array, "w b t"]
    targets: Int[Array, "w b t"]
    test_inputs: Int[Array, "v b t"]
    test_targets: Int[Array, "v b t"]
    symbols: int = eqx.field(static=True)
    source: str = eqx.field(static=True)
    unroll: Unroll = Unroll()

    def build(self, key: Key, units: int, rule: Rule, alpha: Per) -> Model:
        """A model of `units` units in every layer."""
        embed, lstm, last = jax.random.split(key, 3)
        return Model(
            0.1 * jax.random.normal(embed, (self.symbols, units)),
            plastic_lstm(lstm, units, units, rule, alpha=alpha),
            eqx.nn.Linear(units, self.symbols, key=last),
        )

    def begin(self, network: Model) -> Place:
        """The beginning of the text."""
        rows = self.inputs.shape[1]
        empty = jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape)), network.lstm.initial())
        return Place(jnp.zeros((), int), empty)

    def loss(self, key: Key, network: Model, memory: Place) -> tuple[Float[Array, ""], tuple[Place, Info]]:
        """Mean cross-entropy of the next window, in nats."""
        del key
        again = memory.window == 0
        carry = jax.tree.map(lambda x: jnp.where(again, 0, x), memory.carry)
        value, carry = self.read(network, carry, self.inputs[memory.window], self.targets[memory.window])
        after = Place((memory.window + 1) % len(self.inputs), jax.lax.stop_gradient(carry))
        return value, (after, {"text/train_bits": value / jnp.log(2.0)})

    def examine(self, key: Key, network: Model) -> Info:
        """Bits that a symbol of the validation text costs, with the weights as they are and traces that go on."""
        del key
        carry = self.begin(network).carry

        def window(carry: LSTMRemembered, x: tuple[Array, Array]) -> tuple[LSTMRemembered, Array]:
            value, carry = self.read(network, carry, *x)
            return carry, value

        values = jax.lax.scan(window, carry, (self.test_inputs, self.test_targets))[1]
        return {"text/bits": values.mean() / jnp.log(2.0)}

    def read(
        self, network: Model, carry: LSTMRemembered, inputs: Int[Array, "b t"], targets: Int[Array, "b t"]
    ) -> tuple[Float[Array, ""], LSTMRemembered]:
        """The mean cross-entropy of a window, and the memory after it."""

        def step(carry: LSTMRemembered, x: tuple[Array, Array]) -> tuple[LSTMRemembered, Array]:
            logits, carry = jax.vmap(network)(x[0], carry)
            log = jax.nn.log_softmax(logits)
            return carry, -jnp.take_along_axis(log, x[1][:, None], axis=1)[:, 0]

        carry, costs = self.unroll(step, carry, (inputs.T, targets.T))
        return costs.mean(), carry
