"""Cells of worlds that have a picture: its area average, in a few levels of grey.

Imports numpy alone: runs in worker processes.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8


class Pixels(NamedTuple):
    """Cells without domain knowledge, of any world with a grey `frame()`.

    Ecoffet et al. (2019), https://arxiv.org/abs/1901.10995, section 2.1: 11 x 8 pixels of 8 levels; as in the authors'
    code pure white is a level of its own.  Their library rounds the averages to whole greys first.
    """

    width: int = 11
    height: int = 8
    depth: int = 8

    def __call__(self, env: Any) -> bytes:
        return shrink(env.frame(), self.width, self.height, self.depth).tobytes()


def shrink(frame: UInt8[np.ndarray, "r c"], width: int, height: int, depth: int) -> UInt8[np.ndarray, "h w"]:
    """The area-averaged frame in levels 0..`depth`.

    All sums are whole numbers, which float32 holds up to 65,793 pixels: machines do not differ in the last bit.
    The result is overwritten by the next call for the same sizes.
    """
    rows, columns, grey, bands, sums, levels, unit = _areas(frame.shape, width, height)
    grey[...] = frame
    rows.dot(grey, bands)
    bands.dot(columns, sums)
    return np.multiply(sums, depth * unit, levels, casting="unsafe")


class _Areas(NamedTuple):
    """How much of each row and column lies in each cell, as whole numbers, and work space: allocating costs time."""

    rows: Float[np.ndarray, "h r"]
    columns: Float[np.ndarray, "c w"]
    grey: Float[np.ndarray, "r c"]
    bands: Float[np.ndarray, "h c"]
    sums: Float[np.ndarray, "h w"]
    levels: UInt8[np.ndarray, "h w"]
    unit: float
    """One over the sum of a white cell."""


@lru_cache(maxsize=32)
def _areas(shape: tuple[int, int], width: int, height: int) -> _Areas:
    grey, bands, sums = (np.empty(s, np.float32) for s in (shape, (height, shape[1]), (height, width)))
    rows, columns = overlaps(shape[0], height), overlaps(shape[1], width).T.copy()
    return _Areas(rows, columns, grey, bands, sums, np.empty((height, width), np.uint8), 1.0 / (255.0 * grey.size))


def overlaps(pixels: int, cells: int) -> Float[np.ndarray, "c p"]:
    """How much of each pixel lies in each of `cells` equal parts of a line, in units of 1 / `cells` pixels."""
    cell, pixel = np.arange(cells)[:, None] * pixels, np.arange(pixels)[None] * cells
    shared = np.minimum(cell + pixels, pixel + cells) - np.maximum(cell, pixel)
    return np.maximum(shared, 0).astype(np.float32)
