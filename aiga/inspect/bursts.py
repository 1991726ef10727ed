"""Bursts of activity among the weights of a network: how many open and change picture by picture, and which again."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import require
from aiga.runs.report import ACCENT, FAINT, Figure, style


class Burst(NamedTuple):
    """Of one stream of classes."""

    open: Float[np.ndarray, " t"]
    """Share of the gates that are open at each picture."""
    changed: Float[np.ndarray, " t"]
    """Share of the weights that make up nine tenths of a step's change."""
    shared: Float[np.ndarray, "c c"]
    """Of what class i opens, the share that class j opens too."""


def recycled(shared: Float[np.ndarray, "c c"]) -> float:
    """Of what one class opens, the share that another opens too: the mean over all pairs."""
    return float(shared[~np.eye(len(shared), dtype=bool)].mean())


def drawn(known: Mapping[str, Burst]) -> list[Figure]:
    """Of each name, the bursts over the stream, and what classes share, as two figures."""
    return [
        Figure(
            "Bursts",
            "Share of the gates that are open at each picture, and the smallest share of the weights that makes up "
            "nine tenths of the step's change.",
            _lines(known),
        ),
        Figure(
            "Weights that are used again",
            "Of the weights that a class opens (down), the share that another opens too (across).",
            _shares(known),
        ),
    ]


def _lines(known: Mapping[str, Burst]):
    graph, subplots = require("plotly.graph_objects", "report"), require("plotly.subplots", "report")
    figure = subplots.make_subplots(1, len(known), subplot_titles=list(known), shared_yaxes=True)
    for column, burst in enumerate(known.values(), 1):
        for name, values, colour in (("open", burst.open, ACCENT), ("changed", burst.changed, FAINT)):
            line = graph.Scatter(y=values, mode="lines", line={"color": colour}, name=name, showlegend=column == 1)
            figure.add_trace(line, row=1, col=column)
        figure.update_xaxes(title="picture", row=1, col=column)
    style(figure, height=340)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="share", row=1, col=1)
    return figure


def _shares(known: Mapping[str, Burst]):
    graph, subplots = require("plotly.graph_objects", "report"), require("plotly.subplots", "report")
    figure = subplots.make_subplots(1, len(known), subplot_titles=list(known))
    for column, burst in enumerate(known.values(), 1):
        heat = graph.Heatmap(z=burst.shared, zmin=0, zmax=1, colorscale="Viridis", showscale=column == len(known))
        figure.add_trace(heat, row=1, col=column)
        figure.update_xaxes(title="class", row=1, col=column)
    figure.update_yaxes(autorange="reversed")
    style(figure, height=360)
    return figure
