"""Worlds whose solutions can be drawn, and shown to people: an arm and its joints, a robot and its way.

Features describe a solution in full; the ground truth is a linear view of them.  The worlds of Ding et al. (2023),
"Quality Diversity through Human Feedback", https://arxiv.org/abs/2310.12103, with the hard maze in Kheperax's place.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from aiga.core.protocols import Evaluation, Key
from aiga.envs.arm import Arm
from aiga.envs.maze import ENVELOPE, HARD_MAZE, Maze


class View(NamedTuple):
    """A descriptor: a linear projection of the features, and the box of it that is divided into cells."""

    projection: Float[Array, "f 2"]
    low: Float[Array, "2"]
    high: Float[Array, "2"]

    def of(self, features: Float[Array, "n f"]) -> Float[Array, "n 2"]:
        """Places in the unit square."""
        return (features @ self.projection - self.low) / (self.high - self.low)


class DrawnArm(eqx.Module):
    """A planar arm with evenly bent joints; features are the cosines and sines of the links' headings."""

    arm: Arm = Arm()

    def first(self, key: Key, n: int) -> Float[Array, "{n} g"]:
        """Random genomes."""
        return jax.random.uniform(key, (n, self.arm.joints), minval=-math.pi, maxval=math.pi)

    def __call__(self, key: Key, genomes: Float[Array, "n g"]) -> Evaluation:
        heading = jnp.cumsum(genomes, axis=1)
        features = jnp.concatenate([jnp.cos(heading), jnp.sin(heading)], axis=1)
        return Evaluation(100 * (1 + self.arm(key, genomes).fitness), features)

    @property
    def truth(self) -> View:
        """Where the arm ends."""
        projection = jnp.repeat(jnp.eye(2), self.arm.joints, axis=0) / (2 * self.arm.joints)
        return View(projection, jnp.full(2, -0.5), jnp.full(2, 0.5))

    def lines(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n t 2"]:
        """From the shoulder to the hand, in the unit square."""
        steps = features.reshape(len(features), 2, -1).swapaxes(1, 2) / (2 * self.arm.joints)
        return 0.5 + np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0), (0, 0)))

    @property
    def walls(self) -> Float[np.ndarray, "w 2 2"]:
        """Nothing stands around."""
        return np.zeros((0, 2, 2))


class DrawnMaze(eqx.Module):
    """A robot in the hard maze that should turn and drive little; features are places on its way, from the unit square.

    A genome is a policy: a module from an observation to an action.
    """

    policy: Callable[[Key], PyTree] = eqx.field(static=True)
    """A random genome."""
    maze: Maze = Maze(stop=False)
    places: int = eqx.field(static=True, default=16)

    def first(self, key: Key, n: int) -> PyTree:
        """Random genomes."""
        return jax.vmap(self.policy)(jax.random.split(key, n))

    def __call__(self, key: Key, genomes: PyTree) -> Evaluation:
        fitness, features = jax.vmap(partial(self._episode, key))(genomes)
        return Evaluation(fitness, features)

    def _episode(self, key: Key, policy: PyTree) -> tuple[Float[Array, ""], Float[Array, " f"]]:
        """100 for standing still, 0 for all the robot can; and its way."""

        def act(carry: tuple[PyTree, Array], _: None) -> tuple[tuple[PyTree, Array], tuple[Array, Array]]:
            state, observation = carry
            action = policy(observation)
            after = self.maze.step(key, state, action, HARD_MAZE)
            return (after.state, after.observation), (after.state.position, jnp.abs(2 * action - 1).mean())

        _, (positions, effort) = jax.lax.scan(act, self.maze.reset(key, HARD_MAZE), None, self.maze.steps)
        seen = jnp.linspace(self.maze.steps / self.places, self.maze.steps, self.places).astype(int) - 1
        low, high = jnp.array(ENVELOPE)
        return 100 * (1 - effort.mean()), ((positions[seen] - low) / (high - low)).ravel()

    @property
    def truth(self) -> View:
        """Where the robot is at the end."""
        return View(jnp.eye(2 * self.places)[:, -2:], jnp.zeros(2), jnp.ones(2))

    def lines(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n t 2"]:
        """From the start of the robot to its last place."""
        way = features.reshape(len(features), -1, 2)
        start = (HARD_MAZE.start - np.array(ENVELOPE[0])) / np.ptp(ENVELOPE, axis=0)
        return np.concatenate([np.broadcast_to(start, (len(way), 1, 2)), way], axis=1)

    @property
    def walls(self) -> Float[np.ndarray, "w 2 2"]:
        """Of the maze."""
        return (HARD_MAZE.walls.reshape(-1, 2, 2) - np.array(ENVELOPE[0])) / np.ptp(ENVELOPE, axis=0)
