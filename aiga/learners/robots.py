"""Robots as worlds of evolution: an episode scores a genome, and how it went is the genome's behaviour.

The worlds of Colas et al. (2020), https://arxiv.org/abs/2003.01825, in brax and as two cores can have them.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.archives.grid import GridCells
from aiga.core.protocols import Evaluation, Key
from aiga.envs.brax import Brax
from aiga.envs.crawler import Crawler
from aiga.envs.trap import TRAP, Trap
from aiga.learners.episodes import Played, play
from aiga.nn.mlp import MLP, mlp, tanh


class Robot(eqx.Module):
    """Scores genomes, which are policies: from an observation to an action."""

    env: Any
    """An `Env` that says how many `features` it shows, how many `actions` it takes, and which feet are `touching`."""
    params: PyTree
    damages: PyTree
    """Params of damaged bodies, stacked; None: the body is never damaged."""
    horizon: int = eqx.field(static=True)
    describe: Callable[[Played], Float[Array, "n d"]] = eqx.field(static=True)
    division: GridCells = eqx.field(static=True)
    noise: float = eqx.field(static=True, default=0.01)
    """Deviation of what is added to actions."""
    offset: float = eqx.field(static=True, default=0.0)
    """The fitness that counts as nothing in a QD score."""

    def __call__(self, key: Key, genomes: PyTree, params: PyTree = None) -> Evaluation:
        """An episode each, in the body of `params`; None: the sound one."""
        watch = (lambda after: self.env.touching(after.state)) if self.damages is not None else None
        params = self.params if params is None else params
        played = play(key, self.env, params, self._act, genomes, self.horizon, watch=watch)
        return Evaluation(played.returned, self.describe(played))

    def _act(self, key: Key, genome: PyTree, observation: Array, memory: PyTree) -> tuple[Array, PyTree]:
        action = genome(observation)
        return action + self.noise * jax.random.normal(key, action.shape), memory


def robot_of(world: str, horizon: int, side: int) -> Robot:
    """The world of that name, with `side` cells along each dimension of behaviour; `horizon` 0: its own."""
    if world in ("crawler", "ant"):
        env = Crawler(horizon or 80) if world == "crawler" else Brax("ant", horizon=horizon or 1000)
        legs = [(0, 4), (1, 5), (2, 6), (3, 7)] if world == "crawler" else [(0, 1), (2, 3), (4, 5), (6, 7)]
        sets = [*[(joint,) for joint in range(8)], *legs]
        bodies = jax.tree.map(lambda *x: jnp.stack(x), *[env.damaged(*joints) for joints in sets])
        division = GridCells((0.0,) * 4, (1.0,) * 4, (side,) * 4)
        return Robot(env, env.params, bodies, env.horizon, feet, division)
    if world == "trap":
        env = Trap(horizon or 60)
        reach = 30.0
        return Robot(env, None, None, env.horizon, ends, _square(reach, side), offset=-reach)
    goal = (35.0, -25.0) if world == "ant_goal" else None
    steps = horizon or (3000 if world == "ant_goal" else 1000)
    env = Brax("humanoid" if world == "humanoid_trap" else "ant", horizon=steps, walls=TRAP, goal=goal)
    reach = 50.0 if world == "humanoid_trap" else 40.0
    return Robot(env, env.params, None, steps, places, _square(reach, side))


def _square(reach: float, side: int) -> GridCells:
    return GridCells((-reach, -reach), (reach, reach), (side, side))


def feet(played: Played) -> Float[Array, "n 4"]:
    """The share of the time that each foot touches the floor."""
    return played.watched / jnp.maximum(played.length, 1)[:, None]


def ends(played: Played) -> Float[Array, "n 2"]:
    """Where the point is in the end."""
    return played.state.position


def places(played: Played) -> Float[Array, "n 2"]:
    """Where brax's robot is in the end."""
    return played.state.place


class Network(eqx.Module):
    """Builds policies of the given layer sizes, which hardly act at first."""

    sizes: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, key: Key) -> MLP:
        return mlp(key, self.sizes, gain=1.0, last=tanh, last_gain=0.01)
