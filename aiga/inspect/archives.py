"""An archive of elites through time: who held which cell, drawn where the cell lies.

Who holds a cell follows from the births alone: the last one that the archive took in there.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from aiga.core.errors import UsageError, require
from aiga.inspect import cells
from aiga.inspect.cells import Division, Points
from aiga.runs.figures import FAINT, Figure, style
from aiga.runs.record import Run

MOMENTS, DRAWN = 40, 120_000
"""Of one figure, and how many cells they have together."""
UNEVEN = 2
"""Times that cells are wider on average than the narrowest: from there on they are drawn alike."""
LATE = 20_000
"""Births of which it is asked whether elites had been moved to other cells."""
MEASURES = ("fitness", "age", "births")
"""Of an elite: fitness, and steps since its birth; and of a cell: how many births it has had."""
COLOURS = ("Viridis", "Cividis", "Magma")
FEW = 5_000
"""Cells around points, up to which the walls between them are drawn, and without WebGL."""


class History(NamedTuple):
    """Who held which cell at some moments."""

    moments: Int[np.ndarray, " t"]
    """Steps of the run."""
    cells: Int[np.ndarray, " c"]
    """The numbers of all cells that were ever taken, rising."""
    holder: Int[np.ndarray, "t c"]
    """The identity of the elite; -1: nobody."""
    fitness: Float[np.ndarray, "t c"]
    """NaN: nobody, or not known."""
    age: Float[np.ndarray, "t c"]
    births: Float[np.ndarray, "t c"]


class Map(NamedTuple):
    """Where cells are drawn: in a table of boxes, or at points."""

    place: Int[np.ndarray, " c"]
    """Of each cell: a box, row by row, or a point."""
    x: Float[np.ndarray, " _"]
    """Edges of boxes, or points."""
    y: Float[np.ndarray, " _"]
    titles: tuple[str, str]
    points: bool
    told: str
    """A sentence on the cells."""
    ticks: tuple[Sequence[float], Sequence[float]] = ((), ())
    """What the edges along each axis are, where cells of very different widths are drawn alike."""


def present(run: Run) -> bool:
    """Whether births have cells."""
    return bool(run.query("SELECT EXISTS (SELECT 1 FROM lineage WHERE cell IS NOT NULL)")[0][0])


def figures(run: Run, choices: Mapping[str, str] = {}) -> list[Figure]:
    """The archive of a run; choices: `x` and `y`, numbers of the dimensions that are the axes, from 1 on."""
    lineage = run.lineage("id", "step", "fitness", "cell")
    rows = lineage["cell"] >= 0
    if not rows.any():
        return []
    found = history({name: column[rows] for name, column in lineage.items()})
    chart = charted(found, cells.division(run, int(found.cells[-1]) + 1), choices)
    held = int((found.holder[-1] >= 0).sum())
    caption = f"{held:,} elites after {rows.sum():,} births, at {len(found.moments)} moments. {chart.told}"
    if _moved(run):
        caption += " The archive was rearranged on the way: each elite is shown where it was born."
    return [Figure("The archive through time", caption, drawn(found, chart))]


def history(lineage: Mapping[str, np.ndarray], most: int = MOMENTS) -> History:
    """Who held which cell, at evenly chosen steps, from the columns of a lineage whose every row has a cell."""
    order = np.argsort(lineage["step"], kind="stable")
    ids, steps, fitness = (lineage[name][order] for name in ("id", "step", "fitness"))
    numbers, place = np.unique(lineage["cell"][order], return_inverse=True)
    every = np.unique(steps)
    count = max(2, min(most, DRAWN // len(numbers)))
    moments = every[np.unique(np.linspace(0, len(every) - 1, count).astype(int))]
    shape = len(moments), len(numbers)
    row, births = np.full(shape, -1), np.zeros(shape)
    start = 0
    for t, end in enumerate(np.searchsorted(steps, moments, side="right").tolist()):
        if t:
            row[t], births[t] = row[t - 1], births[t - 1]
        row[t][place[start:end]] = np.arange(start, end)  # of several births in a cell the last stays
        births[t] += np.bincount(place[start:end], minlength=shape[1])
        start = end
    held = row >= 0
    return History(
        moments,
        numbers,
        np.where(held, ids[row], -1),
        np.where(held & np.isfinite(fitness[row]), fitness[row], np.nan),
        np.where(held, moments[:, None] - steps[row], np.nan),
        np.where(births > 0, births, np.nan),
    )


def charted(found: History, division: Division | None, choices: Mapping[str, str] = {}) -> Map:
    """Where the cells are drawn; without a division, as a sheet in the order of their numbers."""
    if division is None:
        return _sheet(found.cells)
    x, y = _axes(division.dimensions, choices)
    titles = f"descriptor {x + 1}", f"descriptor {y + 1}" if x != y else ""
    if isinstance(division, Points):
        points = division.centroids
        height = points[:, y] if x != y else np.zeros(division.size)
        return Map(found.cells, points[:, x], height, titles, True, "Cells are drawn at their centroids.")
    index = np.unravel_index(found.cells, division.shape)
    edges = [division.edges[x], division.edges[y] if x != y else np.array([-0.5, 0.5])]
    place = index[x] + (len(edges[0]) - 1) * (index[y] if x != y else 0)
    ticks = tuple(axis.tolist() if _uneven(axis) else () for axis in edges)
    drawn = [np.arange(len(axis)) if _uneven(axis) else axis for axis in edges]
    told = f"{division.size:,} cells."
    if division.dimensions > 2:
        told += f" Of the {division.dimensions} dimensions two are drawn, with the best over the others."
    return Map(np.asarray(place), drawn[0], drawn[1], titles, False, told, (ticks[0], ticks[1]))


def _uneven(edges: Float[np.ndarray, " _"]) -> bool:
    return bool(np.ptp(edges) > UNEVEN * np.diff(edges).min() * (len(edges) - 1))


def drawn(found: History, chart: Map) -> Any:
    """The figure: a layer for each measure, under one without colour that carries the names."""
    graph = require("plotly.graph_objects", "report")
    last = len(found.moments) - 1
    styled, kind = _styled(found, chart), {"type": _kind(chart)}
    frames = [
        {"name": str(step), "data": [layer | kind for layer in _layers(found, chart, t)], "traces": [0, 1, 2, 3]}
        for t, step in enumerate(found.moments.tolist())
    ]
    figure = graph.Figure(
        [_joined(*pair) for pair in zip(styled, _layers(found, chart, last), strict=True)], frames=frames
    )
    if chart.points and len(chart.x) <= FEW:
        figure.add_scatter(**_walls(chart), mode="lines", line={"color": FAINT, "width": 0.4}, hoverinfo="skip")
    style(figure, height=620, xaxis_title=chart.titles[0], yaxis_title=chart.titles[1], showlegend=False)
    figure.update_layout(sliders=[_slider(found.moments)], updatemenus=_menus(len(figure.data)), margin={"t": 70})
    for axis, title, ticks in zip(("xaxis", "yaxis"), chart.titles, chart.ticks, strict=True):
        if not title:
            figure.update_layout({axis: {"showticklabels": False, "showgrid": False, "zeroline": False}})
        if ticks:
            labels = [f"{edge:.3g}" for edge in ticks]
            figure.update_layout({axis: {"tickvals": list(range(len(ticks))), "ticktext": labels}})
    return figure


def _layers(found: History, chart: Map, t: int) -> list[dict[str, Any]]:
    """What changes from moment to moment: the names, and a layer for each measure."""
    held = np.flatnonzero(found.holder[t] >= 0)
    ranked = held[np.argsort(np.nan_to_num(found.fitness[t, held], nan=-np.inf), kind="stable")]
    place = chart.place[ranked]  # of cells that share a place the best is the last, and stays
    names = np.full(_size(chart), "", object)
    names[place] = found.holder[t, ranked].astype(str)
    values = [_placed(chart, place, getattr(found, measure)[t, ranked]) for measure in MEASURES]
    if chart.points:
        y = np.full(_size(chart), np.nan, np.float32)
        y[place] = chart.y[place]  # no other way to hide a point
        named = {"y": y, "customdata": names, "marker": {"color": values[0]}}
        return [named, *({"y": y, "marker": {"color": value}} for value in values)]
    shape = len(chart.y) - 1, len(chart.x) - 1
    table = [value.reshape(shape) for value in values]
    return [{"z": table[0], "customdata": names.reshape(shape)}, *({"z": value} for value in table)]


def _styled(found: History, chart: Map) -> list[dict[str, Any]]:
    """What stays: the layer of names without colour, and that of each measure, of which the first is seen."""
    kind = _kind(chart)
    worth = "marker.color" if chart.points else "z"
    where = "" if any(chart.ticks) or not any(chart.titles) else "%{x:.3g}, %{y:.3g}<br>"
    hover = f"{where}elite %{{customdata}}<br>fitness %{{{worth}:.4g}}<extra></extra>"
    both = {"type": kind, "x": chart.x, "hovertemplate": hover} | ({} if chart.points else {"y": chart.y})
    size = float(np.clip(560 / math.sqrt(len(chart.x)), 3, 18))
    marker = {"mode": "markers", "marker": {"size": size, "opacity": 0}}
    named = both | (marker if chart.points else {"opacity": 0, "showscale": False, "hoverongaps": False})
    layers = [named]
    for i, (measure, colours) in enumerate(zip(MEASURES, COLOURS, strict=True)):
        low, high = _range(getattr(found, measure))
        bar = {"title": {"text": measure}, "thickness": 14}
        colour = {"colorscale": colours, "colorbar": bar, "showscale": True}
        seen = {"type": kind, "x": chart.x, "hoverinfo": "skip", "visible": i == 0}
        if chart.points:
            layers.append(seen | {"mode": "markers", "marker": colour | {"size": size, "cmin": low, "cmax": high}})
        else:
            layers.append(seen | colour | {"y": chart.y, "zmin": low, "zmax": high})
    return layers


def _joined(styled: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """A whole trace; both have something to say of markers."""
    marker = {**styled.get("marker", {}), **layer.get("marker", {})}
    return {**styled, **layer} | ({"marker": marker} if marker else {})


def _range(values: Float[np.ndarray, "t c"]) -> tuple[float | None, float | None]:
    """From nearly the lowest at the end to the highest of all, so that one outlier does not darken all others."""
    last = values[-1][np.isfinite(values[-1])]
    return (float(np.percentile(last, 2)), float(np.nanmax(values))) if last.size else (None, None)


def _kind(chart: Map) -> str:
    few = len(chart.x) <= FEW
    return ("scatter" if few else "scattergl") if chart.points else "heatmap"


def _size(chart: Map) -> int:
    return len(chart.x) if chart.points else (len(chart.x) - 1) * (len(chart.y) - 1)


def _placed(chart: Map, place: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " _"]:
    table = np.full(_size(chart), np.nan, np.float32)
    table[place] = values
    return table


def _sheet(numbers: Int[np.ndarray, " c"]) -> Map:
    """Cells that lie nowhere, line by line, in the order of their numbers."""
    width = math.ceil(math.sqrt(len(numbers)))
    edges = np.arange(width + 1) - 0.5, np.arange(math.ceil(len(numbers) / width) + 1) - 0.5
    told = "Where the cells lie is not on record, so they stand line by line in the order of their numbers."
    return Map(np.arange(len(numbers)), *edges, ("", ""), False, told)


def _axes(dimensions: int, choices: Mapping[str, str]) -> tuple[int, int]:
    """The dimensions that are drawn, from 0 on; the same twice: there is one alone."""
    if dimensions == 1:
        return 0, 0
    chosen = []
    for axis, default in (("x", "1"), ("y", "2")):
        given = choices.get(axis, default)
        if not (given.isascii() and given.isdigit() and 1 <= int(given) <= dimensions):
            raise UsageError(f"`{axis}` is {given[:40]!r}: give the number of a dimension, from 1 to {dimensions}.")
        chosen.append(int(given) - 1)
    if chosen[0] == chosen[1]:
        raise UsageError(f"`x` and `y` are both {chosen[0] + 1}: give two different dimensions.")
    return chosen[0], chosen[1]


def _moved(run: Run) -> bool:
    """Whether late births replaced elites that were born in other cells."""
    late = f"SELECT cell, replaced FROM lineage WHERE replaced >= 0 ORDER BY id DESC LIMIT {LATE}"
    moved = f"SELECT 1 FROM ({late}) late JOIN lineage ON lineage.id = late.replaced WHERE lineage.cell <> late.cell"
    return bool(run.query(f"SELECT EXISTS ({moved})")[0][0])


def _walls(chart: Map) -> dict[str, Any]:
    """The borders of the cells around points, those at the rim left out."""
    from scipy.spatial import QhullError, Voronoi

    try:
        found = Voronoi(np.stack([chart.x, chart.y], axis=1))
    except QhullError:  # the points lie on a line, or are too few
        return {"x": [], "y": []}
    ends = np.array([ridge for ridge in found.ridge_vertices if min(ridge) >= 0], int).reshape(-1, 2)
    corners = np.clip(found.vertices[ends], found.min_bound, found.max_bound)
    lines = np.full((len(ends), 3, 2), np.nan)
    lines[:, :2] = corners
    return {"x": lines[..., 0].ravel(), "y": lines[..., 1].ravel()}


def _slider(moments: Int[np.ndarray, " t"]) -> dict[str, Any]:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"method": "animate", "label": f"{m:,}", "args": [[str(m)], still]} for m in moments.tolist()]
    shown = {"prefix": "step ", "xanchor": "left"}
    return {"active": len(steps) - 1, "steps": steps, "currentvalue": shown, "pad": {"t": 45}, "len": 0.86, "x": 0.14}


def _menus(traces: int) -> list[dict[str, Any]]:
    """Which measure is the colour; play and pause."""
    others = [True] * (traces - 1 - len(MEASURES))
    colour = [
        {
            "label": measure,
            "method": "restyle",
            "args": [{"visible": [True, *(m == measure for m in MEASURES), *others]}],
        }
        for measure in MEASURES
    ]
    play = {"frame": {"duration": 120, "redraw": True}, "transition": {"duration": 0}, "mode": "immediate"}
    pause = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    buttons = [
        {"label": "▶", "method": "animate", "args": [None, play]},
        {"label": "❚❚", "method": "animate", "args": [[None], pause]},
    ]
    above = {"y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left", "direction": "down"}
    beside = {"type": "buttons", "direction": "left", "x": 0, "xanchor": "left", "y": 0, "yanchor": "top"}
    return [above | {"buttons": colour}, beside | {"buttons": buttons, "pad": {"t": 52}, "showactive": False}]
