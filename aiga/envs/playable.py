"""Worlds on the host that policies play, and that are saved and restored to the byte.

Imports numpy alone: runs in worker processes.
"""

import atexit
import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from aiga.envs.restorable import World

Observation = Any
"""A pytree of numpy arrays or numbers.  (jaxtyping's own word for it would import jax into every worker.)"""


class Outcome(NamedTuple):
    """What an action led to; nothing resets by itself."""

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool


@runtime_checkable
class Playable(Protocol):
    """A world on the host, the counterpart of `aiga.core.protocols.Env`.

    Two worlds built alike understand each other's snapshots and go on from one alike, whatever they played before.
    All chance comes from the generator that is passed in.  Observations are pytrees of numpy arrays or numbers.
    """

    actions: int
    """Number of actions."""

    def reset(self, rng: np.random.Generator, params: Any) -> Observation:
        """Begin an episode as `params`, which all worlds share, say; the first observation."""
        ...

    def step(self, rng: np.random.Generator, action: int) -> Outcome: ...

    def save(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...


def seated(world: World, count: int) -> list[Playable]:
    """This process's copies of the world, for `count` episodes at a time."""
    copies = _copies(world)
    copies += [world.build(*world.arguments) for _ in range(count - len(copies))]
    return copies[:count]


@lru_cache(maxsize=4)
def _copies(world: World) -> list[Playable]:
    del world
    return []


atexit.register(_copies.cache_clear)  # else nanobind warns of emulators that outlive the interpreter


class PlayableGymnasium:
    """A Gymnasium environment with discrete actions, for policies.

    `save` and `restore` are the environment's own; without them the whole environment is pickled, which suits any
    environment that can be.  An episode's own random numbers are seeded from the generator at the reset and are part
    of what is saved.  `params`, unless None, are passed to the environment's reset as its `options`.
    """

    def __init__(
        self,
        env: Any,
        save: Callable[[Any], Any] | None = None,
        restore: Callable[[Any, Any], None] | None = None,
    ) -> None:
        self.env, self._save, self._restore = env, save, restore
        self.actions = int(env.action_space.n)

    def reset(self, rng: np.random.Generator, params: dict[str, Any] | None) -> Observation:
        observation, _ = self.env.reset(seed=int(rng.integers(2**31)), options=params)
        return observation

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        del rng
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return Outcome(observation, float(reward), bool(terminated), bool(truncated))

    def save(self) -> bytes:
        return pickle.dumps(self._save(self.env) if self._save else self.env, 5)

    def restore(self, snapshot: bytes) -> None:
        state = pickle.loads(snapshot)
        if self._restore:
            self._restore(self.env, state)
        else:
            self.env = state
