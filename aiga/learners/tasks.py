"""Worlds of several tasks for one network: many mazes, or one robot that is asked to do six things.

The tasks of Huizinga & Clune (2018), https://arxiv.org/abs/1807.03392, where a network is a list of weights from -1 to
1 and a task scores from 0 to 1.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Key, Transition
from aiga.envs.brax import Brax, BraxState
from aiga.envs.maze import FEATURES, Maze, MazeParams, distance, divided_maze, padded
from aiga.learners.episodes import play
from aiga.nn.mlp import MLP, mlp

GAIN = 3.0
"""What weights from -1 to 1 are multiplied with."""
PEAK = 16
"""The root of a sum of so high powers is near the largest: 1,000 equal ones make it 1.5 times that."""


def weights(key: Key, sizes: tuple[int, ...]) -> MLP:
    """A network of the given layer sizes whose weights are random numbers from -1 to 1."""
    leaves, treedef = jax.tree.flatten(mlp(jax.random.key(0), sizes))
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, leaf.shape, minval=-1, maxval=1) for k, leaf in zip(keys, leaves, strict=True)]
    return treedef.unflatten(drawn)


def respond(network: MLP, observation: Float[Array, " f"]) -> Float[Array, " a"]:
    """What the network says, between -1 and 1."""
    return jnp.tanh(jax.tree.map(lambda x: GAIN * x, network)(observation))


class Mazes(eqx.Module):
    """Drive to the goal in every maze; a maze is a task.

    The score is 1 - d / dmax, with d the distance to the goal at the end of the episode and dmax the maze's diagonal,
    and 1 if the goal was reached.  A descriptor is where the robot was at last, maze by maze, in units of the side.
    """

    mazes: MazeParams
    env: Maze
    side: float = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    by: Literal["mean", "product"] = eqx.field(static=True, default="mean")

    @classmethod
    def random(cls, count: int, cells: int, splits: int, ticks: int, repeat: int, hidden: int = 8) -> "Mazes":
        """`count` mazes that are always the same: those of the seeds 0, 1, ..."""
        if count < 1:
            raise UsageError(f"{count} mazes make no task: give one or more.")
        size = 20.0
        mazes = [divided_maze(seed, cells, splits, size) for seed in range(count)]
        mazes = [padded(maze, max(len(maze.walls) for maze in mazes)) for maze in mazes]
        stacked = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *mazes)
        env = Maze(ticks, repeat, opaque=True, radius=4.0)
        return cls(stacked, env, cells * size, hidden)

    @property
    def tasks(self) -> int:
        return len(self.mazes.walls)

    @property
    def behaviour(self) -> int:
        """Numbers of a descriptor."""
        return 2 * self.tasks

    def build(self, key: Key) -> MLP:
        """A random network of one hidden layer."""
        return weights(key, (FEATURES, self.hidden, 2))

    def __call__(self, key: Key, genomes: PyTree) -> Evaluation:
        def drive(key: Key, network: MLP, seen: Float[Array, " f"], memory: tuple[()]) -> tuple[Any, tuple[()]]:
            return (1 + respond(network, seen)) / 2, memory

        def one(maze: MazeParams) -> tuple[Float[Array, " n"], Float[Array, "n 2"]]:
            played = play(key, self.env, maze, drive, genomes, self.env.steps)  # mazes have no randomness
            left = jax.vmap(distance, (0, None))(played.state.position, jnp.asarray(maze.goal))
            score = jnp.where(played.state.reached, 1, 1 - left / (self.side * 2**0.5))
            return score, played.state.position / self.side

        scores, places = jax.lax.map(one, self.mazes, batch_size=16)
        return Evaluation(scores.mean(axis=0), jnp.concatenate(list(places), axis=1), scores.T)


class Watched(NamedTuple):
    """Sums over the steps of an episode."""

    turned: Float[Array, "*n"]
    """Radians to the left while upright."""
    crouched: Float[Array, "*n"]
    """Nearness of the torso to the height asked for."""
    jumped: Float[Array, "*n"]
    """How far the torso was above its height at the start, up to `leap`, to the power `PEAK`."""


COMMANDS = ("forward", "backward", "left", "right", "jump", "crouch")


class Legged(eqx.Module):
    """One robot, six commands: forward, backward, turn left, turn right, jump, crouch; each is a task.

    The command is part of what the network sees.  Scores are between 0 and 1, as functions of the trajectory: the
    distance covered in units of `reach`; the angle turned in units of `turn`; the height of a jump in units of
    `leap`; the mean nearness of the torso to `low`.  A descriptor is the final place under every command.
    """

    env: Brax
    hidden: int = eqx.field(static=True)
    reach: float = eqx.field(static=True, default=12.5)
    turn: float = eqx.field(static=True, default=12.5)
    leap: float = eqx.field(static=True, default=0.5)
    low: float = eqx.field(static=True, default=0.3)
    by: Literal["mean", "product"] = eqx.field(static=True, default="product")

    @property
    def tasks(self) -> int:
        return len(COMMANDS)

    @property
    def behaviour(self) -> int:
        """Numbers of a descriptor."""
        return 2 * self.tasks

    def build(self, key: Key) -> MLP:
        """A random network of one hidden layer."""
        return weights(key, (self.env.features + self.tasks, self.hidden, self.env.actions))

    def __call__(self, key: Key, genomes: PyTree) -> Evaluation:
        begin, _ = self.env.reset(jax.random.key(0), self.env.params)
        start = torso(begin)[2]

        def watch(after: Transition) -> Watched:
            height, upright, spin = torso(after.state)[2], *posture(after.state)
            above = jnp.clip((height - start) / self.leap, 0, 1)
            near = jnp.maximum(1 - jnp.abs(height - self.low) / self.low, 0)
            return Watched(jnp.where(upright, spin * self.env.env.dt, 0), near, above**PEAK)

        def one(given: tuple[Key, Float[Array, " t"]]) -> tuple[Watched, Float[Array, "n 2"]]:
            key, command = given

            def act(key: Key, network: MLP, seen: Float[Array, " f"], memory: tuple[()]) -> tuple[Any, tuple[()]]:
                return respond(network, jnp.concatenate([seen, command])), memory

            played = play(key, self.env, self.env.params, act, genomes, self.env.horizon, watch=watch)
            return played.watched, played.state.place

        keys = jax.random.split(key, self.tasks)
        watched, places = jax.lax.map(one, (keys, jnp.eye(self.tasks)))
        scores = self._scores(watched, places)
        whole = scores.prod(axis=1) if self.by == "product" else scores.mean(axis=1)
        return Evaluation(whole, jnp.concatenate(list(places), axis=1), scores)

    def _scores(self, watched: Watched, places: Float[Array, "t n 2"]) -> Float[Array, "n t"]:
        scores = jnp.stack(
            [
                places[0, :, 0] / self.reach,
                -places[1, :, 0] / self.reach,
                watched.turned[2] / self.turn,
                -watched.turned[3] / self.turn,
                watched.jumped[4] ** (1 / PEAK),
                watched.crouched[5] / self.env.horizon,
            ],
            axis=1,
        )
        return jnp.clip(scores, 0, 1)


def torso(state: BraxState) -> Float[Array, "3"]:
    """Where the robot's first body is."""
    return state.simulation.pipeline_state.x.pos[0]


def posture(state: BraxState) -> tuple[Array, Array]:
    """Whether the robot's first body is upright, and how fast it turns to the left, in radians a second."""
    w, x, y, z = state.simulation.pipeline_state.x.rot[0]
    del w, z
    return 1 - 2 * (x**2 + y**2) > 0, state.simulation.pipeline_state.xd.ang[0, 2]
