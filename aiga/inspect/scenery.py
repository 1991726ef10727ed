"""The land that walkers are seen in: sky, hills, clouds, the flag at the start, and the ground."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.envs.terrain import CELLS, STEP, Terrain, pieces
from aiga.inspect.canvas import Points, Shape, disc
from aiga.runs.report import ACCENT

SKY = ("#d4e1ea", "#f8f3ec")
HILLS = ("#d3dee5", "#bdcbd4")
EARTH = ("#55626e", "#48545f", "#3b4650")
"""From the turf down."""
DEPTHS = (0.55, 1.5)
"""Where one changes to the next: m."""
GRASS, POLE = "#7f9c6b", "#2b3640"


class View(NamedTuple):
    """Which part of the world is seen."""

    left: float
    """m"""
    bottom: float
    metre: float
    """Pixels."""
    width: int
    height: int

    def pixels(self, points: Points) -> Points:
        """Where points of the world are in the picture."""
        off = (points - np.array([self.left, self.bottom])) * self.metre
        return np.stack([off[:, 0], self.height - off[:, 1]], axis=1)


class Ground(NamedTuple):
    """A terrain as it is drawn."""

    line: Points
    strata: tuple[Points, ...]
    """The upper ends of deeper layers of earth, which do not follow stumps and pits."""

    @classmethod
    def of(cls, terrain: Terrain) -> "Ground":
        line = pieces(terrain).astype(float)
        x = np.linspace(line[0, 0], line[-1, 0], 2 * CELLS)
        level = np.interp(x, line[:, 0], line[:, 1])
        window = np.lib.stride_tricks.sliding_window_view(np.pad(level, 24, mode="edge"), 49)
        calm = smooth(np.median(window, axis=1), 6)
        both = np.concatenate([line, np.stack([x, level], axis=1)])
        both = both[np.argsort(both[:, 0], kind="stable")]
        under = np.interp(both[:, 0], x, calm)
        return cls(line, tuple(np.stack([both[:, 0], np.minimum(both[:, 1], under - d)], axis=1) for d in DEPTHS))


def land(ground: Ground, view: View) -> list[Shape]:
    """All that is seen of a world, from back to front."""
    return [*_clouds(view), *_hills(view), *_flag(ground, view), *_ground(ground, view)]


def profile(terrain: Terrain, size: tuple[float, float]) -> Points:
    """The outline of the ground in a box, from its lower left to its lower right corner; the height is exaggerated."""
    ground, (width, height) = pieces(terrain), size
    low, high = ground[:, 1].min(), ground[:, 1].max()
    span = max(high - low, 5.0)
    up = (ground[:, 1] - (low + high - span) / 2) / span
    x, y = ground[:, 0] / (CELLS * STEP) * width, height * (0.88 - 0.6 * up)
    line = np.stack([np.append(x, width), np.append(y, y[-1])], axis=1)
    return np.concatenate([[[0, height]], line, [[width, height]]])


def smooth(values: Float[np.ndarray, " t"], spread: int) -> Float[np.ndarray, " t"]:
    """A moving mean with the weights of a bell `spread` values wide, the ends repeated."""
    weights = np.exp(-0.5 * (np.arange(-3 * spread, 3 * spread + 1) / spread) ** 2)
    return np.convolve(np.pad(values, 3 * spread, mode="edge"), weights / weights.sum(), mode="valid")


def _ground(ground: Ground, view: View) -> Iterator[Shape]:
    """Layers of earth, and turf where the ground is not a wall."""
    for line, colour in zip((ground.line, *ground.strata), EARTH, strict=True):
        seen = view.pixels(_between(line, view))
        floor = np.array([(seen[-1, 0], view.height + 9.0), (seen[0, 0], view.height + 9.0)])
        yield Shape(np.concatenate([seen, floor]), fill=colour)
    turf = view.pixels(_between(ground.line, view)) + np.array([0, 0.06 * view.metre])
    along, up = np.abs(np.diff(turf, axis=0)).T
    level = np.append(4 * along > up, False)
    for run in np.split(np.arange(len(turf)), np.flatnonzero(np.diff(level.astype(int))) + 1):
        if level[run[0]]:
            yield Shape(turf[run[0] : run[-1] + 2], "", GRASS, 0.14 * view.metre)


def _between(line: Points, view: View) -> Points:
    """The part of a polyline that is seen, and a little to both sides."""
    ends = view.left - 1, view.left + view.width / view.metre + 1
    inside = line[(line[:, 0] > ends[0]) & (line[:, 0] < ends[1])]
    heights = np.interp(ends, line[:, 0], line[:, 1])
    return np.array([(ends[0], heights[0]), *inside.tolist(), (ends[1], heights[1])])


def _hills(view: View) -> list[Shape]:
    """Two ranges that move less than the ground does."""
    x = np.append(np.arange(0, view.width, view.metre / 4), view.width)
    shapes = []
    for share, height, colour in zip((0.1, 0.25), (0.46, 0.36), HILLS, strict=True):
        u = x / view.metre + share * view.left + 40 * share
        wave = np.sin(0.42 * u) + 0.5 * np.sin(0.91 * u + 1) + 0.25 * np.sin(1.93 * u + 2)
        y = view.height * (1 - height - 0.07 * wave)
        shapes.append(
            Shape(np.concatenate([np.stack([x, y], axis=1), [(view.width, view.height), (0, view.height)]]), colour)
        )
    return shapes


def _clouds(view: View) -> Iterator[Shape]:
    """Some that pass slowly."""
    period = view.width + 240
    for offset, height, size in ((60, 0.16, 1.0), (330, 0.09, 0.7), (520, 0.24, 0.85)):
        x = (offset * view.width / 560 - 0.06 * view.left * view.metre) % period - 120
        y, unit = height * view.height, size * view.height / 260 * 15
        for dx, dy, radius in ((-1.5, 0.15, 0.8), (0, -0.25, 1.25), (1.5, 0.1, 0.9)):
            yield Shape(disc(x + dx * unit, y + dy * unit, radius * unit, 0.62), fill="#ffffff")


def _flag(ground: Ground, view: View) -> list[Shape]:
    """At the start."""
    x = 3 * STEP
    foot = np.array([x, np.interp(x, *ground.line.T)])
    pole = view.pixels(foot + np.array([(0, 0), (0, 1.8)]))
    cloth = view.pixels(foot + np.array([(0, 1.8), (0, 1.2), (0.85, 1.5)]))
    return [Shape(pole, "", POLE, 0.07 * view.metre), Shape(cloth, fill=ACCENT)]
