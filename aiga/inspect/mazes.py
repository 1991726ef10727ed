"""Pictures of robots in mazes: walls, ways, start and goal."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import require
from aiga.core.protocols import Key
from aiga.envs.maze import Maze, MazeParams
from aiga.learners.episodes import Act
from aiga.runs.report import INK, style


@eqx.filter_jit
def follow(
    key: Key, env: Maze, params: MazeParams, act: Act, genomes: PyTree, memory: PyTree = ()
) -> Float[Array, "n t 2"]:
    """Where `n` robots in one maze are at the start and after every action; after the end of an episode they stand."""

    n = jax.tree.leaves(genomes)[0].shape[0]
    begin, go = jax.random.split(key)
    state, observation = jax.vmap(env.reset, (0, None))(jax.random.split(begin, n), params)
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), memory)

    def step(now: tuple[Any, Array, PyTree], key: Key) -> tuple[tuple[Any, Array, PyTree], Array]:
        decide, move = (jax.random.split(one, n) for one in jax.random.split(key))
        action, carry = jax.vmap(act)(decide, genomes, now[1], now[2])
        after = jax.vmap(env.step, (0, 0, 0, None))(move, now[0], action, params)
        return (after.state, after.observation, carry), after.state.position

    path = jax.lax.scan(step, (state, observation, carry), jax.random.split(go, env.steps))[1]
    return jnp.concatenate([state.position[None], path]).swapaxes(0, 1)


def draw(params: MazeParams, trajectories: Any = (), names: Sequence[str] = (), ends: Any = None) -> Any:
    """A plotly figure of a maze from above, y downwards.

    Args:
        params: The maze.
        trajectories: Ways as arrays of (x, y), (n, t, 2) or a sequence of (t, 2), from violet to yellow.
        names: Of the ways, for a legend.
        ends: Places to mark as (x, y), (n, 2), such as where robots ended.
    """
    graph = require("plotly.graph_objects", "report")
    colours = require("plotly.colors", "report")
    figure = graph.Figure()
    walls = np.asarray(params.walls)
    gap = np.full(len(walls), np.nan)
    x, y = (np.stack([walls[:, i], walls[:, i + 2], gap], axis=1).ravel() for i in (0, 1))
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": INK, "width": 3}, showlegend=False, hoverinfo="skip")
    if ends is not None:
        marker = {"size": 5, "color": "#4c78a8", "opacity": 0.5}
        figure.add_scatter(x=ends[:, 0], y=ends[:, 1], mode="markers", marker=marker, showlegend=False)
    ways = [np.asarray(way) for way in trajectories]
    shades = colours.sample_colorscale("Plasma", np.linspace(0.05, 0.85, len(ways)).tolist()) if ways else []
    for i, (way, colour) in enumerate(zip(ways, shades, strict=True)):
        name = names[i] if i < len(names) else f"way {i + 1}"
        figure.add_scatter(x=way[:, 0], y=way[:, 1], mode="lines", line={"color": colour, "width": 2}, name=name)
    for place, text, colour in ((params.start, "start", "#2b8a3e"), (params.goal, "goal", "#c92a2a")):
        marker = {"color": colour, "size": 12}
        text_at = {"text": [text], "textposition": "middle right", "mode": "markers+text"}
        figure.add_scatter(x=[place[0]], y=[place[1]], marker=marker, **text_at, showlegend=False)
    figure.update_yaxes(autorange="reversed", scaleanchor="x", visible=False)
    figure.update_xaxes(visible=False)
    style(figure, height=560, width=640, showlegend=bool(names))
    return figure
