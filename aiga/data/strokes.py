"""Pictures of strokes, each drawn by another hand: turned, sheared, stretched, moved and bent.  Imports numpy alone."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

SIDE = 28
"""Of a picture, in pixels."""
Strokes = tuple[tuple[tuple[float, float], ...], ...]
"""Of one figure: the corners of each stroke, x to the right and y down, within [-1, 1]."""


class Hand(NamedTuple):
    """How far drawings of one figure differ: standard deviations (radians, shares, pixels), and the range of the pen's width in pixels."""

    turn: float = 0.15
    stretch: float = 0.1
    bend: float = 0.07
    shift: float = 1.0
    width: tuple[float, float] = (0.8, 1.3)


FREE = Hand()


def inked(
    rng: np.random.Generator, lines: Float[np.ndarray, "n length 2"], hand: Hand = FREE
) -> UInt8[np.ndarray, "n 28 28"]:
    """A drawing of each line; ink is 255."""
    n = len(lines)
    lines = lines + bends(rng, n, lines.shape[1], hand.bend)
    turn, shear = rng.normal(0, hand.turn, (2, n))
    stretch = rng.normal(1, hand.stretch, (n, 2))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.stack([np.stack([cos, shear - sin], 1), np.stack([sin, cos], 1)], 1) * stretch[:, None]
    places = SIDE / 2 + 10 * (lines @ matrix.transpose(0, 2, 1)) + rng.normal(0, hand.shift, (n, 1, 2))
    width = rng.uniform(*hand.width, (n, 1, 1))
    across, down = (np.exp(-(((places[..., i, None] - np.arange(SIDE)) / width) ** 2) / 2) for i in (0, 1))
    return (255 * np.clip(0.8 * (down.transpose(0, 2, 1) @ across), 0, 1)).astype(np.uint8)


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
