"""The worlds of a run of POET as a tree over the iterations, each by the profile of its ground."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import isnan
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aiga.envs.terrain import Terrain
from aiga.inspect.canvas import Shape, Words, disc, document, element, shade
from aiga.inspect.scenery import EARTH, profile
from aiga.runs.report import ACCENT, FAINT, INK

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1080, 14, 48, 40, 40
"""Of the tree and its margins: pixels."""
TALLEST = 900
CARDS = (40.0, 32.0, 26.0, 20.0, 16.0, 12.0, 9.0)
"""Heights of the worlds' profiles: the first with which the tree is not too tall."""
NUMBERED = 16.0
"""From this height on there is room for a number."""
FADED, AIR, FRAME = "#eea285", "#eef3f6", "#e4e7eb"


class World(NamedTuple):
    """A world that a run admitted."""

    id: int
    parent: int
    """-1: nobody."""
    born: int
    """Iteration."""
    retired: int
    """Iteration; -1: still active."""
    solved: int
    """Iteration when its agent first did; -1: never."""
    score: float
    """Of its agent now, or when it was retired; NaN: unknown."""
    terrain: Terrain
    """One sample of the ground."""
    features: Mapping[str, float | str] = {}
    """What else is known of it, such as its genome."""


class Stop(NamedTuple):
    """Since when an agent has been in a world."""

    step: int
    world: int


class Place(NamedTuple):
    """Where a world is drawn: pixels."""

    left: float
    """Where it is born."""
    right: float
    """Where it ends."""
    base: float
    """The height of its line."""


def numbers(worlds: Sequence[World]) -> dict[int, int]:
    """What worlds are called: 0, 1, 2, ... in the order of birth."""
    return {world.id: number for number, world in enumerate(sorted(worlds, key=lambda world: world.born))}


def tree(
    path: Path, worlds: Sequence[World], *, iterations: int, goal: float = 230.0, way: Sequence[Stop] = ()
) -> Path:
    """Write the tree of worlds over the iterations as SVG, with the way of one agent through it."""
    names = numbers(worlds)
    ordered = sorted(worlds, key=lambda world: names[world.id])
    places, card = arrange(ordered, iterations)
    bottom = max((place.base for place in places.values()), default=float(TOP)) + 8
    height = round(bottom + BOTTOM)
    body = [element(shape) for shape in [*_axis(iterations, bottom), *_legend(goal)]]
    body += [element(edge) for world in ordered for edge in _edge(world, places)]
    along, across = _travelled(way, places, iterations)
    body += map(element, across)
    body += [_drawn(world, names, places[world.id], card, goal) for world in ordered]
    body += map(element, along)
    body += [element(dot) for world in ordered for dot in _solved(world, places[world.id], card, iterations)]
    path.write_text(document(WIDTH, height, body), encoding="utf-8")
    return path


def arrange(ordered: Sequence[World], iterations: int) -> tuple[dict[int, Place], tuple[float, float]]:
    """Where each world is drawn, and the size of their profiles."""
    spans = [
        (_along(w.born, iterations), _along(iterations if w.retired < 0 else w.retired, iterations)) for w in ordered
    ]
    lanes: list[int] = []
    wide = high = 0.0
    for high in CARDS:
        wide = min(4.5 * high, 150.0)
        begins = [min(left, WIDTH - RIGHT - wide) for left, _ in spans]
        ends = [max(right, begin + wide) + 10 for begin, (_, right) in zip(begins, spans, strict=True)]
        lanes = _lanes(ordered, begins, ends)
        if max(lanes, default=0) < TALLEST // _lane(high):
            break
    bases = [TOP + (lane + 1) * _lane(high) for lane in lanes]
    places = zip(ordered, spans, bases, strict=True)
    return {world.id: Place(*span, base) for world, span, base in places}, (wide, high)


def _lane(high: float) -> float:
    return 1.2 * high + 5


