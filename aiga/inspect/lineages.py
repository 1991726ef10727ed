"""Who came of whom, for any run: the tree of first parents, its measures, and what each text changed.

A branch stays on its parent's line as in `aiga.inspect.family`; every other child begins a line of its own, reached
along its parent's birth, so that no edges cross.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from aiga.core.errors import UsageError, require
from aiga.inspect import ancestry, family
from aiga.inspect.ancestry import Tree
from aiga.inspect.family import Member
from aiga.runs import report
from aiga.runs.figures import ACCENT, FAINT, Figure, style
from aiga.runs.record import Run

DRAWN = 50_000
"""Births in one tree."""
GOLDEN = 0.6180339887498949
"""Steps of this share of a circle fall evenly on it, however many are taken."""
HEIGHTS = {"birth": "step of birth", "generation": "ancestors"}
"""What is up."""


class Drawing(NamedTuple):
    """Where births are drawn."""

    rows: Int[np.ndarray, " m"]
    """Of the tree, rising."""
    parent: Int[np.ndarray, " m"]
    """A place among these rows; -1: nobody."""
    x: Int[np.ndarray, " m"]
    y: Int[np.ndarray, " m"]


def present(run: Run) -> bool:
    """Whether there are births."""
    return bool(run.query("SELECT EXISTS (SELECT 1 FROM lineage)")[0][0])


def figures(run: Run, choices: Mapping[str, str] = {}) -> list[Figure]:
    """The tree and its measures; choices: `y`, what is up, `birth` or `generation`; `name`, whose line is marked."""
    found = ancestry.tree(run)
    if not found.id.size:
        return []
    best = _best(found)
    stones = [] if best < 0 else [report.stones(found.id, found.fitness, np.array(line(found.parent, best)))]
    return [drawn(found, choices), *stones, *ancestry.figures(run, found)]


def drawn(found: Tree, choices: Mapping[str, str] = {}) -> Figure:
    """The tree, with one line marked."""
    height = choices.get("y", "birth")
    if height not in HEIGHTS:
        raise UsageError(f"`y` is {height[:40]!r}: give {' or '.join(HEIGHTS)}.")
    chosen, whose = _chosen(found, choices.get("name", ""))
    marked = line(found.parent, chosen)
    rows = thinned(found.parent, marked)
    chart = laid_out(found, rows, marked, height)
    told = f"{found.id.size:,} births; the line of {family.name(int(found.id[chosen]))}, {whose}, is marked."
    if rows.size < found.id.size:
        told = (
            f"{rows.size:,} of {told} The rest was left out evenly, and whoever is shown has all its ancestors shown."
        )
    if len(marked) > DRAWN:
        told += f" Of the marked line the last {DRAWN:,} are shown."
    return Figure("Lineage", told, _plotted(found, chart, marked, height))


def line(parent: Int[np.ndarray, " n"], row: int) -> list[int]:
    """The rows from the first ancestor to this one."""
    found = []
    while row >= 0:
        found.append(row)
        row = int(parent[row])
    return found[::-1]


def thinned(parent: Int[np.ndarray, " n"], first: list[int], most: int = DRAWN) -> Int[np.ndarray, " m"]:
    """At most so many rows: those of `first`, then others evenly, each with all its ancestors.

    Of a `first` that is longer its end is kept.
    """
    if parent.size <= most:
        return np.arange(parent.size)
    kept, above = set(first[-most:]), parent.tolist()
    stride = next(s for s in range(int(GOLDEN * parent.size), 2 * parent.size) if math.gcd(s, parent.size) == 1)
    for turn in range(parent.size):
        climb, row = [], turn * stride % parent.size
        while row >= 0 and row not in kept:
            climb.append(row)
            row = above[row]
        if len(kept) + len(climb) > most:
            break
        kept.update(climb)
    return np.array(sorted(kept))


def laid_out(found: Tree, rows: Int[np.ndarray, " m"], marked: list[int], height: str = "birth") -> Drawing:
    """Where rows are drawn: a line for each branch, and up the step of birth or the generation."""
    parent = ancestry.rows_of(rows, found.parent[rows])
    members = [Member(place, of, place, "", 0.0) for place, of in enumerate(parent.tolist())]
    lanes = family.lines(members, set(ancestry.rows_of(rows, np.array(marked)).tolist()))
    x = np.array([lanes[place] for place in range(len(members))])
    y = found.id[rows] >> 32 if height == "birth" else found.depth[rows]
    return Drawing(rows, parent, x, y)


def branches(chart: Drawing) -> str:
    """The lines of descent as one path: up each branch from the birth it begins at, and along that birth to it."""
    order = np.lexsort((chart.y, chart.x))
    begins = np.diff(chart.x[order], prepend=-1) > 0
    first, last = order[begins], order[np.append(begins[1:], True)]
    of = np.where(chart.parent[first] >= 0, chart.parent[first], first)
    farthest = chart.x.copy()
    np.maximum.at(farthest, of, chart.x[first])
    parents = np.flatnonzero(farthest > chart.x)
    up = zip(chart.x[first].tolist(), chart.y[of].tolist(), chart.y[last].tolist(), strict=True)
    along = zip(chart.x[parents].tolist(), chart.y[parents].tolist(), farthest[parents].tolist(), strict=True)
    return "".join([f"M{x},{y}V{to}" for x, y, to in up] + [f"M{x},{y}H{to}" for x, y, to in along])


def _plotted(found: Tree, chart: Drawing, marked: list[int], height: str) -> Any:
    graph = require("plotly.graph_objects", "report")
    figure, many = graph.Figure(), chart.rows.size
    figure.add_scattergl(**_births(found, chart, np.arange(many)), mode="markers", marker=_colours(found, chart))
    places = ancestry.rows_of(chart.rows, np.array(marked[-DRAWN:]))
    figure.add_scattergl(
        **_births(found, chart, places),
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        marker={"color": ACCENT, "size": 5},
    )
    figure.add_shape(  # drawn ten times as fast as a trace with gaps
        type="path",
        path=branches(chart),
        layer="between",
        line={"color": FAINT, "width": 1},
        opacity=float(np.clip(60 / np.sqrt(many), 0.3, 1)),
    )
    style(figure, height=640, xaxis_title="branches", yaxis_title=HEIGHTS[height], hovermode="closest")
    figure.update_layout(showlegend=False, margin={"t": 20})
    figure.update_xaxes(showgrid=False, zeroline=False, showticklabels=False)
    figure.update_yaxes(zeroline=False)
    return figure


def _births(found: Tree, chart: Drawing, places: Int[np.ndarray, " k"]) -> dict[str, Any]:
    """Points to be clicked."""
    return {
        "x": chart.x[places].astype(np.float32),
        "y": chart.y[places].astype(np.float32),
        "customdata": found.id[chart.rows[places]].astype(str).tolist(),
        "text": found.fitness[chart.rows[places]].astype(np.float32),
        "hovertemplate": "%{customdata}<br>at %{y}<br>fitness %{text:.4g}<extra></extra>",
    }


def _colours(found: Tree, chart: Drawing) -> dict[str, Any]:
    """By fitness; grey: not known."""
    fitness = found.fitness[chart.rows]
    known = fitness[np.isfinite(fitness)]
    low, high = (np.percentile(known, 2), known.max()) if known.size else (0.0, 1.0)
    return {
        "size": float(np.clip(600 / np.sqrt(fitness.size), 3, 9)),
        "color": np.where(np.isfinite(fitness), fitness, np.nan).astype(np.float32),
        "cmin": float(low),
        "cmax": float(high),
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": "fitness"}, "thickness": 14},
    }


def _chosen(found: Tree, name: str) -> tuple[int, str]:
    """The row whose line is marked, and why: that of a name, or of the best, or of the last."""
    if name:
        known = name.isascii() and name.isdigit() and int(name) < 1 << 63
        row = int(ancestry.rows_of(found.id, np.array([int(name)]))[0]) if known else -1
        if row < 0:
            raise UsageError(f"`name` is {name[:40]!r}, which is nobody's: names are identities of the lineage.")
        return row, "the chosen one"
    best = _best(found)
    return (best, "the best") if best >= 0 else (found.id.size - 1, "the last")


def _best(found: Tree) -> int:
    """The row of the highest fitness, the first of equals; -1: none is known."""
    known = np.where(np.isfinite(found.fitness), found.fitness, -np.inf)
    return int(known.argmax()) if np.isfinite(known).any() else -1
