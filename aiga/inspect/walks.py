"""Pictures of the planar walker of POET: a moment, a film, a whole course, the profile of a world.

`poses` are those of `aiga.envs.hills.poses`: x, y and angle of hull, thigh A, shank A, thigh B and shank B, of which
leg B is drawn behind the hull.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.core.errors import UsageError, require
from aiga.envs.hills import RAYS, SIGHT
from aiga.envs.links import LENGTH, OUTLINES, WIDTH
from aiga.envs.terrain import CELLS, STEP, Terrain
from aiga.inspect import canvas
from aiga.inspect.canvas import Picture, Points, Shape, Words, disc, rounded
from aiga.inspect.scenery import EARTH, GRASS, SKY, Ground, View, land, profile, smooth
from aiga.runs.report import ACCENT

METRE = 36.0
"""Pixels, in a picture 260 pixels high."""
LEG, SHANK, FAR_LEG, FAR_SHANK = "#b93d08", "#a33407", "#7d4632", "#6d3d2c"
LIGHT, DARK, WHITE = "#ee7a45", "#2b3640", "#fdf6ee"
BACK = np.array([(-0.8, 0.19), (0.12, 0.19), (0.5, 0.1)])
"""A streak of light on the hull."""

Poses = Float[np.ndarray, "t 5 3"]


class Look(NamedTuple):
    """What is drawn beside ground and walker."""

    rays: bool = False
    """Of the rangefinder."""
    trail: bool = False
    """The way of the hull and of the feet until now."""
    label: str = ""


def svg(terrain: Terrain, poses: Any, *, at: int = -1, size: tuple[int, int] = (720, 330), **look: Any) -> str:
    """One of the poses (t, 5, 3) on its ground, as SVG; `look` is as in `Look`."""
    return canvas.svg(moment(terrain, poses, at, size, Look(**look)), name="walk")


def frame(terrain: Terrain, poses: Any, *, at: int = -1, size: tuple[int, int] = (720, 330), **look: Any) -> Any:
    """One of the poses (t, 5, 3) on its ground, as a pillow image; `look` is as in `Look`."""
    return canvas.painted(moment(terrain, poses, at, size, Look(**look)))


def film(
    path: Path, terrain: Terrain, poses: Any, *, size: tuple[int, int] = (560, 260), most: int = 400, **look: Any
) -> Path:
    """Write an episode as a GIF of at most about `most` pictures, 25 a second; a longer one is sped up."""
    image = require("PIL.Image", "report")
    found = checked(poses)
    every = max(2, -(-len(found) // most))
    shown = sorted({*range(0, len(found), every), len(found) - 1})
    ground = Ground.of(terrain)
    views = follow(ground, found, size)
    drawn = [canvas.painted(_moment(ground, found, i, views[i], Look(**look)), finer=2) for i in shown]
    palette = _palette(drawn)
    pictures = [picture.quantize(palette=palette, dither=image.Dither.NONE) for picture in drawn]
    durations = [40] * (len(pictures) - 1) + [1_500]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
    return path


def strip(terrain: Terrain, poses: Any = None, *, apart: float = 4.0, width: int = 1200) -> str:
    """A whole course as SVG, with the walker at its last pose and whenever it had got `apart` metres further."""
    ground = Ground.of(terrain)
    low, high = ground.line[:, 1].min() - 1.2, ground.line[:, 1].max() + 4.2
    metre = width / (CELLS * STEP)
    view = View(0.0, low, metre, width, round((high - low) * metre))
    shapes: list[Shape | Words] = [*land(ground, view)]
    if poses is not None:
        found = checked(poses)
        shapes += [_trail(found[:, 0, :2], view, ACCENT)]
        reached = np.floor(np.maximum.accumulate(found[:, 0, 0]) / apart)
        for pose in [*found[np.flatnonzero(np.diff(reached))], found[-1]]:
            shapes += walker(pose, view)
    return canvas.svg(Picture(view.width, view.height, SKY, shapes), name="strip")


def thumbnail(terrain: Terrain, *, size: tuple[int, int] = (160, 36)) -> str:
    """The profile of a world as a small SVG."""
    points = profile(terrain, (float(size[0]), float(size[1])))
    shapes = [Shape(points, fill=GRASS), Shape(points + np.array([0.0, 1.2]), fill=EARTH[1])]
    return canvas.svg(Picture(*size, SKY, shapes), name="thumbnail")


def checked(poses: Any) -> Poses:
    """As an array (t, 5, 3), without what follows a pose that is not finite."""
    found = np.asarray(poses, float)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1:] != (5, 3) or not np.isfinite(found[:1]).all() or not len(found):
        raise UsageError(f"Poses are finite numbers of shape (t, 5, 3) with t > 0; these have shape {found.shape}.")
    broken = ~np.isfinite(found).all(axis=(1, 2))
    return found[: broken.argmax()] if broken.any() else found


def moment(terrain: Terrain, poses: Any, at: int, size: tuple[int, int], look: Look) -> Picture:
    """The walker where it was at one of its poses."""
    found = checked(poses)
    at, ground = range(len(found))[at], Ground.of(terrain)
    return _moment(ground, found, at, follow(ground, found, size)[at], look)


def follow(ground: Ground, poses: Poses, size: tuple[int, int]) -> list[View]:
    """What a calm camera sees that has the hull on its left and the ground in its lower third."""
    x = poses[:, 0, 0]
    around = x[:, None] + np.linspace(-3, 9, 25)
    level = np.interp(around, *ground.line.T).mean(axis=1)
    level = 0.65 * level + 0.35 * (poses[:, 0, 1] - 2.2)
    metre = METRE * size[1] / 260
    left, bottom = smooth(x, 12) - 0.36 * size[0] / metre, smooth(level, 40) - 0.3 * size[1] / metre
    return [View(*place, metre, *size) for place in zip(left.tolist(), bottom.tolist(), strict=True)]


def _moment(ground: Ground, poses: Poses, at: int, view: View, look: Look) -> Picture:
    pose = poses[at]
    shapes: list[Shape | Words] = [*land(ground, view)]
    if look.trail:
        ways = [poses[: at + 1, 0, :2], *(feet(poses[: at + 1, shank]) for shank in (2, 4))]
        shapes += [_trail(way, view, colour) for way, colour in zip(ways, (ACCENT, LEG, FAR_LEG), strict=True)]
    if look.rays:
        shapes += _rays(pose[0, :2], ground.line, view)
    shapes += walker(pose, view)
    if look.label:
        shapes.append(Words(look.label, (12.0, 22.0), 13.0, DARK))
    return Picture(view.width, view.height, SKY, shapes)


def walker(pose: Float[np.ndarray, "5 3"], view: View) -> list[Shape]:
    """The far leg, the near leg and the hull."""
    far = _leg(pose, 3, view, (FAR_LEG, FAR_SHANK))
    return [
        *far,
        *_leg(pose, 1, view, (LEG, SHANK)),
        _dot(pose[1], (0.0, -0.5 * LENGTH), 0.05, view),
        *_hull(pose[0], view),
    ]


def _leg(pose: Float[np.ndarray, "5 3"], thigh: int, view: View, colours: tuple[str, str]) -> list[Shape]:
    shank = thigh + 1
    knee = _dot(pose[thigh], (0.0, -0.5 * LENGTH), 0.36 * WIDTH, view, colours[0])
    return [
        _limb(pose[shank], OUTLINES[shank], view, colours[1]),
        knee,
        _limb(pose[thigh], OUTLINES[thigh], view, colours[0]),
    ]


def _hull(pose: Float[np.ndarray, "3"], view: View) -> list[Shape]:
    outline = rounded(OUTLINES[0], 0.22)
    belly = np.stack([outline[:, 0], np.minimum(outline[:, 1], -0.13)], axis=1)
    back = Shape(view.pixels(_placed(BACK, pose)), "", LIGHT, 0.07 * view.metre)
    parts = [Shape(view.pixels(_placed(part, pose)), colour) for part, colour in ((outline, ACCENT), (belly, LEG))]
    return [*parts, back, _dot(pose, (0.72, 0.0), 0.13, view, WHITE), _dot(pose, (0.76, -0.01), 0.065, view, DARK)]


def _limb(pose: Float[np.ndarray, "3"], outline: Points, view: View, colour: str) -> Shape:
    return Shape(view.pixels(_placed(rounded(outline, 0.16), pose)), fill=colour)


def _dot(
    pose: Float[np.ndarray, "3"], place: tuple[float, float], radius: float, view: View, colour: str = LIGHT
) -> Shape:
    [[x, y]] = view.pixels(_placed(np.array([place]), pose))
    return Shape(disc(x, y, radius * view.metre), fill=colour)


def _placed(points: Points, pose: Float[np.ndarray, "3"]) -> Points:
    """Points of a link's frame in the world."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return points @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]


