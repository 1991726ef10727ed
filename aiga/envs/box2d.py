"""The walker of the hills in Box2D: gymnasium's BipedalWalker on any ground, to compare `aiga.envs.hills` with.

Body, motors, observation, reward and end of an episode are gymnasium's own code (Klimov 2016; the optional extra
`parity`); the ground alone is ours.
"""

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import require
from aiga.envs.terrain import Terrain

Policy = Callable[[Float[np.ndarray, " 24"]], Any]
"""From an observation to an action of four numbers."""


class Played(NamedTuple):
    """A whole episode."""

    total: float
    """Sum of the rewards."""
    length: int
    """Steps."""


class Box2DWalker:
    """An episode of BipedalWalker in Box2D; the ground is an edge between every two vertices of `terrain`.

    Poses and velocities are rows of hull, thigh, shank, thigh, shank: place and angle of the body's frame, velocity of
    its centre of mass and its spin.
    """

    def __init__(self, terrain: Terrain, horizon: int = 2000) -> None:
        self.env = gymnasium_walker().BipedalWalker()
        # An attribute of this one object: its `reset` builds the ground with it.
        self.env._generate_terrain = lambda hardcore: _lay(self.env, np.asarray(terrain.x), np.asarray(terrain.y))
        self.horizon = horizon
        self.time = 0

    def reset(self, seed: int = 0) -> Float[np.ndarray, " 24"]:
        """Put a walker on the starting pad, pushed a little by what `seed` decides; Box2D takes its first step."""
        self.time = 0
        return self.env.reset(seed=seed)[0]

    def step(self, action: Any) -> tuple[Float[np.ndarray, " 24"], float, bool, bool]:
        """Observation, reward, and whether the episode has terminated or is cut off by the horizon."""
        self.time += 1
        observation, reward, terminated, _, _ = self.env.step(np.asarray(action, np.float64))
        return observation, float(reward), terminated, self.time >= self.horizon

    def play(self, policy: Policy, seed: int = 0) -> Played:
        """A whole episode from `reset(seed)`."""
        observation, total, ended = self.reset(seed), 0.0, False
        while not ended:
            observation, reward, terminated, truncated = self.step(policy(observation))
            total += reward
            ended = terminated or truncated
        return Played(total, self.time)

    @property
    def bodies(self) -> list[Any]:
        """Box2D's own, in the order of the links."""
        return [self.env.hull, *self.env.legs]

    def poses(self) -> Float[np.ndarray, "5 3"]:
        return np.array([(*body.position, body.angle) for body in self.bodies])

    def velocities(self) -> Float[np.ndarray, "5 3"]:
        return np.array([(*body.linearVelocity, body.angularVelocity) for body in self.bodies])

    def place(self, poses: Float[np.ndarray, "5 3"], velocities: Float[np.ndarray, "5 3"]) -> None:
        """Go on from this moment.

        What Box2D remembers of the step before, the impulses at joints and contacts, it keeps if the walker has not
        been moved far; from them it begins its search for those of the next step.
        """
        for body, pose, velocity in zip(self.bodies, poses.tolist(), velocities.tolist(), strict=True):
            body.transform = (pose[:2], pose[2])
            body.linearVelocity, body.angularVelocity = velocity[:2], velocity[2]
            body.awake = True
        self.env.game_over = False
        # What gymnasium's reward of the next step is the difference to.
        self.env.prev_shaping = 130 * poses[0, 0] / gymnasium_walker().SCALE - 5 * abs(poses[0, 2])


def gymnasium_walker() -> Any:
    """Gymnasium's module `bipedal_walker`."""
    # Box2D's import warns of its own bindings, and a process in which warnings are errors does not survive that.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require("Box2D", "parity")
        return require("gymnasium.envs.box2d.bipedal_walker", "parity")


def _lay(env: Any, x: Float[np.ndarray, " v"], y: Float[np.ndarray, " v"]) -> None:
    """Build the ground as gymnasium does, one static body for each edge."""
    env.terrain, env.terrain_poly = [], []
    points = np.stack([x, y], axis=1).astype(float).tolist()
    for left, right in pairwise(points):
        if left == right:  # the padding behind the last vertex
            continue
        env.fd_edge.shape.vertices = [left, right]
        body = env.world.CreateStaticBody(fixtures=env.fd_edge)
        body.color1 = body.color2 = (76, 204, 76)
        env.terrain.append(body)
        env.terrain_poly.append(([left, right, (right[0], 0), (left[0], 0)], (102, 153, 76)))
