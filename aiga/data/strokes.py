"""Pictures of strokes, each drawn by another hand: turned, sheared, stretched, moved and bent.  Imports numpy alone."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

SIDE = 28
"""Of a picture, in pixels."""
Strokes = tuple[tuple[tuple[float, float], ...], ...]
"""Of one figure: the corners of each stroke, x to the right and y down, within [-1, 1]."""


class Hand(NamedTuple):
    """How far drawings of one figure differ: standard deviations, and the range of the pen's width.

    Turns are in radians, bends in half sides, shifts and widths in pixels.
    """

    turn: float = 0.15
    stretch: float = 0.1
    bend: float = 0.07
    shift: float = 1.0
    width: tuple[float, float] = (0.8, 1.3)


FREE = Hand()


def inked(
    rng: np.random.Generator, lines: Float[np.ndarray, "n length 2"], hand: Hand = FREE, ink: float | None = 0.8
) -> UInt8[np.ndarray, "n 28 28"]:
    """A drawing of each line, 255 where a line is.

    `ink` is what a point of the line leaves; None: as much as makes lines black, however long they are.
    """
    n = len(lines)
    lines = lines + bends(rng, n, lines.shape[1], hand.bend)
    turn, shear = rng.normal(0, hand.turn, (2, n))
    stretch = rng.normal(1, hand.stretch, (n, 2))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.stack([np.stack([cos, shear - sin], 1), np.stack([sin, cos], 1)], 1) * stretch[:, None]
    places = SIDE / 2 + 10 * (lines @ matrix.transpose(0, 2, 1)) + rng.normal(0, hand.shift, (n, 1, 2))
    width = rng.uniform(*hand.width, (n, 1, 1))
    across, down = (np.exp(-(((places[..., i, None] - np.arange(SIDE)) / width) ** 2) / 2) for i in (0, 1))
    amount = ink or density(places, width)
    return (255 * np.clip(amount * (down.transpose(0, 2, 1) @ across), 0, 1)).astype(np.uint8)


def density(places: Float[np.ndarray, "n length 2"], width: Float[np.ndarray, "n 1 1"]) -> Float[np.ndarray, "n 1 1"]:
    """What a point must leave for black lines: the median step over the area under the pen's bell, and a fifth more."""
    steps = np.linalg.norm(np.diff(places, axis=1), axis=2)
    return 1.2 * np.median(steps, axis=1)[:, None, None] / (width * np.sqrt(2 * np.pi))


def invented(rng: np.random.Generator) -> Strokes:
    """A character that nobody knows: one to four strokes, each of five where it keeps away from those before.

    The first has a corner: straight lines alone would be alike.
    """
    strokes = [stroke(rng, (0.0, 0.75, 0.25))]
    for _ in range(rng.choice(4, p=(0.25, 0.4, 0.25, 0.1))):
        known = np.concatenate(strokes)
        others = [stroke(rng) for _ in range(5)]
        near = [np.linalg.norm(other[:, None] - known, axis=2).min(axis=1).mean() for other in others]
        strokes.append(others[int(np.argmax(near))])
    known = np.concatenate(strokes)
    low, high = known.min(axis=0), known.max(axis=0)
    placed = [(line - (low + high) / 2) * 1.7 / (high - low).max() for line in strokes]
    return tuple(tuple((float(x), float(y)) for x, y in line) for line in placed)


def stroke(
    rng: np.random.Generator, chances: tuple[float, float, float] = (0.45, 0.4, 0.15), steps: int = 4
) -> Float[np.ndarray, "corners 2"]:
    """One to three pieces, straight or bent one way, with a corner between them.

    `chances` are those of one, two and three pieces; each has so many straight `steps`.
    """
    pieces = int(rng.choice(3, p=chances)) + 1
    curve = rng.uniform(1.5, 4, pieces) * rng.choice((-1, 0, 0, 1), pieces) / steps
    turns = np.repeat(curve, steps)
    turns[::steps] = rng.uniform(0.8, 2.3, pieces) * rng.choice((-1, 1), pieces)
    turns[0] = rng.integers(8) * np.pi / 4 + rng.normal(0, 0.15)
    way = np.cumsum(turns)
    lengths = np.repeat(rng.uniform(0.5, 1.3, pieces), steps) / steps
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(lengths[:, None] * np.stack([np.cos(way), np.sin(way)], 1), 0)])
    return line - (line.min(axis=0) + line.max(axis=0)) / 2 + rng.uniform(-0.7, 0.7, 2)


def bends(rng: np.random.Generator, n: int, length: int, most: float) -> Float[np.ndarray, "n length 2"]:
    """How a hand strays from the line: two slow waves each way."""
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 2, 2))
    size = rng.normal(0, most, (n, 1, 2, 2))
    time = np.linspace(0, 2 * np.pi, length)[:, None, None] * np.array([1.0, 2.0])
    return (size * np.sin(time + phase)).sum(axis=-1)


def points(strokes: Strokes, count: int = 48) -> Float[np.ndarray, "count 2"]:
    """So many points on the strokes, evenly spread; x to the right and y down, within [-1, 1]."""
    lines = [rounded(np.array(stroke)) for stroke in strokes]
    ends = np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in lines])
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    reached = np.concatenate([[0], np.cumsum(length)])
    place = (np.arange(count) + 0.5) / count * reached[-1]
    segment = np.searchsorted(reached, place, side="right") - 1
    share = (place - reached[segment]) / length[segment]
    return ends[segment, 0] + share[:, None] * (ends[segment, 1] - ends[segment, 0])


def rounded(corners: Float[np.ndarray, "c 2"], times: int = 2) -> Float[np.ndarray, "p 2"]:
    """The line with its corners cut off, twice (Chaikin 1974); its ends stay."""
    for _ in range(times):
        before, after = corners[:-1], corners[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        corners = np.concatenate([corners[:1], cut[1:-1], corners[-1:]])
    return corners
