"""What the report shows of an archive of texts: its cells, its elites word for word, and what its judge is worth."""

from collections.abc import Callable
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from aiga.archives.bins import bins_of
from aiga.archives.grid import Grid
from aiga.core.errors import require
from aiga.data.writing import Axis, Writing
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style

WIDTH = 60
"""Letters in a line of a hover text."""


def figures(archive: Grid, writing: Writing, read: Callable[[np.ndarray], str]) -> list[Figure]:
    """The quality of every cell, with the text on hovering, and all texts; `read` gives the text of a name."""
    cells, fitness, names = bins_of(archive.cells), np.asarray(archive.fitness), np.asarray(archive.genomes.text)
    texts = {row: read(names[row]) for row in np.flatnonzero(np.isfinite(fitness)).tolist()}
    labels = [_labels(axis, edges) for axis, edges in zip(writing.axes, np.asarray(cells.edges), strict=True)]
    quality = np.where(np.isfinite(fitness), fitness, np.nan).reshape(cells.shape[0], -1)
    rows = [
        {
            **{
                a.name: names[i]
                for a, names, i in zip(writing.axes, labels, np.unravel_index(row, cells.shape), strict=True)
            },
            "quality": f"{fitness[row]:.3f}",
            "text": text,
        }
        for row, text in texts.items()
    ]
    caption = f"{len(texts):,} of {fitness.size:,} cells have a text; hover over one to read it."
    shown = np.array([folded(texts.get(row, "")) for row in range(fitness.size)], object).reshape(quality.shape)
    heat = _heat(quality, shown, labels, [_title(axis) for axis in writing.axes])
    return [Figure("The archive", caption, heat), Figure("The texts", "", rows)]


def ancestry(run: Run) -> Figure:
    """The longest line from a text through the first examples that it and its ancestors were made from."""
    lineage = run.lineage()
    depth: dict[int, int] = {}
    for identity, parent in zip(lineage["id"].tolist(), lineage["parent"].tolist(), strict=True):
        depth[identity] = depth.get(parent, 0) + 1
    line = (
        np.array(run.ancestors(max(depth, key=lambda identity: depth[identity]))[::-1]) if depth else np.zeros(0, int)
    )
    told = [
        {
            "step": int(lineage["step"][row]),
            "quality": f"{lineage['fitness'][row]:.3f}",
            "text": run.blob(str(lineage["blob"][row])).decode(),
        }
        for row in np.searchsorted(lineage["id"], line).tolist()
    ]
    return Figure("The longest line", "Each text was made from the one before it, and from other examples.", told)


def _title(axis: Axis) -> str:
    return f"{axis.name}: P({axis.options[0]})" if len(axis.options) == 2 else axis.name


def _labels(axis: Axis, edges: np.ndarray) -> list[str]:
    """What the cells along an axis are called."""
    if len(axis.options) > 2:
        return list(axis.options)
    return [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]


def _heat(quality: np.ndarray, texts: np.ndarray, labels: list[list[str]], titles: list[str]) -> Any:
    graph = require("plotly.graph_objects", "report")
    two = len(titles) > 1
    heat = graph.Heatmap(z=quality.T, x=labels[0], y=labels[1] if two else [""], text=texts.T, zmin=0, zmax=1)
    hover = "quality %{z:.3f}<br>%{text}<extra></extra>"
    heat.update(colorscale="Viridis", hovertemplate=hover, colorbar={"title": "quality"})
    figure = graph.Figure(heat)
    style(figure, height=560 if two else 240, xaxis_title=titles[0], yaxis_title=titles[1] if two else "")
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category")
    return figure


def calibration(
    opinions: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], threshold: float, found: dict[str, Any]
) -> Figure:
    """What the judge says of labelled texts, and its threshold."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    spread = np.linspace(-0.3, 0.3, max(len(labels), 1))
    for label, name, colour in ((True, "labelled yes", ACCENT), (False, "labelled no", FAINT)):
        rows = labels == label
        figure.add_scatter(
            x=opinions[rows], y=spread[rows] + label, mode="markers", name=name, marker={"color": colour, "size": 9}
        )
    figure.add_vline(x=threshold, line_dash="dot")
    ticks = {"tickvals": [0, 1], "ticktext": ["labelled no", "labelled yes"]}
    style(figure, height=240, xaxis_title="the judge's probability of yes", yaxis=ticks, showlegend=False)
    share = {name: float(found.get(f"calibration/{name}", "nan")) for name in ("accuracy", "balanced", "accepted")}
    caption = (
        f"{len(labels)} labelled texts; threshold {threshold:.3g} (dotted). Of texts that the threshold was not chosen "
        f"by, {share['accuracy']:.0%} are judged rightly, {share['balanced']:.0%} as the mean of both kinds. The judge "
        f"says yes to {share['accepted']:.0%}. {found.get('calibration/warning', '')}"
    )
    return Figure("Calibration of the judge", caption, figure)


def folded(text: str) -> str:
    """A text as lines that plotly shows as they are."""
    lines = []
    for line in text.splitlines():
        while len(line) > WIDTH:
            cut = line.rfind(" ", 0, WIDTH)
            cut = cut if cut > 0 else WIDTH
            lines.append(line[:cut])
            line = line[cut:].strip()
        lines.append(line)
    return "<br>".join(escape(line) for line in lines[:20])