def _lanes(ordered: Sequence[World], begins: Sequence[float], ends: Sequence[float]) -> list[int]:
    """For each world, in order of birth, of as few lanes as possible the free one that is nearest to its parent's."""
    count = max((sum(end > begin for end in ends[: i + 1]) for i, begin in enumerate(begins)), default=0)
    free = [0.0] * count  # from which pixel on
    lanes: dict[int, int] = {}
    for world, begin, end in zip(ordered, begins, ends, strict=True):
        near = lanes.get(world.parent, count // 2)
        lane = min((lane for lane in range(count) if free[lane] <= begin), key=lambda lane: abs(lane - near))
        lanes[world.id], free[lane] = lane, end
    return list(lanes.values())


def _along(step: int, iterations: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / max(iterations, 1)


def _drawn(world: World, names: Mapping[int, int], place: Place, card: tuple[float, float], goal: float) -> str:
    """One world: its profile on the line of its life."""
    colour, (wide, high) = shade(float(world.score), goal), card
    corner = np.array([min(place.left, WIDTH - RIGHT - wide), place.base - high])
    box = corner + np.array([(0, 0), (wide, 0), (wide, high), (0, high), (0, 0)])
    above = 0.28 * high if high >= NUMBERED else 0.0
    ground = corner + np.array([0, above]) + profile(world.terrain, (wide, high - above))
    life = np.array([(place.left, place.base), (max(place.right, place.left + 1), place.base)])
    shapes: list[Shape | Words] = [
        Shape(box, fill=AIR),
        Shape(ground, fill=EARTH[1]),
        Shape(box, stroke=colour, width=1.0),
        Shape(life, stroke=colour, width=max(2.0, high / 12)),
    ]
    if high >= NUMBERED:
        shapes.append(Words(str(names[world.id]), (corner[0] + 4, corner[1] + 10), 9.0))
    if world.retired < 0 and high >= 12 and not isnan(world.score):
        shapes.append(Words(f"{world.score:.0f}", (place.right + 6, place.base + 3.5), 10.0))
    faded = ' opacity="0.45"' if world.retired >= 0 else ""
    title = escape("\n".join(described(world, names)))
    paper = element(Shape(box, fill="#ffffff"))
    return f"<g><title>{title}</title>{paper}<g{faded}>{''.join(map(element, shapes))}</g></g>"


def _solved(world: World, place: Place, card: tuple[float, float], iterations: int) -> Iterator[Shape]:
    """A dot where it was."""
    if world.solved >= 0:
        outline = disc(_along(world.solved, iterations), place.base, 2.5 + card[1] / 20)
        yield Shape(outline, ACCENT if world.retired < 0 else FADED, "#ffffff", 1.2)


def described(world: World, names: Mapping[int, int]) -> list[str]:
    """What is known of a world, a line each."""
    parent = f", made of world {names[world.parent]}" if world.parent in names else ""
    lines = [f"World {names[world.id]}", f"born in iteration {world.born}{parent}"]
    lines += [f"solved in iteration {world.solved}"] if world.solved >= 0 else ["not solved"]
    lines += [f"retired in iteration {world.retired}"] if world.retired >= 0 else []
    lines += [] if isnan(world.score) else [f"score {world.score:.1f}"]
    return lines + [f"{name}: {v if isinstance(v, str) else format(v, '.3g')}" for name, v in world.features.items()]


def _edge(world: World, places: Mapping[int, Place]) -> Iterator[Shape]:
    """From the line of the parent down or up to the world."""
    if world.parent in places:
        x, base = places[world.id].left, places[world.id].base
        yield Shape(np.array([(x, places[world.parent].base), (x, base)]), stroke=FAINT, width=1.2)


def _travelled(way: Sequence[Stop], places: Mapping[int, Place], iterations: int) -> tuple[list[Shape], list[Shape]]:
    """The way of an agent: along the lines of worlds, and across to the next."""
    steps = [_along(step, iterations) for step in [*(stop.step for stop in way), iterations]]
    bases = [places[stop.world].base for stop in way]
    along, across = [], []
    for i, base in enumerate(bases):
        along.append(Shape(np.array([(steps[i], base), (steps[i + 1], base)]), stroke=INK, width=2.0))
        if i:
            across.append(Shape(np.array([(steps[i], bases[i - 1]), (steps[i], base)]), stroke=INK, width=2.0))
            along.append(Shape(disc(steps[i], base, 3.0), INK, "#ffffff", 1.0))
    return along, across


def _axis(iterations: int, bottom: float) -> Iterator[Shape | Words]:
    """Vertical lines at round numbers of iterations."""
    unit = 10.0 ** np.floor(np.log10(max(iterations, 10) / 4))
    step = int(next(unit * k for k in (1, 2, 5, 10) if iterations / (unit * k) <= 8))
    for tick in range(0, iterations + 1, step):
        x = _along(tick, iterations)
        yield Shape(np.array([(x, TOP - 4.0), (x, bottom)]), stroke=FRAME)
        yield Words(f"{tick:,}", (x, bottom + 15), 11.0, "#52606d", "middle" if tick else "start")
    yield Words("iteration", (WIDTH / 2, bottom + 31), 11.0, "#52606d", "middle")


def _legend(goal: float) -> Iterator[Shape | Words]:
    """What colours mean."""
    left, y = WIDTH - RIGHT - 210.0, 14.0
    yield Words("score of the agent: 0", (left - 8, y + 4), 11.0, "#52606d", "end")
    for i in range(40):
        line = np.array([(left + 3 * i, y), (left + 3 * i + 3, y)])
        yield Shape(line, stroke=shade(goal * i / 39, goal), width=6.0)
    yield Words(f"{goal:g}: solved", (left + 130, y + 4), 11.0, "#52606d")
