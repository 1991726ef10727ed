"""Metrics as curves: of one run or of several, where runs that differ in their seed alone are one line with a band."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError, require
from aiga.runs.figures import ACCENT, COLOURS, Figure, outline, style
from aiga.runs.record import Run, Series

CLOCK = ("run/steps", "run/seconds")
"""Metrics that count the run itself: what others are drawn against."""
PANELS, SHOWN = 12, 60
"""Of one figure, and of all figures if no names are given."""
COLUMNS = 3
DRAWN = (2_000, 500)
"""Points of a line alone, and of one with a band."""
LABEL = 60
"""Letters of a group's label."""
RESAMPLES = 400
"""Of the seeds, for a band."""

Grouped = Mapping[str, Sequence[Run]]
Runs = Run | Sequence[Run] | Grouped
"""One run, several, or several under labels of their own."""


class Line(NamedTuple):
    """One line of a panel: values over x, and the band about them, where there is one."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def curves(
    runs: Runs,
    names: Sequence[str] | None = None,
    *,
    x: str = "step",
    log: tuple[bool, bool] = (False, False),
    bands: bool = True,
) -> list[Figure]:
    """Metrics as curves, a panel each and at most twelve to a figure.

    Runs that differ in their seed alone are a group: its mean over the seeds, with a band that is the 95 % interval of
    the mean, bootstrapped over seeds at each point.  A run that ended earlier counts as far as it got.  A line has at
    most 2,000 points (500 with a band), its extremes among them.

    Args:
        runs: One run, several, or a mapping from labels to those of one group.
        names: Metrics; default: all numbers that changed, at most sixty of them.
        x: `step`, `seconds`, `evaluations`, or the name of a metric.
        log: Whether the axes of x and y are logarithmic; what is not above zero is left out there.
        bands: Groups as mean and band; otherwise each run is a line of its own, in the colour of its group.
    """
    grouped = groups(runs)
    everyone = [run for members in grouped.values() for run in members]
    chosen, left_out = _chosen(everyone, names)
    pages = [chosen[i : i + PANELS] for i in range(0, len(chosen), PANELS)]
    caption = _caption(grouped, x, log, bands) + left_out
    return [
        Figure(
            "Curves" if len(pages) == 1 else f"Curves ({i + 1} of {len(pages)})",
            caption if i == 0 else "",
            _panels(grouped, page, x, log, bands),
        )
        for i, page in enumerate(pages)
    ]


def groups(runs: Runs) -> dict[str, list[Run]]:
    """Runs by what was asked of them, the seed aside; the label of a group is what tells it from the others."""
    if isinstance(runs, Mapping):
        return {label: list(members) for label, members in runs.items()}
    everyone = [runs] if isinstance(runs, Run) else list(runs)
    asked = [_asked(run) for run in everyone]
    fields = dict.fromkeys(name for one in asked for name in one)
    differing = [name for name in fields if len({repr(one.get(name)) for one in asked}) > 1]
    found: dict[str, list[Run]] = {}
    labels: dict[str, str] = {}
    for run, one in zip(everyone, asked, strict=True):
        if repr(one) not in labels:
            labels[repr(one)] = _unused(_label(one, differing), found)
        found.setdefault(labels[repr(one)], []).append(run)
    return found


def _label(asked: Mapping[str, Any], differing: Sequence[str]) -> str:
    """What tells a group from others, as text that plotly does not take for markup."""
    told = [str(asked["system"])] if "system" in differing or not differing else []
    told += [f"{name} {asked.get(name, 'default')}" for name in differing if name != "system"]
    label = ", ".join(told)
    return escape(label if len(label) <= LABEL else f"{label[: LABEL - 1]}…", quote=False)


def _unused(label: str, taken: Collection[str]) -> str:
    return next(name for i in count(1) if (name := label if i == 1 else f"{label} ({i})") not in taken)


def line(members: Sequence[Run], name: str, x: str = "step") -> Line | None:
    """A metric of a group of runs; None if it is not a number in any of them."""
    series = [found for run in members if (found := against(run, name, x)) is not None]
    if not series:
        return None
    if len(series) == 1:
        rows = outline(series[0].values, DRAWN[0])
        return Line(series[0].steps[rows], series[0].values[rows])
    return _mean(series)


def against(run: Run, name: str, x: str = "step") -> Series | None:
    """A metric of a run over `x`; None if the run has no such number."""
    if isinstance(run.latest().get(name, ""), str):
        return None
    steps, values = run.metric(name)
    if x == "step":
        return Series(steps, values.astype(float))
    clock = run.metric(_clock(run, x))
    places = np.interp(steps, clock.steps, clock.values.astype(float))
    order = np.argsort(places, kind="stable")
    return Series(places[order], values.astype(float)[order])


def _asked(run: Run) -> dict[str, Any]:
    told = {"system": run.system, "preset": run.manifest.get("preset"), "model": run.manifest.get("model")}
    return {**told, **run.options}


def _clock(run: Run, x: str) -> str:
    """The name of the metric that is the x axis."""
    if x == "seconds":
        return "run/seconds"
    numbers = [name for name, value in run.latest().items() if not isinstance(value, str)]
    found = [name for name in numbers if name == x or (x == "evaluations" and name.endswith("/evaluations"))]
    if not found:
        raise UsageError(
            f"{run.directory} has no `{x}` to draw against: give `step`, `seconds` or one of its metrics, "
            f"{', '.join(numbers) or 'of which it has none'}."
        )
    return found[0]


def _chosen(runs: Sequence[Run], names: Sequence[str] | None) -> tuple[list[str], str]:
    """The names of the panels, and a sentence about those left out."""
    known = dict.fromkeys(name for run in runs for name, value in run.latest().items() if not isinstance(value, str))
    if names is not None:
        for name in names:
            if name not in known:
                raise UsageError(f"no run has a metric {name!r}: give some of {', '.join(known) or 'none'}.")
        return list(dict.fromkeys(names)), ""
    changing = {name for run in runs for name in run.changing()}
    found = [name for name in known if name in changing and name not in CLOCK]
    more = len(found) - SHOWN
    return found[:SHOWN], f" {more:,} more metrics are not drawn: choose them by name." if more > 0 else ""


def _caption(grouped: Grouped, x: str, log: tuple[bool, bool], bands: bool) -> str:
    several = any(len(members) > 1 for members in grouped.values())
    told = f"Each metric against the {'step' if x == 'step' else x} of the run."
    if several and bands:
        told += " Lines: means over seeds; bands: 95 % intervals of the mean, bootstrapped over seeds."
    elif several:
        told += " A line for each run."
    if any(log):
        told += " On a logarithmic axis, what is not above zero is left out."
    return told


def _panels(grouped: Grouped, names: Sequence[str], x: str, log: tuple[bool, bool], bands: bool) -> Any:
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    subplots = require("plotly.subplots", "report")
    titles = [escape(name, quote=False) for name in names]
    figure = subplots.make_subplots(rows, columns, subplot_titles=titles, vertical_spacing=0.35 / rows)
    several = len(grouped) > 1
    letters = sum(len(label) + 16 for label in grouped)
    top = 40 + 20 * -(-letters // 80) if several else 40  # the legend is above; on paper 80 letters fit in a line
    for i, name in enumerate(names):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for j, (label, members) in enumerate(grouped.items()):
            told = f"{label} ({len(members)} seeds)" if len(members) > 1 else label
            look = {"legendgroup": label, "name": told, "showlegend": several and i == 0}
            for trace in _traces(members, name, x, bands, COLOURS[j % len(COLOURS)] if several else ACCENT):
                figure.add_scatter(**(look | trace), **place)
    style(figure, height=45 + top + (190 if columns > 1 else 300) * rows)
    figure.update_layout(margin_t=top, legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top"})
    figure.update_annotations(font_size=12)
    for axes, kind in zip((figure.update_xaxes, figure.update_yaxes), log, strict=True):
        axes(type="log" if kind else "linear", nticks=5, exponentformat="power" if kind else "SI")
    figure.update_xaxes(title_text="" if x == "step" else x, row=rows)
    return figure


def _traces(members: Sequence[Run], name: str, x: str, bands: bool, colour: str) -> Iterator[dict[str, Any]]:
    """The line of a group and its band, or a line for each run; one that says the legend's name."""
    alone = [members] if bands else [[run] for run in members]
    for i, some in enumerate(alone):
        drawn = line(some, name, x)
        if drawn is None:
            continue
        if drawn.low is not None and drawn.high is not None:
            yield from _band(drawn, colour)
        mode = "lines" if np.isfinite(drawn.y).sum() > 1 else "markers"
        seed = {} if len(some) > 1 or len(members) == 1 else {"text": f"seed {some[0].manifest['seed']}"}
        look = {"color": colour, "width": 1.6 if len(some) > 1 or len(members) == 1 else 1}
        yield (
            {"x": drawn.x, "y": drawn.y, "mode": mode, "line": look, "marker_color": colour}
            | seed
            | ({"showlegend": False} if i else {})
        )


