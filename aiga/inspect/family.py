"""A family tree over the steps of a run: one line for each branch, and who was not kept under the parent.

The first child of a branch that leads on stays on its parent's line; every other child begins a line of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from itertools import pairwise
from math import isnan, sqrt
from typing import NamedTuple

import numpy as np

from aiga.core.texts import visible
from aiga.inspect.canvas import Shape, Words, disc, document, element, shade
from aiga.runs.report import FAINT, INK

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1080, 24, 44, 44, 40
"""Of the picture and its margins: pixels."""
LANES = (34.0, 12.0)
"""The highest and the lowest distance of two lines."""
HIGH = 700
"""Of the tree, while lines may come nearer."""
RADII = (2.6, 6.5)
GREY, FRAME, LOST = "#52606d", "#e4e7eb", "#7b8794"
APART = 34.0
"""Pixels between two written scores."""


class Member(NamedTuple):
    """One of the archive."""

    id: int
    parent: int
    """-1: nobody."""
    step: int
    """Of its birth."""
    kind: str
    """How it was made."""
    score: float
    blob: str | None = None
    """The id of its diff."""
    tasks: int = 0
    """That it was given; 0: not known."""


class Lost(NamedTuple):
    """A child that was not kept."""

    id: int
    parent: int
    step: int
    reason: str
    blob: str | None = None


class Place(NamedTuple):
    """Where somebody is drawn: pixels."""

    x: float
    y: float
    radius: float


def name(identity: int) -> str:
    """What an agent is called: birth and index."""
    return f"{identity >> 32}.{identity & 0xFFFFFFFF}" if identity >= 0 else "nobody"


def drawn(members: Sequence[Member], lost: Sequence[Lost], marked: Sequence[int]) -> str:
    """The tree as SVG, with one line marked."""
    lanes = lines(members, marked)
    count = 1 + max(lanes.values())
    apart = min(max(HIGH / count, LANES[1]), LANES[0])
    last = max(found.step for found in (*members, *lost))
    places = {
        m.id: Place(along(m.step, last), TOP + apart * (lanes[m.id] + 0.5), min(radius(m, members), 0.42 * apart))
        for m in members
    }
    bottom = TOP + apart * count
    scores = [m.score for m in members if not isnan(m.score)] or [0.0]
    low, high = min(scores), max(scores)
    body = [f'<rect width="{WIDTH}" height="{round(bottom + BOTTOM)}" fill="#ffffff"/>']
    body += map(element, [*_axis(last, bottom), *_legend(low, high)])
    body += [element(_edge(places[m.parent], places[m.id], FAINT, 1.0)) for m in members if m.parent in places]
    body += _losses(lost, places, last, apart)
    chain = [places[identity] for identity in marked if identity in places]
    body += [element(_edge(a, b, INK, 2.4)) for a, b in pairwise(chain)]
    body += [_member(m, places[m.id], shade(m.score - low, max(high - low, 1e-9)), m.id in marked) for m in members]
    body += map(element, _written([m for m in members if m.id in marked], places))
    return document(WIDTH, round(bottom + BOTTOM), body)


def lines(members: Sequence[Member], marked: Collection[int] = ()) -> dict[int, int]:
    """The line of each, from above: a branch's lines lie together, and the marked ones stay on their parent's."""
    known, children = {m.id for m in members}, dict[int, list[int]]()
    for member in members:
        children.setdefault(member.parent if member.parent in known else -1, []).append(member.id)
    size = dict.fromkeys(known, 1)
    for member in sorted(members, key=lambda m: (m.step, m.id), reverse=True):
        if member.parent in known:
            size[member.parent] += size[member.id]
    found, free, waiting = {}, 0, [(root, -1) for root in reversed(children.get(-1, []))]
    while waiting:
        identity, lane = waiting.pop()
        if lane < 0:
            lane, free = free, free + 1
        found[identity] = lane
        young = children.get(identity, [])
        heir = max(young, key=lambda child: (child in marked, size[child], -child), default=None)
        others = [child for child in young if child != heir]
        waiting += [(child, -1) for child in others]
        waiting += [(heir, lane)] if heir is not None else []
    return found


def radius(member: Member, members: Sequence[Member]) -> float:
    """The area grows with the number of tasks."""
    most = max(m.tasks for m in members)
    small, large = RADII
    return small + (large - small) * sqrt(member.tasks / most) if most else (small + large) / 2


def along(step: int, last: int) -> float:
    """Where a step is, in pixels from the left."""
    return LEFT + (WIDTH - LEFT - RIGHT) * step / max(last, 1)


def _edge(parent: Place, child: Place, colour: str, width: float) -> Shape:
    """Down or up from the parent, then along the child's line."""
    corner = (parent.x, child.y)
    return Shape(np.array([(parent.x, parent.y), corner, (child.x, child.y)]), stroke=colour, width=width)


