"""Robots as worlds of evolution: an episode scores a genome, and how it went is the genome's behaviour.

The worlds of Colas et al. (2020), https://arxiv.org/abs/2003.01825, in brax and as two cores can have them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from aiga.archives.grid import Grid, GridCells
from aiga.core.protocols import Evaluation, Key, Transition
from aiga.core.trees import Layout
from aiga.envs.brax import Brax, BraxState
from aiga.envs.crawler import Crawler
from aiga.envs.trap import TRAP, Trap
from aiga.learners.episodes import Act, Played, play, trace
from aiga.learners.map_search import map_search
from aiga.nn.mlp import MLP, mlp, tanh
from aiga.nn.normaliser import Normaliser


class Observed(NamedTuple):
    """Of the observations of an episode: how many, their sum, and their sum of squares."""

    steps: Float[Array, "*n"]
    total: Float[Array, "*n f"]
    square: Float[Array, "*n f"]

    @classmethod
    def of(cls, observation: Float[Array, " f"]) -> "Observed":
        """One."""
        return cls(jnp.ones(()), observation, observation**2)


class Watched(NamedTuple):
    """Sums over the steps of an episode."""

    touching: Float[Array, "*n c"] | None
    """Steps that each foot touched the floor; None: nobody asks."""
    observed: Observed | None


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
    names: tuple[str, ...] = eqx.field(static=True, default=("x", "y"))
    """Of the dimensions of behaviour."""

    def __call__(
        self, key: Key, genomes: PyTree, params: PyTree = None, normaliser: Normaliser | None = None
    ) -> Evaluation:
        """An episode each, in the body of `params`; None: the sound one.

        With a normaliser, policies see what it makes of the observations, and `aux` is what was observed.
        """
        act, watch = self._ways(normaliser)
        params = self.params if params is None else params
        return self._judged(play(key, self.env, params, act, genomes, self.horizon, watch=watch))

    @eqx.filter_jit
    def trace(
        self, key: Key, genomes: PyTree, rows: Int[Array, " m"], normaliser: Normaliser | None = None
    ) -> tuple[Evaluation, Float[Array, "t m 2"]]:
        """What a call gives, in the sound body, and where some of the robots were, at first and after every step."""

        def place(state: PyTree) -> Float[Array, "m 2"]:
            return (state.place if isinstance(state, BraxState) else state.position)[rows]

        act, watch = self._ways(normaliser)
        played, path = trace(key, self.env, self.params, act, genomes, self.horizon, look=place, watch=watch)
        return self._judged(played), path

    def _ways(self, normaliser: Normaliser | None) -> tuple[Act, Callable[[Transition], Watched]]:
        """How genomes act, and what is watched of it."""

        def act(key: Key, genome: PyTree, observation: Array, memory: PyTree) -> tuple[Array, PyTree]:
            action = genome(normaliser.apply(observation) if normaliser else observation)
            return action + self.noise * jax.random.normal(key, action.shape), memory

        def watch(after: Transition) -> Watched:
            feet = self.env.touching(after.state) if self.damages is not None else None
            return Watched(feet, Observed.of(after.observation) if normaliser else None)

        return act, watch

    def _judged(self, played: Played) -> Evaluation:
        return Evaluation(played.returned, self.describe(played), played.watched.observed)


def robot_of(world: str, horizon: int, side: int) -> Robot:
    """The world of that name, with `side` cells along each dimension of behaviour; `horizon` 0: its own."""
    if world in ("crawler", "ant"):
        env = Crawler(horizon or 80) if world == "crawler" else Brax("ant", horizon=horizon or 1000)
        legs = [(0, 4), (1, 5), (2, 6), (3, 7)] if world == "crawler" else [(0, 1), (2, 3), (4, 5), (6, 7)]
        sets = [*[(joint,) for joint in range(8)], *legs]
        bodies = jax.tree.map(lambda *x: jnp.stack(x), *[env.damaged(*joints) for joints in sets])
        division = GridCells((0.0,) * 4, (1.0,) * 4, (side,) * 4)
        names = tuple(f"foot {foot}" for foot in range(1, 5))
        return Robot(env, env.params, bodies, env.horizon, feet, division, names=names)
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
    return played.watched.touching / jnp.maximum(played.length, 1)[:, None]


def ends(played: Played) -> Float[Array, "n 2"]:
    """Where the point is in the end."""
    return played.state.position


def places(played: Played) -> Float[Array, "n 2"]:
    """Where brax's robot is in the end."""
    return played.state.place


def observed(normaliser: Normaliser | None, episodes: Observed | None) -> Normaliser | None:
    """The normaliser after these episodes; those in which a number was not finite do not count."""
    if normaliser is None or episodes is None:
        return normaliser
    finite = jnp.isfinite(episodes.square).all(axis=1)
    return normaliser.after(*(jnp.where(finite, x.T, 0).T.sum(axis=0) for x in episodes))


@eqx.filter_jit
def recovered(
    key: Key,
    evaluate: Callable[..., Evaluation],
    layout: Layout,
    grid: Grid,
    damages: PyTree,
    normaliser: Normaliser | None = None,
) -> Float[Array, "3"]:
    """How damaged bodies fare: mean and worst return with what a search of the map finds, and mean without a search.

    Without one, a body takes the best elite.

    Args:
        key: For the episodes.
        evaluate: Scores genomes, given a body as `params`.
        layout: Of genomes, which the map has as vectors.
        grid: The map; the search's prior is its fitness, brought to 0 to 1.
        damages: The bodies, stacked.
        normaliser: Of what is observed.
    """
    low = jnp.where(grid.occupied, grid.fitness, jnp.inf).min()
    span = jnp.maximum(grid.fitness.max() - low, 1e-6)
    prior = jnp.where(grid.occupied, (grid.fitness - low) / span, 0.0)

    def achieved(key: Key, rows: Int[Array, " n"], body: PyTree) -> Float[Array, " n"]:
        return evaluate(key, layout.tree(grid.genomes[rows]), body, normaliser=normaliser).fitness

    def adapt(key: Key, body: PyTree) -> Float[Array, " 2"]:
        search, test = jax.random.split(key)

        def trial(key: Key, row: Int[Array, ""]) -> Float[Array, ""]:
            return (achieved(key, row[None], body)[0] - low) / span

        chosen = map_search(search, grid.descriptor, prior, grid.occupied, trial).chosen
        return achieved(test, jnp.stack([chosen, grid.fitness.argmax()]), body)

    count = jax.tree.leaves(damages)[0].shape[0]
    found, best = jax.vmap(adapt)(jax.random.split(key, count), damages).T
    return jnp.stack([found.mean(), found.min(), best.mean()])


class Network(eqx.Module):
    """Builds policies of the given layer sizes, which hardly act at first.

    The weights of a neuron are normal numbers, brought to length 1, or 0.01 in the last layer.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, key: Key) -> MLP:
        shapes = eqx.filter_eval_shape(mlp, key, self.sizes, last=tanh)
        layout = Layout.of(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
        drawn = layout.tree(jax.random.normal(key, (layout.size,)))  # at once, which compiles in a quarter of the time
        lengths = [1.0] * (len(drawn.layers) - 1) + [0.01]
        return replace(drawn, layers=tuple(map(_brought_to, lengths, drawn.layers)))


def _brought_to(length: float, layer: eqx.nn.Linear) -> eqx.nn.Linear:
    weight = length * layer.weight / jnp.linalg.norm(layer.weight, axis=1, keepdims=True)
    return eqx.tree_at(lambda x: (x.weight, x.bias), layer, (weight, jnp.zeros(len(weight))))