def _band(drawn: Line, colour: str) -> Iterator[dict[str, Any]]:
    """The region between two lines that are not drawn."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    edge = {"x": drawn.x, "mode": "lines", "line_width": 0, "hoverinfo": "skip", "showlegend": False}
    yield edge | {"y": drawn.low}
    yield edge | {"y": drawn.high, "fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.2)"}


def _mean(series: Sequence[Series]) -> Line:
    """The mean of several series and its band, where each is taken to run straight from point to point."""
    grid = np.unique(np.concatenate([one.steps for one in series]))
    values = np.stack([_on(grid, one) for one in series])
    present = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(present, values, 0).sum(0) / np.where(present.any(0), present.sum(0), np.nan)
    rows = outline(mean, DRAWN[1])
    low, high = _interval(values[:, rows])
    return Line(grid[rows], mean[rows], low, high)


def _on(grid: np.ndarray, series: Series) -> np.ndarray:
    """A series at the places of a grid; NaN before its first and after its last."""
    last = np.flatnonzero(np.append(np.diff(series.steps) > 0, True))  # of several values at one place
    return np.interp(grid, series.steps[last], series.values[last], left=np.nan, right=np.nan)


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the mean over rows at each column, bootstrapped; over the rows that are there."""
    n = len(values)
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(float)
    present = np.isfinite(values)
    total = weights @ present
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(present, values, 0)) / np.where(total > 0, total, np.nan)
    low, high = np.full((2, values.shape[1]), np.nan)
    for some in (whole := np.isfinite(means).all(0), present.any(0) & ~whole):  # `nanquantile` alone is slow
        if some.any():
            quantile = np.quantile if some is whole else np.nanquantile
            low[some], high[some] = quantile(means[:, some], [0.025, 0.975], axis=0)
    return low, high
