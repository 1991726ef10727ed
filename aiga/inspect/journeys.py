"""Pictures of policies that find their way in a maze of keys and doors: the course of it, and the maze."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from aiga.archives.visits import Visits
from aiga.core.errors import require
from aiga.envs.rooms import Layout
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style


def course(run: Run) -> Figure:
    """Cells, and how often returning succeeds, against steps."""
    subplots = require("plotly.subplots", "report")
    names = [name for name in ("archive/cells", "return/success") if name in run.latest()]
    figure = subplots.make_subplots(1, len(names), subplot_titles=names)
    steps = run.metric("learner/steps").values
    goal = int(run.latest()["goal/steps"])
    for column, name in enumerate(names, 1):
        line = {"color": ACCENT, "width": 2}
        figure.add_scatter(x=steps, y=run.metric(name).values, mode="lines", line=line, row=1, col=column)
        figure.update_xaxes(title="steps in all worlds", row=1, col=column)
        if goal >= 0:
            figure.add_vline(x=goal, line={"color": FAINT, "dash": "dot"}, row=1, col=column)
    style(figure, height=340, showlegend=False)
    when = f"after {goal:,} steps (dotted)" if goal >= 0 else "not in this run"
    return Figure("The course of the exploration", f"The goal of the maze was reached {when}.", figure)


def maze(layout: Layout, visits: Visits, way: Int[np.ndarray, " l"] | None = None) -> Figure:
    """Where actions were taken, whatever had been done by then, and the cells of a way."""
    graph = require("plotly.graph_objects", "report")
    walls = np.asarray(layout.walls)
    counts = np.asarray(visits.counts).reshape(-1, walls.size).sum(axis=0).reshape(walls.shape)
    figure = graph.Figure()
    dark = [[0, "#39424e"], [1, "#39424e"]]
    figure.add_heatmap(z=np.where(walls, 1, np.nan), colorscale=dark, showscale=False, hoverinfo="skip")
    heat = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
    figure.add_heatmap(z=heat, colorscale=["#e6f0f7", "#7fa8c9"], colorbar={"title": "actions<br>(log10)"})
    caption = "Colour: actions taken on each square; white: never reached."
    if way is not None:
        _draw_way(figure, way, walls)
        caption += (
            f" Line: the best way, {len(way):,} cells, from violet to yellow with every key taken or door opened."
        )
    for (row, column), text in _marks(layout):
        figure.add_annotation(x=column, y=row, text=f"<b>{text}</b>", showarrow=False, bgcolor="rgba(255,255,255,.8)")
    figure.update_yaxes(autorange="reversed", scaleanchor="x", visible=False)
    figure.update_xaxes(visible=False)
    style(figure, height=620, width=720, showlegend=False)
    return Figure("The maze", caption, figure)


def _draw_way(figure: Any, way: Int[np.ndarray, " l"], walls: Bool[np.ndarray, "h w"]) -> None:
    """A line through the cells, whose colour changes with what has been done."""
    row, column = np.divmod(way % walls.size, walls.shape[1])
    starts = np.flatnonzero(np.diff(way // walls.size, prepend=-1))
    colours = require("plotly.colors", "report").sample_colorscale(
        "Plasma", np.linspace(0.1, 0.9, len(starts)).tolist()
    )
    shift = np.linspace(-0.2, 0.2, len(starts))  # so that ways there and back do not cover each other
    for begin, end, colour, by in zip(starts, [*starts[1:] + 1, len(way)], colours, shift, strict=True):
        line = {"color": colour, "width": 2.5}
        figure.add_scatter(x=column[begin:end] + by, y=row[begin:end] + by, mode="lines", line=line)


def _marks(layout: Layout) -> list[tuple[tuple[int, int], str]]:
    """Where start, goal, keys (small letters) and doors (capitals) are."""
    marks = [(layout.start, "start"), (layout.goal, "goal")]
    for things, colours, first in ((layout.keys, layout.key_colours, "a"), (layout.doors, layout.door_colours, "A")):
        letters = [chr(ord(first) + int(i)) for i in np.asarray(colours).argmax(axis=1)]
        marks += zip(things, letters, strict=True)
    return [((int(at[0]), int(at[1])), text) for at, text in marks]
