"""Which cue does reward belong to?  A memory task in which only reward tells what is worth remembering.

Miconi et al. (2019), https://arxiv.org/abs/2002.10585, task 1.  In every life some cues are random bits, and one of
them, unknown, is the target.  A trial shows two cues, one after the other, and then asks whether the target was one of
them.  The answer brings 1 if it is right and -1 if it is wrong.  Trials follow each other until the life ends.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key, Transition

SHOWN = 2
"""Cues of a trial; the question follows."""
ANSWERS = 2
"""The target was not there, or it was."""


class State(NamedTuple):
    """A moment of a life."""

    cues: Float[Array, "c n"]
    target: Int[Array, ""]
    pair: Int[Array, "2"]
    """The cues of this trial."""
    stage: Int[Array, ""]
    """What comes next in this trial: its first cue, its second, the question."""
    asked: Bool[Array, ""]
    """The present observation is the question."""
    time: Int[Array, ""]
    observation: Float[Array, " f"]


class CueReward(eqx.Module):
    """Answer 1 if the target was among the two cues, else 0; answers when nothing is asked do nothing.

    An observation is the bits of a cue or zeros, whether this is the question, a one, the time as a share of the life,
    the last reward, and which answer was given last.
    """

    cues: int = eqx.field(static=True, default=4)
    bits: int = eqx.field(static=True, default=20)
    length: int = eqx.field(static=True, default=120)
    """Steps of a life; 200 in the paper's text, 120 in its authors' code."""
    pause: float = eqx.field(static=True, default=0.2)
    """How probable it is that a step shows nothing.  The paper says that pauses are random, not how long."""

    def __check_init__(self) -> None:
        if self.cues < SHOWN + 1:
            raise UsageError(f"`cues` is {self.cues}: give 3 or more, so that a trial can be without the target.")

    @property
    def features(self) -> int:
        """Numbers of an observation."""
        return self.bits + 4 + ANSWERS

    @property
    def actions(self) -> int:
        return ANSWERS

    def reset(self, key: Key, params: tuple[()]) -> tuple[State, Float[Array, " f"]]:
        del params
        draw, choose, trial, show = jax.random.split(key, 4)
        cues = jax.random.rademacher(draw, (self.cues, self.bits), float)
        target = jax.random.randint(choose, (), 0, self.cues)
        zero = jnp.zeros((), int)
        state = State(cues, target, self.drawn(trial, target), zero, zero > 0, zero, jnp.zeros(self.features))
        state = self._shown(show, state, jnp.zeros(()), jnp.zeros(ANSWERS))
        return state, state.observation

    def step(self, key: Key, state: State, action: Int[Array, ""], params: tuple[()]) -> Transition:
        del params
        trial, show = jax.random.split(key)
        present = (state.pair == state.target).any()
        reward = jnp.where(state.asked, jnp.where((action == 1) == present, 1.0, -1.0), 0.0)
        pair = jnp.where(state.asked, self.drawn(trial, state.target), state.pair)
        after = self._shown(
            show, state._replace(pair=pair, time=state.time + 1), reward, jax.nn.one_hot(action, ANSWERS)
        )
        return Transition(after, after.observation, reward, jnp.zeros((), bool), after.time >= self.length)

    def drawn(self, key: Key, target: Int[Array, ""]) -> Int[Array, "2"]:
        """Two different cues in a random order; the target is one of them in half of all trials."""
        present, order, others = jax.random.split(key, 3)
        apart = jax.random.uniform(others, (self.cues,)).at[target].set(2.0).argsort()  # the target is the last
        first = jnp.where(jax.random.bernoulli(present), target, apart[0])
        pair = jnp.stack([first, apart[1]])
        return jnp.where(jax.random.bernoulli(order), pair, pair[::-1])

    def _shown(self, key: Key, state: State, reward: Float[Array, ""], answer: Float[Array, " a"]) -> State:
        """The state with what is shown in it: a pause, a cue, or the question."""
        paused = jax.random.bernoulli(key, self.pause)
        cue = state.cues[state.pair[jnp.minimum(state.stage, SHOWN - 1)]]
        asked = ~paused & (state.stage == SHOWN)
        bits = jnp.where(paused | asked, 0.0, cue)
        rest = jnp.stack([asked.astype(float), jnp.ones(()), state.time / self.length, reward])
        stage = jnp.where(paused, state.stage, (state.stage + 1) % (SHOWN + 1))
        return state._replace(stage=stage, asked=asked, observation=jnp.concatenate([bits, rest, answer]))
