"""Pictures of a run of POET: the tree of its worlds, whose agents came from where, and a film of the best."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf, isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import require
from aiga.inspect import walks
from aiga.inspect.canvas import PALE
from aiga.inspect.world_tree import Stop, World, numbers, tree
from aiga.runs.report import ACCENT, INK, Figure, style, thinned


class Transfer(NamedTuple):
    """An agent of one world became that of another."""

    step: int
    source: int
    target: int


class Walk(NamedTuple):
    """An episode."""

    world: int
    poses: Float[np.ndarray, "t 5 3"]
    """At every step."""
    score: float


def figures(
    media: Path,
    worlds: Sequence[World],
    transfers: Sequence[Transfer],
    curves: Mapping[str, tuple[Any, Any]],
    *,
    iterations: int,
    goal: float = 230.0,
    walk: Walk | None = None,
) -> list[Figure]:
    """What a report of a run shows.

    Args:
        media: Where pictures are written.
        worlds: All that were ever admitted.
        transfers: All that replaced an agent.
        curves: Steps and values, by their names.
        iterations: How many there have been.
        goal: The score from which on a world is solved.
        walk: An episode to show.
    """
    shown = []
    media.mkdir(parents=True, exist_ok=True)
    if worlds:
        way = way_of(walk.world, worlds, transfers) if walk else []
        path = tree(media / "worlds.svg", worlds, iterations=iterations, goal=goal, way=way)
        shown.append(Figure("The tree of worlds", TREE + TRAVELLED * bool(way), path))
    if walk:
        shown += _walked(media, worlds, walk)
    if transfers:
        shown += [exchange(worlds, transfers), travels(worlds, transfers)]
    return [*shown, course(curves)] if curves else shown


TREE = (
    "Every world by its profile, from the iteration in which it was made of its parent to that in which it was retired "
    "(faded). Colour: the score of its agent; a dot: when it was first solved."
)
TRAVELLED = " Dark: the way on which the agent of the film came to its world."


class Arrival(NamedTuple):
    """An agent came to a world."""

    when: tuple[float, float]
    """Step, and the part of it: births come one after another, then all transfers at once."""
    source: int


def way_of(world: int, worlds: Sequence[World], transfers: Sequence[Transfer]) -> list[Stop]:
    """The worlds that the agent of a world has been in, the first one first.

    A world is born with the agent that comes to it first in that iteration, by default a copy of its parent's.  Births
    are before all other transfers of an iteration, and these move agents from before any of them.
    """
    return ways(worlds, transfers)[world]


def ways(worlds: Sequence[World], transfers: Sequence[Transfer]) -> dict[int, list[Stop]]:
    """`way_of` every world, in the order of birth."""
    known = {world.id: world for world in sorted(worlds, key=lambda world: world.born)}
    places = {world: place for place, world in enumerate(known)}
    moves = [move for move in transfers if move.source != move.target]
    first = births(worlds, moves)
    arrivals: dict[int, list[Arrival]] = {}
    for move in moves:
        part = places[move.target] if move == first.get(move.target) else inf
        arrivals.setdefault(move.target, []).append(Arrival((move.step, part), move.source))
    return {world: _way(world, known, arrivals) for world in known}


def births(worlds: Sequence[World], transfers: Sequence[Transfer]) -> dict[int, Transfer]:
    """With which transfer worlds were born: the first to each in the iteration of its birth."""
    born = {world.id: world.born for world in worlds}
    return {move.target: move for move in reversed(transfers) if move.step == born.get(move.target)}


def _way(world: int, known: Mapping[int, World], arrivals: Mapping[int, Sequence[Arrival]]) -> list[Stop]:
    stops: list[Stop] = []
    now = (inf, inf)
    while world in known:
        earlier = sorted((one for one in arrivals.get(world, ()) if one.when < now), key=lambda one: one.when)
        came = earlier[-1] if earlier else Arrival((known[world].born, inf), known[world].parent)
        stops.append(Stop(int(came.when[0]), world))
        world, now = came.source, min(now, came.when)
    return stops[::-1]


def exchange(worlds: Sequence[World], transfers: Sequence[Transfer]) -> Figure:
    """How many agents of each world became those of each other."""
    graph = require("plotly.graph_objects", "report")
    names = numbers(worlds)
    counts = Counter((names[t.source], names[t.target]) for t in transfers if t.source in names and t.target in names)
    table = np.full((len(names), len(names)), np.nan)
    for (source, target), count in counts.items():
        table[target, source] = count
    figure = graph.Figure()
    hover = "an agent of world %{x} became that of world %{y}, %{z} times<extra></extra>"
    most = max(counts.values(), default=1)
    bar = {"title": "transfers", "dtick": max(1, most // 5)}
    figure.add_heatmap(z=table, zmin=0, zmax=most, colorscale=[PALE, ACCENT], hovertemplate=hover, colorbar=bar)
    came = [
        tuple(names[stop.world] for stop in stops[-2:]) for stops in ways(worlds, transfers).values() if len(stops) > 1
    ]
    x, y = zip(*came, strict=True) if came else ((), ())
    marker = {"symbol": "circle-open", "color": INK, "size": 7}
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip")
    square = {
        "zeroline": False,
        "constrain": "domain",
        "range": [-0.5, len(names) - 0.5],
        "dtick": max(1, len(names) // 10),
    }
    figure.update_xaxes(title="from world", **square)
    figure.update_yaxes(title="to world", scaleanchor="x", **square)
    style(figure, height=560, width=680, showlegend=False)
    born = sum(birth.source in names for birth in births(worlds, transfers).values())
    caption = (
        f"{counts.total() - born:,} agents replaced that of another world, {born:,} were the first of a new one. "
        "A circle: where the present agent of a world came from."
    )
    return Figure("Transfers", caption, figure)


def travels(worlds: Sequence[World], transfers: Sequence[Transfer], most: int = 40) -> Figure:
    """The way of each agent that is still active, as a table; of the youngest `most` worlds."""
    names = numbers(worlds)
    known = {world.id: world for world in worlds}
    active = [(one, stops) for one, stops in ways(worlds, transfers).items() if known[one].retired < 0]
    rows = []
    for one, stops in active[-most:]:
        world = known[one]
        way = [f"{names[stop.world]}" for stop in stops]
        shown = way if len(way) <= 16 else [*way[:3], "…", *way[-12:]]
        score = "" if isnan(world.score) else f"{world.score:.0f}"
        rows.append({"world": way[-1], "score": score, "worlds on the way of its agent": " → ".join(shown)})
    caption = "By birth of a world with its parent's agent, or by a transfer."
    return Figure("Where agents came from", caption, rows)


def course(curves: Mapping[str, tuple[Any, Any]]) -> Figure:
    """Values over the iterations, a panel each."""
    subplots = require("plotly.subplots", "report")
    figure = subplots.make_subplots(1, len(curves), subplot_titles=list(curves))
    for column, (steps, values) in enumerate(curves.values(), 1):
        steps, values = thinned(np.asarray(steps), np.asarray(values))
        line = {"color": ACCENT, "width": 2, "shape": "hv"}
        figure.add_scatter(x=steps, y=values, mode="lines", line=line, row=1, col=column)
        figure.update_xaxes(title="iteration", row=1, col=column)
    figure.update_yaxes(rangemode="tozero")
    style(figure, height=340, showlegend=False)
    return Figure("The course of the run", "", figure)


def _walked(media: Path, worlds: Sequence[World], walk: Walk) -> list[Figure]:
    """A film of the walk, and all of it in one picture."""
    world = next(one for one in worlds if one.id == walk.world)
    seconds, metres = len(walk.poses) / 50, walk.poses[-1, 0, 0] - walk.poses[0, 0, 0]
    caption = (
        f"World {numbers(worlds)[world.id]}, born in iteration {world.born:,}: "
        f"{metres:.1f} m in {seconds:.1f} s, {walk.score:.0f} points."
    )
    film = walks.film(media / "walk.gif", world.terrain, walk.poses)
    course = media / "walk.svg"
    course.write_text(walks.strip(world.terrain, walk.poses), encoding="utf-8")
    return [Figure("The best walker", caption, film), Figure("Its whole way", "The walker every four metres.", course)]
