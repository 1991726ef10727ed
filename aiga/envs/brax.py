"""Robots of brax as worlds of pure functions: ant, halfcheetah, humanoid and others, whole or damaged.

Freeman et al. (2021), https://arxiv.org/abs/2106.13281; the library is `brax` (Apache-2.0, an optional extra), of
which only the simulators are used.  Damage is that of Colas et al. (2020), https://arxiv.org/abs/2003.01825: a joint
that has lost its strength.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Key, Transition
from aiga.envs.trap import Walls, crosses


class BraxParams(NamedTuple):
    """The genome of a robot's body."""

    strength: Float[Array, " a"]
    """What each actuator's torque is multiplied with: 1 sound, 0.01 damaged as in the paper."""


class BraxState(NamedTuple):
    """A moment of an episode."""

    simulation: PyTree
    """The library's state."""
    place: Float[Array, "2"]
    """Where the torso is, given the walls."""
    time: Int[Array, ""]


class Brax(eqx.Module):
    """A robot by its brax name, such as `ant`; it does not reset itself, and `truncated` is the time limit alone.

    The simulator knows no walls.  Before a wall the robot therefore treads on the spot: a step of its torso that would
    cross one does not change its `place`, and earns nothing for moving forward.  With a `goal`, the reward is zero
    until the episode ends, then minus the distance to it, and the place is part of what is observed.
    """

    env: Any = eqx.field(static=True)
    horizon: int = eqx.field(static=True)
    """Steps after which an episode is cut off."""
    walls: Walls = eqx.field(static=True)
    goal: tuple[float, float] | None = eqx.field(static=True)

    def __init__(
        self,
        name: str,
        backend: Literal["spring", "positional", "generalized", "mjx"] = "spring",
        *,
        horizon: int = 1000,
        walls: Walls = (),
        goal: tuple[float, float] | None = None,
        **options: Any,
    ) -> None:
        """Build a robot; `options` are those of its class in brax."""
        self.env = made(name, backend, tuple(options.items()))
        self.horizon, self.walls, self.goal = horizon, walls, goal

    @property
    def params(self) -> BraxParams:
        """The sound body."""
        return BraxParams(jnp.ones(self.actions))

    @property
    def actions(self) -> int:
        """Numbers of an action, each from -1 to 1."""
        return self.env.action_size

    @property
    def features(self) -> int:
        """Numbers of an observation."""
        return self.env.observation_size + (2 if self.goal else 0)

    def damaged(self, *joints: int, strength: float = 0.01) -> BraxParams:
        """The body of which these joints have lost their strength."""
        wrong = [joint for joint in joints if not 0 <= joint < self.actions]
        if wrong:
            raise UsageError(f"there is no joint {wrong[0]}: give numbers from 0 to {self.actions - 1}.")
        return BraxParams(self.params.strength.at[jnp.array(joints, int)].set(strength))

    def reset(self, key: Key, params: BraxParams) -> tuple[BraxState, Float[Array, " f"]]:
        del params
        with quiet():
            simulation = jax.tree.map(_strong, self.env.reset(key))
        state = BraxState(simulation, _torso(simulation), jnp.zeros((), jnp.int32))
        return state, self.observe(state)

    def step(self, key: Key, state: BraxState, action: Float[Array, " a"], params: BraxParams) -> Transition:
        del key  # only beginnings are random
        before = state.simulation.replace(metrics=dict(state.simulation.metrics))  # the library writes into it
        with quiet():
            after = self.env.step(before, jnp.clip(action, -1, 1) * params.strength)
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state.simulation)
        moved = _torso(after) - _torso(state.simulation)
        place = jnp.where(crosses(state.place, state.place + moved, self.walls), state.place, state.place + moved)
        now = BraxState(after, place, state.time + 1)
        terminated = after.done > 0.5
        truncated = (now.time >= self.horizon) & ~terminated
        reward = self._reward(after.reward, moved - (place - state.place), place, terminated | truncated)
        return Transition(now, self.observe(now), reward, terminated, truncated)

    def observe(self, state: BraxState) -> Float[Array, " f"]:
        """The library's observation, after the place if there is a goal."""
        seen = state.simulation.obs
        return jnp.concatenate([state.place, seen]) if self.goal else seen

    def touching(self, state: BraxState) -> Float[Array, " c"]:
        """Which of the contacts that the simulator looks for are closed, 1 or 0; for `ant`, its four feet.

        Summed over an episode and divided by its length, this is the descriptor of the paper's damaged ants.
        """
        with quiet():
            contact = require("brax.contact", "brax").get(self.env.sys, state.simulation.pipeline_state.x)
        return jnp.zeros(0) if contact is None else (contact.dist < 0).astype(float)

    def _reward(
        self, given: Float[Array, ""], lost: Float[Array, "2"], place: Float[Array, "2"], ended: Array
    ) -> Float[Array, ""]:
        if self.goal:
            return jnp.where(ended, -jnp.linalg.norm(place - jnp.array(self.goal)), 0.0)
        weight = getattr(self.env, "_forward_reward_weight", 1.0)
        return given - weight * lost[0] / self.env.dt


def _torso(simulation: PyTree) -> Float[Array, "2"]:
    return simulation.pipeline_state.x.pos[0, :2]


def _strong(x: Any) -> Array:
    """An array whose type does not bend to its partners', unlike a Python number's."""
    return jnp.array(x, jnp.result_type(x))


@lru_cache
def made(name: str, backend: str, options: tuple[tuple[str, Any], ...]) -> Any:
    """The robot: one object per name and options, so that what was compiled for it serves again."""
    with quiet():
        envs = require("brax.envs", "brax")
        if name not in envs._envs:
            raise UsageError(f"brax has no robot `{name}`; it has {', '.join(sorted(envs._envs))}.")
        return envs.get_environment(name, backend=backend, **dict(options))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out what brax 0.14 says on import and on use, and nothing else.

    It warns that brax's simulators and jaxopt are no longer developed, and of mujoco's new place for `ncon`; mujoco
    prints, to standard output, that an optional engine is not installed.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for message in ("Brax System, pip", "JAXopt is no longer", "Accessing `.*` directly from `Data`"):
            warnings.filterwarnings("ignore", message)
        yield
