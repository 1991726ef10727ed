"""The picture of clouds in planes: what does not change, and what the slider chooses.

All individuals are drawn once and stay; the chosen generations are small SVG traces, which plotly's frames move without
drawing the rest again.  Without a graphics card, 200,000 individuals as a scattergl trace take seconds to paint and as
long whenever the view moves; so of many individuals the background is a picture of how dense they are.
"""

import base64
import colorsys
import io
from bisect import bisect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from aiga.core.errors import require
from aiga.inspect.planes import Plane
from aiga.runs.report import ACCENT, FAINT, INK, style

SHADES = 5
RANGE = 3
"""Generations that are visible together."""
STOPS, LARGE, FRAMED = 200, 400, 20_000
"""The most generations on the slider, individuals of one of them, and individuals of all of them."""
MANY = 20_000
"""Individuals from which on the background is a picture."""
PIXELS = (640, 400)
"""Of the picture."""
WAY = 2_000
"""The most places of a parent's way."""
CLEAR = 100
"""Places of a way that is drawn in full ink; a longer one is fainter, since it would hide the individuals."""
LINES = (INK, ACCENT, "#1971c2", "#2b8a3e")
"""Of the fitness of each panel's parents."""

Moment = tuple[int, int]
"""A step, and which of the step's generations."""


class Panel(NamedTuple):
    """A plane with what the drawing of it needs."""

    plane: Plane
    moments: list[Moment]
    """Of each generation."""
    starts: Int[np.ndarray, " g1"]
    """Where the individuals of each generation begin, and where the last one's end."""

    @classmethod
    def of(cls, plane: Plane) -> "Panel":
        """With everything computed."""
        starts = np.searchsorted(plane.row, np.arange(len(plane.listed) + 1))
        return cls(plane, list(_moments(plane)), starts)

    @property
    def way(self) -> Float[np.ndarray, "w 2"]:
        """Where the parents were, with a gap where another line begins."""
        generation = np.array([one.generation for one in self.plane.listed])
        gaps = np.flatnonzero(np.diff(generation) <= 0) + 1
        return np.insert(self.plane.parents.astype(np.float32), gaps, np.nan, axis=0)[-WAY:]

    def means(self) -> Float[np.ndarray, " g"]:
        """The mean fitness of each generation."""
        total = np.append(0.0, np.cumsum(self.plane.fitness, dtype=float))
        return np.diff(total[self.starts]) / np.maximum(np.diff(self.starts), 1)


def drawn(planes: Sequence[Plane]) -> Any:
    """The planes beside each other, fitness below, a slider for the generation; panels share the moments of a run."""
    shown = [Panel.of(plane) for plane in planes]
    moments = sorted({moment for panel in shown for moment in panel.moments})
    order = {moment: i for i, moment in enumerate(moments)}
    figure, places = _grid(planes)
    for i, panel in enumerate(shown):
        _still(figure, panel, places[i])
        _fitness(figure, panel, places[-1], order, LINES[i % len(LINES)])
    first, stops = len(figure.data), _stops(shown, moments)
    frames = [[trace for panel in shown for trace in _moving(panel, moments[stop], order)] for stop in stops]
    for i, trace in enumerate(frames[-1]):
        panel, part = divmod(i, RANGE + 2)
        row, column = places[-1] if part == RANGE + 1 else places[panel]
        figure.add_trace({"type": "scatter", **trace}, row=row, col=column)
    _animate(figure, frames, [_label(shown, moments[stop]) for stop in stops], first)
    return figure


