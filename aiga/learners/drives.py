"""Networks that steer a robot through the hard maze, given as seed chains or as weights."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.core.protocols import Evaluation, Key
from aiga.core.trees import Layout
from aiga.envs.maze import FEATURES, HARD_MAZE, Maze
from aiga.learners.episodes import Played, play, trace
from aiga.nn.mlp import mlp
from aiga.strategies.noise import NoiseTable
from aiga.strategies.seed_chains import Chains, Decoder, on_host


class Drive:
    """The hard maze, for chains that say how a small network steers a robot."""

    def __init__(self, hidden: int, table: NoiseTable, remember: int) -> None:
        network = mlp(jax.random.key(0), (FEATURES, hidden, 2), last=jax.nn.sigmoid)
        fan_in = jax.tree.map(lambda x: jnp.full(x.shape, x.shape[1] ** -0.5 if x.ndim == 2 else 0.0), network)
        self.layout = Layout.of(network)
        self.numbers = self.layout.size
        self.scale = np.asarray(self.layout.flat(fan_in))
        self.decoder = Decoder(np.asarray(table.values), self.scale, remember)

    def evaluate(self, key: Key, chains: Chains) -> Evaluation:
        weights = np.stack([self.decoder.weights(chain) for chain in on_host(chains)])
        return driven(key, self.layout, jnp.asarray(weights))


@eqx.filter_jit
def driven(key: Key, layout: Layout, weights: Float[Array, "n w"]) -> Evaluation:
    """Minus the distance to the goal at the end; the descriptor is where that is."""
    maze = Maze()
    return _judged(play(key, maze, HARD_MAZE, steer, layout.tree(weights), maze.steps))


@eqx.filter_jit
def traced(
    key: Key, layout: Layout, weights: Float[Array, "n w"], rows: Int[Array, " m"]
) -> tuple[Evaluation, Float[Array, "t m 2"]]:
    """What `driven` gives, and where some of the robots were, at first and after every step."""
    maze = Maze()

    def look(state: Any) -> Float[Array, "m 2"]:
        return state.position[rows]

    played, path = trace(key, maze, HARD_MAZE, steer, layout.tree(weights), maze.steps, look=look)
    return _judged(played), path


def _judged(played: Played) -> Evaluation:
    return Evaluation(played.returned, played.state.position, played.length)


def steer(key: Key, network: Any, seen: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
    """The network's answer is the action."""
    del key
    return network(seen), memory
