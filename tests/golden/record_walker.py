"""Record what BipedalWalker does in Box2D 2.3.10 under gymnasium 1.3.0, for `test_walker.py`.

Run `python -m tests.golden.record_walker` in the checkout, with the extra `parity`, to write `walker.npz` anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from aiga.envs.box2d import Box2DWalker, gymnasium_walker
from aiga.envs.terrain import CELLS, HEIGHT, STEP, Terrain, flat, of_polyline

FILE = Path(__file__).parent / "walker.npz"


def _ground(*bends: tuple[float, float]) -> Terrain:
    """From the places, and heights above the starting pad, where the ground bends."""
    x, y = np.array([(0, 0), *bends, (CELLS * STEP, bends[-1][1])]).T
    return of_polyline(jnp.array(x), jnp.array(y + HEIGHT))


GROUNDS = {
    "flat": flat(),
    "stump": _ground((6.5, 0), (6.5, 0.2), (6.9, 0.2), (6.9, 0)),
    "pit": _ground((6.0, 0), (6.0, -2), (8.0, -2), (8.0, 0)),
    "stairs": _ground(*((5.6 + 0.7 * (i // 2), 0.12 * ((i + 1) // 2)) for i in range(16))),
}


class Trace(NamedTuple):
    """What a walker did; between two moments an action."""

    poses: np.ndarray
    """(t + 1, 5, 3) as `Box2DWalker.poses`."""
    velocities: np.ndarray
    """(t + 1, 5, 3)"""
    actions: np.ndarray
    """(t, 4)"""
    touching: np.ndarray
    """(t, 2): whether each shank touches the ground after the action, whatever gymnasium observes."""


Policy = Callable[[int, np.ndarray], np.ndarray]
"""From time and observation to an action."""


def recorded(walker: Box2DWalker, policy: Policy, steps: int, observation: np.ndarray) -> Trace:
    """Go on from where the walker is; it is not asked whether the episode has ended."""
    poses, velocities, actions, touching = [walker.poses()], [walker.velocities()], [], []
    for time in range(steps):
        action = np.clip(policy(time, observation), -1, 1).astype(np.float32)
        observation = walker.step(action)[0]
        poses.append(walker.poses())
        velocities.append(walker.velocities())
        actions.append(action)
        touching.append([any(c.contact.touching for c in walker.bodies[shank].contacts) for shank in (2, 4)])
    return Trace(np.array(poses, np.float32), np.array(velocities, np.float32), np.array(actions), np.array(touching))


def begun(ground: Terrain, seed: int = 0, rest: int = 5) -> tuple[Box2DWalker, np.ndarray]:
    """A walker after a few steps without action: Box2D has put it together then, from a pose that its joints forbid."""
    walker = Box2DWalker(ground)
    observation = walker.reset(seed)
    for _ in range(rest):
        observation = walker.step(np.zeros(4))[0]
    return walker, observation


def lift(walker: Box2DWalker, height: float, tilt: float = 0.0) -> None:
    """Take the walker up, turn it and let it go."""
    poses = walker.poses()
    off = poses[:, :2] - poses[0, :2]
    cos, sin = np.cos(tilt), np.sin(tilt)
    poses[:, :2] = poses[0, :2] + [0, height] + off @ np.array([[cos, sin], [-sin, cos]])
    poses[:, 2] += tilt
    walker.place(poses, np.zeros((5, 3)))


def idle(time: int, observation: np.ndarray) -> np.ndarray:
    return np.zeros(4)


def holding(time: int, observation: np.ndarray) -> np.ndarray:
    """Springs at the joints, a leg before the body and one behind it."""
    angles, speeds = observation[[4, 6, 9, 11]], observation[[5, 7, 10, 12]]
    return 0.5 * (np.array([0.3, 0.3, -0.3, 0.5]) - angles) - 0.1 * speeds


def swinging(time: int, observation: np.ndarray) -> np.ndarray:
    """Legs in antiphase, whatever is observed."""
    phase = 2 * np.pi * time / 30
    return 0.7 * np.array([np.sin(phase), np.cos(phase), -np.sin(phase), -np.cos(phase)])


def thrown(seed: int, hold: int = 1, scale: float = 1.0) -> Policy:
    """Random actions, each for `hold` steps."""
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(-scale, scale, (2000 // hold + 1, 4))
    return lambda time, observation: drawn[time // hold]


def walking(noise: Policy = idle) -> Policy:
    """Gymnasium's heuristic controller, disturbed."""
    controller = gymnasium_walker().BipedalWalkerHeuristics()
    return lambda time, observation: controller.step_heuristic(observation) + noise(time, observation)


def dropped() -> Trace:
    walker, observation = begun(GROUNDS["flat"])
    lift(walker, 1.5, tilt=0.2)
    return recorded(walker, idle, 60, observation)


def passive() -> Trace:
    """High above the ground, what is left of some random actions."""
    walker, observation = begun(GROUNDS["flat"])
    lift(walker, 12.0)
    recorded(walker, thrown(1, hold=5), 10, observation)
    return recorded(walker, idle, 50, observation)


def from_the_start(ground: str, policy: Policy, steps: int, skipped: int = 0) -> Trace:
    walker, observation = begun(GROUNDS[ground])
    trace = recorded(walker, policy, skipped + steps, observation)
    return Trace(*(part[skipped:] for part in trace))


def traces() -> dict[str, tuple[str, Trace]]:
    """By name: the ground, and what happened."""
    return {
        "drop": ("flat", dropped()),
        "swing": ("flat", passive()),
        "idle": ("flat", from_the_start("flat", idle, 50)),
        "holding": ("flat", from_the_start("flat", holding, 50)),
        "open loop": ("flat", from_the_start("flat", swinging, 100)),
        "heuristic": ("flat", from_the_start("flat", walking(), 120)),
        "over a stump": ("stump", from_the_start("stump", walking(), 80, 60)),
        "into a pit": ("pit", from_the_start("pit", walking(), 80, 60)),
        "up stairs": ("stairs", from_the_start("stairs", walking(), 80, 60)),
    }


def write() -> None:
    parts = {}
    for name, (ground, trace) in traces().items():
        parts |= {f"{name}/{ground}/{field}": part for field, part in trace._asdict().items()}
    np.savez_compressed(FILE, **parts)


def read() -> dict[str, tuple[str, Trace]]:
    with np.load(FILE) as file:
        places = dict.fromkeys(tuple(name.split("/")[:2]) for name in file.files)
        return {
            name: (ground, Trace(*(file[f"{name}/{ground}/{field}"] for field in Trace._fields)))
            for name, ground in places
        }


if __name__ == "__main__":
    write()
