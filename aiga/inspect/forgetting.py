"""What is learnt and forgotten task by task: matrices of accuracies, what they say, and how they look.

Row 0 of a matrix is before any task, row t after the t-th of T tasks; column j is the accuracy on task j.  Forgetting
is that of Chaudhry et al. (2018), https://arxiv.org/abs/1801.10112, Eq. 3; what each task does to the others is what
Frati et al. (2025), https://arxiv.org/abs/2507.01559, call synergy and interference.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import require
from aiga.runs.report import Figure, style

Matrix = Float[np.ndarray, "_ _"]


class Forgetting(NamedTuple):
    """What a matrix says, each a mean over tasks."""

    learnt: float
    """Accuracy on a task just after it."""
    kept: float
    """Accuracy at the end."""
    forgotten: float
    """The best accuracy on a task from its own end on, less that at the end of all; without the last task."""
    synergy: float
    """What a task adds to the accuracy on each earlier task, where it adds."""
    interference: float
    """What a task takes from the accuracy on each earlier task, where it takes; above zero."""


def measured(matrix: Matrix) -> Forgetting:
    """The numbers of one matrix."""
    after = matrix[1:]
    tasks = after.shape[1]
    since = np.where(np.tril(np.ones((tasks, tasks), bool)), after, -np.inf)
    lost = (since.max(axis=0) - after[-1])[:-1]
    earlier = np.tril(np.ones((tasks, tasks), bool), -1)
    moved = changes(matrix)[earlier]
    mean = [float(values.mean()) if values.size else 0.0 for values in (lost, moved.clip(0), (-moved).clip(0))]
    return Forgetting(float(np.diag(after).mean()), float(after[-1].mean()), *mean)


def changes(matrix: Matrix) -> Matrix:
    """What each task did to the accuracy on every task."""
    return np.diff(matrix, axis=0)


def halfway(curve: Float[np.ndarray, " e"]) -> float:
    """When a curve first is half way from its first value to its highest, in its steps and between them."""
    goal = (curve[0] + curve.max()) / 2
    if goal <= curve[0]:
        return float(len(curve) - 1)
    after = int(np.argmax(curve >= goal))
    return float(after - (curve[after] - goal) / (curve[after] - curve[after - 1]))


def matrices(known: Mapping[str, Matrix], what: str = "task") -> list[Figure]:
    """Of each name, the accuracies and what each task changed, as two figures."""
    accuracies = {name: matrix[1:] for name, matrix in known.items()}
    moved = {name: changes(matrix) for name, matrix in known.items()}
    most = max(0.05, *(float(np.abs(matrix).max()) for matrix in moved.values()))
    return [
        Figure(
            "What is known after each task",
            f"Accuracy on each {what} (across) after each {what} (down); a {what} is learnt on the diagonal, and "
            "what fades below it is forgotten.",
            _heat(accuracies, {"colorscale": "Viridis", "zmin": 0, "zmax": 1}, what),
        ),
        Figure(
            "What each task changes",
            f"Change of the accuracy on each {what} (across) by each {what} (down). Below the diagonal blue is synergy "
            "and red is interference.",
            _heat(moved, {"colorscale": "RdBu", "zmin": -most, "zmax": most}, what),
        ),
    ]


def recoveries(curves: Mapping[str, Float[np.ndarray, " e"]], across: str, caption: str) -> Figure:
    """Accuracies from a reset on."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    for name, values in curves.items():
        figure.add_scatter(x=list(range(len(values))), y=values, mode="lines+markers", name=name)
    style(figure, height=360, xaxis_title=across, yaxis_title="accuracy")
    figure.update_yaxes(rangemode="tozero")
    return Figure("Recovery", caption, figure)


def _heat(known: Mapping[str, Matrix], colours: Mapping[str, object], what: str):
    """Matrices side by side with one scale of colours."""
    graph, subplots = require("plotly.graph_objects", "report"), require("plotly.subplots", "report")
    names: Sequence[str] = list(known)
    figure = subplots.make_subplots(1, len(names), subplot_titles=names, shared_yaxes=True)
    for column, name in enumerate(names, 1):
        matrix, last = known[name], column == len(names)
        count = [i + 1 for i in range(len(matrix))]
        figure.add_trace(graph.Heatmap(z=matrix, x=count, y=count, showscale=last, **colours), row=1, col=column)
        figure.update_xaxes(title=what, row=1, col=column)
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(title=f"after {what}", row=1, col=1)
    style(figure, height=380)
    return figure
