"""A grid maze with a hidden goal that stays where it is for a life: find it, and find it again from anywhere.

Miconi, Stanley & Clune (2018), https://arxiv.org/abs/1804.02464, section 4.4, and Miconi et al. (2019),
https://arxiv.org/abs/2002.10585, task 2.  Walls surround the maze and stand wherever row and column are even, but for
the centre, where lives begin.  Nothing shows the goal.  Whoever steps on it is rewarded and put in a random place.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key, Transition
from aiga.envs.rooms import MOVES

NEAR = 3
"""Side of the square that is seen."""


class State(NamedTuple):
    """A moment of a life."""

    place: Int[Array, "2"]
    """Row and column."""
    goal: Int[Array, "2"]
    time: Int[Array, ""]


class HiddenGoal(eqx.Module):
    """Walk up, right, down or left; a step into a wall leads nowhere.

    An observation is where walls are in the 3 x 3 places around, a one, the time as a share of the life, whether the
    last step was rewarded, and which it was.
    """

    side: int = eqx.field(static=True, default=9)
    """Of the maze, its walls included; 9 in the paper's text, 13 in its authors' code."""
    length: int = eqx.field(static=True, default=200)
    """Steps of a life."""
    reward: float = eqx.field(static=True, default=10.0)

    def __check_init__(self) -> None:
        if self.side < 5 or self.side % 2 == 0:
            raise UsageError(f"a maze's `side` is {self.side}: give an odd number from 5.")

    @property
    def features(self) -> int:
        """Numbers of an observation."""
        return NEAR**2 + 3 + len(MOVES)

    @property
    def actions(self) -> int:
        return len(MOVES)

    @property
    def walls(self) -> Bool[np.ndarray, "s s"]:
        line = np.arange(self.side)
        edge, even = (line == 0) | (line == self.side - 1), line % 2 == 0
        walls = (edge[:, None] | edge) | (even[:, None] & even)
        walls[self.side // 2, self.side // 2] = False
        return walls

    @property
    def free(self) -> Int[np.ndarray, "f 2"]:
        """All places without a wall; the centre is the middle one of them."""
        return np.argwhere(~self.walls)

    def reset(self, key: Key, params: tuple[()]) -> tuple[State, Float[Array, " f"]]:
        del params
        centre = jnp.full(2, self.side // 2)
        state = State(centre, self.elsewhere(key, centre), jnp.zeros((), int))
        return state, self.observe(state, jnp.zeros(()), jnp.zeros(len(MOVES)))

    def step(self, key: Key, state: State, action: Int[Array, ""], params: tuple[()]) -> Transition:
        del params
        wanted = state.place + jnp.asarray(MOVES)[action]
        place = jnp.where(jnp.asarray(self.walls)[*wanted], state.place, wanted)
        found = (place == state.goal).all()
        place = jnp.where(found, self.elsewhere(key, state.goal), place)
        after = State(place, state.goal, state.time + 1)
        seen = self.observe(after, found.astype(float), jax.nn.one_hot(action, len(MOVES)))
        return Transition(after, seen, self.reward * found, jnp.zeros((), bool), after.time >= self.length)

    def observe(self, state: State, found: Float[Array, ""], step: Float[Array, " a"]) -> Float[Array, " f"]:
        """What is sensed."""
        around = jax.lax.dynamic_slice(jnp.asarray(self.walls, float), state.place - NEAR // 2, (NEAR, NEAR))
        rest = jnp.stack([jnp.ones(()), state.time / self.length, found])
        return jnp.concatenate([around.ravel(), rest, step])

    def elsewhere(self, key: Key, here: Int[Array, "2"]) -> Int[Array, "2"]:
        """A random place without a wall, other than this one."""
        free = jnp.asarray(self.free)
        number = (free == here).all(axis=1).argmax()
        other = jax.random.randint(key, (), 0, len(free) - 1)
        return free[other + (other >= number)]