def _member(member: Member, place: Place, colour: str, marked: bool) -> str:
    tasks = f" on {member.tasks:,} tasks" if member.tasks else ""
    of = f", of {name(member.parent)}" if member.parent >= 0 else ""
    title = f"{name(member.id)}{of}\n{member.kind}, step {member.step}\nscore {member.score:.3f}{tasks}"
    circle = Shape(disc(place.x, place.y, place.radius), colour, INK if marked else "#ffffff", 1.6 if marked else 0.8)
    return f"<g><title>{escape(visible(title))}</title>{element(circle)}</g>"


def _losses(lost: Sequence[Lost], places: Mapping[int, Place], last: int, apart: float) -> list[str]:
    """Under their parents, at the step of their end."""
    found = []
    for child in lost:
        if child.parent not in places:
            continue
        parent, x, r = places[child.parent], along(child.step, last), min(2.4, apart / 5)
        y = parent.y + min(0.36 * apart, 9.0)
        way = np.array([(parent.x, parent.y), (parent.x, y), (x, y)])
        title = f"{name(child.id)}, of {name(child.parent)}, step {child.step}\nnot kept: {child.reason[:300]}"
        target = f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="transparent"/>'
        shapes = "".join(map(element, _cross(x, y, r)))
        found.append(element(Shape(way, stroke=FRAME, width=0.8)))
        found.append(f"<g><title>{escape(visible(title))}</title>{shapes}{target}</g>")
    return found


def _cross(x: float, y: float, r: float) -> list[Shape]:
    return [Shape(np.array([(x - r, y - s * r), (x + r, y + s * r)]), stroke=LOST, width=1.1) for s in (1, -1)]


def _written(marked: Sequence[Member], places: Mapping[int, Place]) -> list[Words]:
    """The scores of the marked line, where there is room; the last always."""
    found, right = [], float("inf")
    for member in sorted(marked, key=lambda m: (m.step, m.id), reverse=True):
        place = places[member.id]
        if place.x <= right - APART and not isnan(member.score):
            found.append(Words(f"{member.score:.2f}", (place.x, place.y - place.radius - 4), 11.0, INK, "middle"))
            right = place.x
    return found


def _axis(last: int, bottom: float) -> list[Shape | Words]:
    unit = 10.0 ** np.floor(np.log10(max(last, 10) / 4))
    step = max(int(next(unit * k for k in (1, 2, 5, 10) if last / (unit * k) <= 8)), 1)
    found: list[Shape | Words] = []
    for tick in range(0, last + 1, step):
        x = along(tick, last)
        found.append(Shape(np.array([(x, TOP - 6.0), (x, bottom)]), stroke=FRAME))
        found.append(Words(f"{tick:,}", (x, bottom + 15), 11.0, GREY, "middle"))
    return [*found, Words("step", (WIDTH / 2, bottom + 31), 11.0, GREY, "middle")]


def _legend(low: float, high: float) -> list[Shape | Words]:
    """What colours and crosses mean."""
    left, y = WIDTH - RIGHT - 170.0, 16.0
    bar = [
        Shape(np.array([(left + 3 * i, y), (left + 3 * i + 3, y)]), stroke=shade(i / 39, 1.0), width=7.0)
        for i in range(40)
    ]
    ends = [
        Words(f"score {low:.2f}", (left - 8, y + 4), 11.0, GREY, "end"),
        Words(f"{high:.2f}", (left + 128, y + 4), 11.0, GREY),
    ]
    return [*bar, *ends, *_cross(left - 152, y, 2.4), Words("not kept", (left - 144, y + 4), 11.0, GREY)]
