"""Worlds that can be saved and restored, and exploration by random actions from a saved state.

Imports numpy alone: these functions run in worker processes.
"""

import atexit
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8


@runtime_checkable
class Restorable(Protocol):
    """A deterministic world on the host.  Two worlds built alike understand each other's snapshots."""

    actions: int
    """Number of actions, at most 256."""

    def reset(self) -> None: ...

    def act(self, action: int) -> tuple[float, bool]:
        """The reward, and whether the episode is over."""
        ...

    def save(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...


class World(NamedTuple):
    """How a worker builds its own copy of a world."""

    build: Callable[..., Any]
    """A function or class that can be pickled: of a `Restorable`, or of a `Playable` of `aiga.envs.playable`."""
    arguments: tuple[Any, ...] = ()

    def fresh(self) -> Restorable:
        """A world of its own, just reset: emulators keep traces of what was played before a reset."""
        env = self.build(*self.arguments)
        env.reset()
        return env


class Explore(NamedTuple):
    """How to explore from a state, and what to report."""

    cell: Callable[[Any], bytes]
    """From a world to the key of the cell it is in; all keys have the same length."""
    place: Callable[[Any], int] | None = None
    """From a world to the number of the room it is in, for reports only."""
    frame: Callable[[Any], UInt8[np.ndarray, "h w"]] | None = None
    """From a world to its picture; None: pictures are not kept."""
    steps: int = 100
    repeat: float = 20.0
    """Mean number of times a random action is repeated (geometric)."""
    sample: float = 0.0
    """Probability that a step's picture is reported as a sample of all pictures."""


class Start(NamedTuple):
    """A state to explore from, and what its elite had when it was chosen."""

    snapshot: bytes
    score: float = 0.0
    length: int = 0


Known = Mapping[bytes, tuple[float, int]]
"""Score and length of elites that are met often: what cannot beat them need not be saved, which takes time."""
NOTHING: Known = {}


class Rollout(NamedTuple):
    """What one exploration found: per distinct cell the best moment in it, in order of discovery."""

    actions: UInt8[np.ndarray, " t"]
    """All that were taken; the last may have ended the episode."""
    keys: UInt8[np.ndarray, "c k"]
    steps: Int[np.ndarray, " c"]
    """Actions taken until then."""
    gains: Float[np.ndarray, " c"]
    """Score won until then."""
    places: Int[np.ndarray, " c"]
    """-1: not asked for, or not saved."""
    snapshots: tuple[bytes, ...]
    """Empty where a known elite is at least as good."""
    frames: tuple[bytes, ...]
    samples: tuple[bytes, ...]


@lru_cache(maxsize=4)
def opened(world: World) -> Restorable:
    """This process's copy of the world."""
    return world.build(*world.arguments)


atexit.register(opened.cache_clear)  # else nanobind warns of emulators that outlive the interpreter


def explore_many(
    world: World, how: Explore, known: Known, starts: Sequence[Start], seeds: Sequence[tuple[int, ...]]
) -> list[Rollout]:
    """Explore from each start with its own random numbers."""
    env = opened(world)
    tasks = zip(starts, seeds, strict=True)
    return [explore(env, how, start, np.random.default_rng(seed), known) for start, seed in tasks]


def explore(env: Any, how: Explore, start: Start, rng: np.random.Generator, known: Known = NOTHING) -> Rollout:
    """Take random, repeated actions from `start`; a step that ends the episode finds nothing."""
    actions = random_actions(rng, env.actions, how.steps, how.repeat)
    sampled = rng.random(how.steps) < how.sample
    best: dict[bytes, tuple[float, int, int, bytes, bytes]] = {}
    samples, gain, step = [], 0.0, 0
    cell, act, frame = how.cell, env.act, how.frame
    env.restore(start.snapshot)
    for step, action in enumerate(actions.tolist(), 1):
        reward, done = act(action)
        if done:
            break
        gain += reward
        key = cell(env)
        if key not in best or gain > best[key][0]:
            score, length = known.get(key, (-math.inf, 0))
            beaten = score > start.score + gain or (score == start.score + gain and length <= start.length + step)
            best[key] = (gain, step, -1, b"", b"") if beaten else _moment(env, how, gain, step)
        if frame and sampled[step - 1]:
            samples.append(frame(env).tobytes())
    return _report(actions[:step], best, samples)


def _moment(env: Any, how: Explore, gain: float, step: int) -> tuple[float, int, int, bytes, bytes]:
    place, frame = how.place, how.frame
    return gain, step, place(env) if place else -1, env.save(), frame(env).tobytes() if frame else b""


def random_actions(rng: np.random.Generator, actions: int, steps: int, repeat: float) -> UInt8[np.ndarray, " t"]:
    """Uniform actions, each repeated a geometric number of times with mean `repeat`."""
    chosen = rng.integers(actions, size=steps, dtype=np.uint8)
    return np.repeat(chosen, rng.geometric(1.0 / repeat, size=steps))[:steps]


def _report(actions: np.ndarray, best: dict[bytes, tuple], samples: list[bytes]) -> Rollout:
    keys = np.frombuffer(b"".join(best), np.uint8).reshape(len(best), len(next(iter(best), b"")))
    gains, steps, places, snapshots, frames = zip(*best.values(), strict=True) if best else [()] * 5
    return Rollout(
        actions, keys, np.array(steps, int), np.array(gains, float), np.array(places, int), snapshots, frames,
        tuple(samples),
    )  # fmt: skip


class Replayed(NamedTuple):
    """Where a sequence of actions from the reset leads."""

    score: float
    length: int
    """Actions taken before the episode ended."""
    key: bytes


def replay(world: World, cell: Callable[[Any], bytes], actions: UInt8[np.ndarray, " t"]) -> Replayed:
    """Play `actions` from the reset, in a world of its own that has never been restored."""
    env = world.fresh()
    score = 0.0
    for taken, action in enumerate(actions.tolist()):
        reward, done = env.act(action)
        if done:
            return Replayed(score, taken, cell(env))
        score += reward
    return Replayed(score, len(actions), cell(env))


class Gymnasium:
    """A Gymnasium environment with discrete actions as a restorable world.

    `save` and `restore` are the environment's own; without them the whole environment is pickled, which suits any
    environment that can be.  Random numbers inside the environment have to be part of what is saved.
    """

    def __init__(
        self,
        env: Any,
        save: Callable[[Any], Any] | None = None,
        restore: Callable[[Any, Any], None] | None = None,
        seed: int = 0,
    ) -> None:
        self.env, self.seed, self.observation = env, seed, None
        self.actions = int(env.action_space.n)
        self._save, self._restore = save, restore

    def reset(self) -> None:
        self.observation, _ = self.env.reset(seed=self.seed)

    def act(self, action: int) -> tuple[float, bool]:
        self.observation, reward, terminated, truncated, _ = self.env.step(action)
        return float(reward), bool(terminated or truncated)

    def save(self) -> bytes:
        return pickle.dumps((self._save(self.env) if self._save else self.env, self.observation), 5)

    def restore(self, snapshot: bytes) -> None:
        state, self.observation = pickle.loads(snapshot)
        if self._restore:
            self._restore(self.env, state)
        else:
            self.env = state