def _grid(planes: Sequence[Plane]) -> tuple[Any, list[tuple[int, int]]]:
    """An empty figure, and row and column of the panel of each plane and, last, of that for fitness."""
    subplots = require("plotly.subplots", "report")
    columns, count = min(2, len(planes)), len(planes)
    rows = -(-count // columns)
    specs: list[list[Any]] = [[{} if r * columns + c < count else None for c in range(columns)] for r in range(rows)]
    specs.append([{"colspan": columns}, *[None] * (columns - 1)])
    heights = [*[430 if rows == 1 else 340] * rows, 130]
    titles = [plane.series for plane in planes] if count > 1 else None
    gap = 70 / sum(heights)
    figure = subplots.make_subplots(
        rows + 1, columns, specs=specs, row_heights=heights, subplot_titles=titles, vertical_spacing=gap
    )
    places = [(i // columns + 1, i % columns + 1) for i in range(count)] + [(rows + 1, 1)]
    for plane, (row, column) in zip(planes, places, strict=False):
        figure.update_xaxes(title=plane.axes[0], row=row, col=column)
        figure.update_yaxes(title=plane.axes[1], row=row, col=column)
    figure.update_xaxes(title="recorded generation", row=rows + 1, col=1)
    figure.update_yaxes(title="fitness", row=rows + 1, col=1)
    style(figure, height=sum(heights) + 70 * rows + 190, showlegend=False, hovermode="closest")
    return figure, places


def _still(figure: Any, panel: Panel, place: tuple[int, int]) -> None:
    """All individuals, faintly, and the way of the parent."""
    plane, where = panel.plane, {"row": place[0], "col": place[1]}
    if len(plane.places) > MANY:
        _dense(figure, plane.places, where)
    else:
        x, y = plane.places.astype(np.float32).T.copy()
        marker = {"size": 3, "color": FAINT, "opacity": 0.35}
        figure.add_scattergl(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", **where)
    look = {"line": {"color": INK, "width": 1, "dash": "dash"}, "opacity": max(0.15, min(1.0, CLEAR / len(panel.way)))}
    figure.add_scatter(x=panel.way[:, 0], y=panel.way[:, 1], mode="lines", hoverinfo="skip", **look, **where)


def _dense(figure: Any, places: Float[np.ndarray, "n 2"], where: dict[str, int]) -> None:
    """A picture of how dense the individuals are, darker by their logarithm."""
    image = require("PIL.Image", "report")
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.maximum(high - low, 1e-9)
    counts = np.histogram2d(*places.T, bins=PIXELS, range=np.stack([low, low + span], axis=1))[0].T[::-1]
    alpha = np.where(counts > 0, 70 + 185 * np.log1p(counts) / np.log1p(counts.max()), 0)
    grey = np.full(counts.shape, 134)
    data = io.BytesIO()
    image.fromarray(np.stack([grey, grey + 8, grey + 16, alpha], axis=2).astype(np.uint8)).save(data, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    (x, y), (width, height) = (low[0], high[1]), span
    figure.add_layout_image(
        source=source, x=x, y=y, sizex=width, sizey=height, sizing="stretch", layer="below", **where
    )
    figure.update_xaxes(range=[low[0] - 0.03 * width, low[0] + 1.03 * width], **where)
    figure.update_yaxes(range=[low[1] - 0.03 * height, low[1] + 1.03 * height], **where)


def _fitness(figure: Any, panel: Panel, place: tuple[int, int], order: dict[Moment, int], colour: str) -> None:
    """Of the parents, and the mean of their offspring."""
    x = np.array([order[moment] for moment in panel.moments])
    values = np.array([one.fitness for one in panel.plane.listed], np.float32)
    rows, where = np.arange(len(x))[-WAY:], {"row": place[0], "col": place[1]}
    mean = {"color": colour, "width": 1, "dash": "dot"}
    known = {"x": x[rows], "mode": "lines", "opacity": 0.6}
    figure.add_scatter(**known, y=panel.means()[rows].astype(np.float32), line=mean, name="offspring", **where)
    if np.isfinite(values).any():
        names = [[_name(panel.plane.listed[row].parent)] for row in rows]
        hover = "parent %{customdata[0]}<br>fitness %{y:.4g}<extra></extra>"
        look = {"mode": "lines+markers", "line": {"color": colour, "width": 1.5}, "marker": {"size": 4}}
        figure.add_scatter(x=x[rows], y=values[rows], customdata=names, hovertemplate=hover, **look, **where)


def _moving(panel: Panel, moment: Moment, order: dict[Moment, int]) -> Iterator[dict[str, Any]]:
    """The traces of a frame: the last generations at a moment, the youngest last, its parent, and the fitness of it."""
    last = bisect(panel.moments, moment) - 1
    for back in reversed(range(RANGE)):
        yield _generation(panel, last - back)
    plane, row = panel.plane, max(last, 0)
    about = plane.listed[row]
    star = {"symbol": "star", "size": 13, "color": "#fff", "line": {"color": INK, "width": 2}}
    x, y = plane.parents[row].tolist()
    hover = "parent %{customdata[0]}<extra></extra>"
    known = {"customdata": [[_name(about.parent)]], "hovertemplate": hover}
    yield {"x": [_short(x)], "y": [_short(y)], "mode": "markers", "marker": star, **known}
    value = about.fitness if np.isfinite(about.fitness) else float(panel.means()[row])
    ring = {"size": 10, "color": _colours(row)[-1], "line": {"color": INK, "width": 1}}
    x = order[panel.moments[row]]
    yield {"x": [x], "y": [_short(value)], "mode": "markers", "marker": ring, "hoverinfo": "skip"}


def _generation(panel: Panel, row: int) -> dict[str, Any]:
    """The individuals of a generation, or of a large one some, the best among them."""
    plane = panel.plane
    rows = np.arange(panel.starts[row], panel.starts[row + 1]) if row >= 0 else np.zeros(0, int)
    if len(rows) > LARGE:
        best = rows[plane.fitness[rows].argmax()]
        rows = np.unique(np.append(rows[np.linspace(0, len(rows) - 1, LARGE).astype(int)], best))
    colours = _colours(max(row, 0))
    scale = [[i / (SHADES - 1), colour] for i, colour in enumerate(colours)]
    marker = {"size": 6, "color": _shades(plane.fitness[rows]), "colorscale": scale, "cmin": 0, "cmax": SHADES - 1}
    number = plane.listed[row].id if row >= 0 else 0
    x, y = plane.places[rows].astype(np.float32).T.copy()
    names = np.empty((len(rows), 2), object)  # an array, since plotly copies lists one number at a time
    names[:, 0] = [f"c{number}.{i}" for i in plane.number[rows].tolist()]
    names[:, 1] = [_short(value) for value in plane.fitness[rows].tolist()]
    return {
        "x": x,
        "y": y,
        "mode": "markers",
        "marker": {**marker, "line": {"width": 0.5, "color": "#fff"}},
        "customdata": names,
        "hovertemplate": "%{customdata[0]}<br>%{x:.4g}, %{y:.4g}<br>fitness %{customdata[1]:.4g}<extra></extra>",
    }


def _animate(figure: Any, frames: list[list[dict[str, Any]]], labels: list[str], first: int) -> None:
    """Frames, slider, buttons to play and for how many generations are visible."""
    traces = list(range(first, first + len(frames[0])))
    figure.frames = [
        {"name": str(i), "data": [{"type": "scatter", **trace} for trace in frame], "traces": traces}
        for i, frame in enumerate(frames)
    ]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    slow = {**at_once, "frame": {"duration": 350, "redraw": False}, "fromcurrent": True}
    steps = [{"label": label, "method": "animate", "args": [[str(i)], at_once]} for i, label in enumerate(labels)]
    older = [index for index in traces if (index - first) % (RANGE + 2) < RANGE - 1]
    visible = [
        {"label": f"{n}", "method": "restyle", "args": [{"visible": _visible(older, n)}, older]}
        for n in range(1, RANGE + 1)
    ]
    play = [
        {"label": "Play", "method": "animate", "args": [None, slow]},
        {"label": "Pause", "method": "animate", "args": [[None], at_once]},
    ]
    row = {"type": "buttons", "direction": "left", "showactive": True, "pad": {"r": 8}, "yanchor": "bottom", "y": 1.02}
    note = {"text": "generations shown", "xref": "paper", "yref": "paper", "showarrow": False}
    figure.add_annotation(**note, x=0.99, xanchor="right", y=1.03, yanchor="bottom", xshift=-110)
    current = {"prefix": "step · generation: " if " · " in labels[-1] else "step: "}
    figure.update_layout(
        sliders=[{"steps": steps, "active": len(steps) - 1, "currentvalue": current, "pad": {"t": 60}}],
        updatemenus=[
            {**row, "buttons": play, "x": 0, "xanchor": "left", "showactive": False},
            {**row, "buttons": visible, "x": 1, "xanchor": "right", "active": RANGE - 1},
        ],
        margin={"t": 90, "b": 60},
    )


def _visible(older: list[int], count: int) -> list[bool]:
    """Of the traces of older generations, oldest first in each panel, which are seen."""
    return [i % (RANGE - 1) >= RANGE - count for i in range(len(older))]


def _stops(shown: Sequence[Panel], moments: list[Moment]) -> list[int]:
    """The moments on the slider: all, or some as far apart as need be, the last among them."""
    size = sum(min(LARGE, int(np.diff(panel.starts).max())) for panel in shown)
    most = min(STOPS, max(10, FRAMED // max(size, 1)))
    return np.unique(np.linspace(0, len(moments) - 1, most).round().astype(int)).tolist()


def _moments(plane: Plane) -> Iterator[Moment]:
    before, count = -1, 0
    for one in plane.listed:
        count = count + 1 if one.step == before else 0
        before = one.step
        yield one.step, count


def _label(shown: Sequence[Panel], moment: Moment) -> str:
    one = next(p.plane.listed[p.moments.index(moment)] for p in shown if moment in p.moments)
    return f"{one.step} · {one.generation}" if len(shown) == 1 else str(one.step)


def _shades(fitness: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """From 0, the fifth of the range of a generation's fitness with the least, to 4."""
    low, high = (fitness.min(), fitness.max()) if len(fitness) else (0.0, 0.0)
    share = (fitness - low) / (high - low) if high > low else np.ones_like(fitness)
    return np.minimum((share * SHADES).astype(np.int8), SHADES - 1)


def _colours(row: int) -> list[str]:
    """The shades of a generation, the palest first; hues a golden section apart, so that neighbours differ."""
    hue = (0.58 + 0.618034 * row) % 1
    levels = zip((0.86, 0.74, 0.62, 0.48, 0.33), (0.75, 0.7, 0.7, 0.75, 0.85), strict=True)
    shades = [colorsys.hls_to_rgb(hue, light, full) for light, full in levels]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in shade) for shade in shades]


def _name(identity: int) -> str:
    return str(identity) if identity >= 0 else ""


def _short(value: float) -> float | None:
    """A number with as many digits as a picture can show."""
    return float(f"{value:.5g}") if np.isfinite(value) else None
