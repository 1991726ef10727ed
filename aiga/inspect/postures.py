"""Elites whose life is a moment: an arm as it is bent, or a row of numbers."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from aiga.archives.grid import Grid
from aiga.core.errors import require
from aiga.core.protocols import Evaluation, Key
from aiga.core.trees import take
from aiga.envs.arm import Arm
from aiga.inspect.vine import Individual, compared, words
from aiga.runs.report import ACCENT, FAINT, INK, Figure, style


def again(evaluate: Callable[..., Evaluation], grid: Grid, individual: Individual) -> Figure:
    """An elite evaluated again."""
    row = individual.row(grid.identity)
    genome = take(grid.genomes, slice(row, row + 1))
    found = _evaluated(evaluate, jax.random.key(0), genome)
    fitness, descriptor = np.asarray(grid.fitness)[row], np.asarray(grid.descriptor)[row]
    caption = (
        f"Individual {individual.name}. Recorded: fitness {words(fitness)}, behaviour {words(descriptor)}. Again, the "
        f"fitness is {compared(fitness, found.fitness[0])}, the behaviour {compared(descriptor, found.descriptor[0])}."
    )
    if isinstance(evaluate, Arm):
        return Figure("The arm", caption, arm(np.asarray(evaluate.joint_positions(genome))[0]))
    return Figure("The numbers", caption, numbers(np.asarray(genome)[0]))


def arm(joints: Float[np.ndarray, "g 2"]) -> Any:
    """An arm from above, in the disc that it can reach."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    points = np.concatenate([[[0.5, 0.5]], joints])
    turn = np.linspace(0, 2 * np.pi, 121)
    circle = {"x": 0.5 + np.cos(turn) / 2, "y": 0.5 + np.sin(turn) / 2}
    figure.add_scatter(**circle, mode="lines", line={"color": FAINT, "dash": "dot"}, hoverinfo="skip")
    bones, joint = {"color": INK, "width": 6}, {"color": "#fff", "size": 9, "line": {"color": INK, "width": 2}}
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="lines+markers", line=bones, marker=joint)
    end = {"color": ACCENT, "size": 14}
    figure.add_scatter(x=points[-1:, 0], y=points[-1:, 1], mode="markers", marker=end, name="the end")
    style(figure, height=520, width=560, showlegend=False)
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.02], scaleanchor="x")
    return figure


def numbers(genome: Float[np.ndarray, " g"]) -> Any:
    """A genome as bars."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure(graph.Bar(y=genome, marker={"color": ACCENT}))
    style(figure, height=320, xaxis_title="number", yaxis_title="value")
    return figure


@eqx.filter_jit
def _evaluated(evaluate: Callable[..., Evaluation], key: Key, genomes: Any) -> Evaluation:
    return evaluate(key, genomes)
