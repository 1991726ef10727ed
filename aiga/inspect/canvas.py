"""Flat drawings that can be written as SVG and painted by pillow: polygons, lines and words on a sky."""

from collections.abc import Sequence
from html import escape
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import require
from aiga.runs.report import ACCENT, INK

Points = Float[np.ndarray, "_ 2"]
PALE = "#c6d0d8"
"""The colour of what scored nothing; what is solved has the accent's."""


class Shape(NamedTuple):
    """A polygon if it has a fill, a line if it has but a stroke; in pixels from the upper left corner."""

    points: Points
    fill: str = ""
    """A colour such as #1f2933, or nothing."""
    stroke: str = ""
    width: float = 1.0
    opacity: float = 1.0


class Words(NamedTuple):
    """A line of text that begins, or ends, at a place."""

    text: str
    place: tuple[float, float]
    """Of its base line."""
    size: float = 12.0
    colour: str = INK
    anchor: str = "start"
    """`start`, `middle` or `end`."""


class Picture(NamedTuple):
    """What is drawn, from back to front."""

    width: int
    height: int
    sky: tuple[str, str]
    """The colours at the top and at the bottom."""
    shapes: Sequence[Shape | Words]


def svg(picture: Picture, name: str = "sky") -> str:
    """As SVG; `name` tells apart what pictures on one page define."""
    top, bottom = picture.sky
    size = f'width="{picture.width}" height="{picture.height}"'
    sky = (
        f'<defs><linearGradient id="{name}" x2="0" y2="1"><stop stop-color="{top}"/>'
        f'<stop offset="1" stop-color="{bottom}"/></linearGradient></defs><rect {size} fill="url(#{name})"/>'
    )
    return document(picture.width, picture.height, [sky, *map(element, picture.shapes)])


def document(width: int, height: int, elements: Sequence[str]) -> str:
    """An SVG of that size, which shrinks with its page."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="max-width:100%;height:auto"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(elements)}</svg>\n'


def element(shape: Shape | Words) -> str:
    """One shape as an SVG element."""
    if isinstance(shape, Words):
        (x, y), size = shape.place, f'font-size="{shape.size:g}" font-family="system-ui, sans-serif"'
        at = f'x="{x:.1f}" y="{y:.1f}" {size} fill="{shape.colour}" text-anchor="{shape.anchor}"'
        return f"<text {at}>{escape(shape.text)}</text>"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points.tolist())
    faint = f' opacity="{shape.opacity:.2g}"' if shape.opacity < 1 else ""
    line = f' stroke="{shape.stroke}" stroke-width="{shape.width:.1f}"' if shape.stroke else ""
    ends = ' stroke-linejoin="round" stroke-linecap="round"' if shape.stroke else ""
    kind = "polygon" if shape.fill else "polyline"
    return f'<{kind} points="{points}" fill="{shape.fill or "none"}"{line}{ends}{faint}/>'


def painted(picture: Picture, finer: int = 3) -> Any:
    """As a pillow image, painted `finer` times as large and reduced, so that edges are smooth."""
    image, draw, colour = (require(f"PIL.{name}", "report") for name in ("Image", "ImageDraw", "ImageColor"))
    ends = np.array([colour.getrgb(c) for c in picture.sky], float)
    share = np.linspace(0, 1, picture.height)[:, None, None]
    column = (ends[0] + (ends[1] - ends[0]) * share).round().astype(np.uint8)
    canvas = image.fromarray(column).resize((picture.width * finer, picture.height * finer), image.Resampling.NEAREST)
    opaque, blending = draw.Draw(canvas), draw.Draw(canvas, "RGBA")
    for shape in picture.shapes:
        if isinstance(shape, Shape):
            _paint(blending if shape.opacity < 1 else opaque, shape, finer)
    small = canvas.reduce(finer)
    pen = draw.Draw(small)
    for text in picture.shapes:
        if isinstance(text, Words):
            _write(pen, text)
    return small


def _paint(pen: Any, shape: Shape, finer: int) -> None:
    colour = require("PIL.ImageColor", "report")
    points = (shape.points * finer).ravel().tolist()
    alpha = (round(255 * shape.opacity),) if shape.opacity < 1 else ()
    if shape.fill and len(shape.points) > 2:
        pen.polygon(points, fill=(*colour.getrgb(shape.fill), *alpha))
    if shape.stroke:
        corners = points + points[:2] if shape.fill else points
        pen.line(corners, fill=(*colour.getrgb(shape.stroke), *alpha), width=round(shape.width * finer), joint="curve")


def _write(pen: Any, text: Words) -> None:
    font = require("PIL.ImageFont", "report").load_default(text.size)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[text.anchor]
    pen.text(text.place, text.text, font=font, fill=text.colour, anchor=anchor)


def rounded(corners: Points, radius: float, steps: int = 5) -> Points:
    """A polygon whose corners are cut off along arcs that begin `radius` before them, at most half a side."""
    before, after = np.roll(corners, 1, axis=0) - corners, np.roll(corners, -1, axis=0) - corners
    share = [np.minimum(0.5, radius / np.linalg.norm(side, axis=1, keepdims=True)) for side in (before, after)]
    first, last = corners + share[0] * before, corners + share[1] * after
    t = np.linspace(0, 1, steps)[:, None, None]
    arcs = (1 - t) ** 2 * first + 2 * t * (1 - t) * corners + t**2 * last  # quadratic Bezier curves
    return arcs.swapaxes(0, 1).reshape(-1, 2)


def disc(x: float, y: float, radius: float, flat: float = 1.0) -> Points:
    """The outline of a circle, or of an ellipse of `flat` times the height."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + flat * radius * np.sin(angle)], axis=1)


def shade(score: float, goal: float) -> str:
    """From pale, zero and less or unknown, to the accent: solved."""
    share = 0.0 if isnan(score) else min(max(score / goal, 0.0), 1.0)
    ends = [np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in (PALE, ACCENT)]
    mixed = (ends[0] + share * (ends[1] - ends[0])).round().astype(int)
    return "#" + "".join(f"{part:02x}" for part in mixed)
