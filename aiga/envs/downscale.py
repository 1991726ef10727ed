"""Dynamic cells: the size and depth of picture that divides the frames seen so far into a useful number of cells.

Ecoffet et al. (2021), https://arxiv.org/abs/2004.12919, Methods, "Downscaling on the basis of visited frames".
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from aiga.envs.pixels import overlaps

SPLIT = 0.125
"""Cells wanted per frame."""


class View(NamedTuple):
    """A representation of frames."""

    width: int
    height: int
    depth: int


class Dynamic(NamedTuple):
    """When to look for better cells, and how hard.

    The authors judge by 10,000 frames of which few are sampled (0.01), for runs 300 times as long as ours.
    """

    frames: int = 1000
    """Sampled frames to judge by, the latest."""
    sample: float = 0.05
    """Probability that a frame is sampled."""
    first: int = 10_000
    """Look after so many actions, and whenever their number has doubled,"""
    every: int = 250_000
    """and each time after so many."""
    iterations: int = 1000

    def looks(self, actions: int) -> int:
        """How often to have looked after so many actions."""
        return (actions // self.first).bit_length() + actions // self.every


def objective(counts: Int[np.ndarray, " n"], split: float = SPLIT) -> float:
    """How useful a division is whose cells hold `counts` frames: O = H_n / sqrt(|n - T| / T + 1).

    H_n is the entropy of the cells' shares, 1 for equal ones; T is `split` times the number of frames.
    """
    cells, share, wanted = len(counts), counts / counts.sum(), split * counts.sum()
    if cells == 1:
        return 0.0
    entropy = -(share * np.log(share)).sum() / np.log(cells)
    return float(entropy / np.sqrt(abs(cells - wanted) / wanted + 1))


def search(
    rng: np.random.Generator, frames: UInt8[np.ndarray, "n r c"], best: View | None = None, iterations: int = 3000
) -> View:
    """The best of `iterations` random views, each drawn near the best so far; `best` is where to begin.

    Width and height are geometric with mean max(best + 1, 8), depth with mean max(best, 12).
    """
    gallery = Gallery(frames)
    score = -1.0 if best is None else objective(gallery.counts(best))
    best = best or View(1, 1, 2)
    for _ in range(iterations):
        proposed = propose(rng, best, frames.shape[1:])
        reached = objective(gallery.counts(proposed))
        if reached > score:
            best, score = proposed, reached
    return best


def propose(rng: np.random.Generator, best: View, shape: tuple[int, ...]) -> View:
    """A random view near `best`, no finer than the picture."""
    height, width = shape
    return View(
        _geometric(rng, min(1 / (best.width + 1), 20 / 160), 1, width),
        _geometric(rng, min(1 / (best.height + 1), 20 / 160), 1, height),
        _geometric(rng, min(1 / best.depth, 1 / 12), 2, 255),
    )


def _geometric(rng: np.random.Generator, p: float, low: int, high: int) -> int:
    while True:
        value = int(rng.geometric(p))
        if low <= value <= high:
            return value


class Gallery:
    """Frames whose averages of recent sizes are remembered, as the search asks for few sizes many times."""

    def __init__(self, frames: UInt8[np.ndarray, "n r c"]) -> None:
        self.frames = frames
        self.averages = lru_cache(maxsize=128)(self._averages)
        self.bands = lru_cache(maxsize=32)(self._bands)

    def counts(self, view: View) -> Int[np.ndarray, " k"]:
        """Frames per cell."""
        levels = (self.averages(view.width, view.height) * np.float32(view.depth)).astype(np.uint8)
        keys = levels.view(f"S{levels.shape[1]}").ravel()
        return np.unique(keys, return_counts=True)[1]

    def _averages(self, width: int, height: int) -> Float[np.ndarray, "n hw"]:
        """Area averages between 0 and 1."""
        _, rows, columns = self.frames.shape
        sums = self.bands(height) @ overlaps(columns, width).T
        return (sums / np.float32(255.0 * rows * columns)).reshape(len(sums), -1)

    def _bands(self, height: int) -> Float[np.ndarray, "n h c"]:
        weights = overlaps(self.frames.shape[1], height)
        return np.stack([weights @ frame.astype(np.float32) for frame in self.frames])