def feet(shanks: Float[np.ndarray, "t 3"]) -> Points:
    """The lower ends of a leg."""
    reach = np.stack([np.sin(shanks[:, 2]), -np.cos(shanks[:, 2])], axis=1)
    return shanks[:, :2] + 0.5 * LENGTH * reach


def _trail(way: Points, view: View, colour: str) -> Shape:
    return Shape(view.pixels(way), "", colour, 0.05 * view.metre, 0.45)


def _rays(origin: Float[np.ndarray, "2"], ground: Points, view: View) -> list[Shape]:
    """The rangefinder's rays, as far as they get."""
    rays = SIGHT * np.stack([np.sin(RAYS), -np.cos(RAYS)], axis=1)
    start, edge = ground[:-1] - origin, np.diff(ground, axis=0)
    shapes = []
    for ray in rays:
        across = ray[0] * edge[:, 1] - ray[1] * edge[:, 0]
        across = np.where(across == 0, 1e-9, across)
        along = (start[:, 0] * edge[:, 1] - start[:, 1] * edge[:, 0]) / across
        place = (start[:, 0] * ray[1] - start[:, 1] * ray[0]) / across
        hits = along[(along >= 0) & (along <= 1) & (place >= 0) & (place <= 1)]
        end = origin + ray * hits.min(initial=1.0)
        [[x, y]] = view.pixels(end[None]).tolist()
        shapes.append(Shape(view.pixels(np.stack([origin, end])), "", ACCENT, 1.0, 0.35))
        shapes += [Shape(disc(x, y, 2.2), fill=ACCENT)] * bool(hits.size)
    return shapes


def _palette(pictures: Sequence[Any]) -> Any:
    """The colours of some of the pictures."""
    image = require("PIL.Image", "report")
    some = pictures[:: max(1, len(pictures) // 6)]
    sheet = image.new("RGB", (some[0].width, some[0].height * len(some)))
    for i, picture in enumerate(some):
        sheet.paste(picture, (0, i * picture.height))
    return sheet.quantize(64, dither=image.Dither.NONE)
