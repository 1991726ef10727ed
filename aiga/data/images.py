"""Pictures of digits: MNIST where it is at hand, else digits that we draw.

MNIST (LeCun, Cortes & Burges) is read from the file `mnist/mnist_small.npz` of the folder that the environment variable
AIGA_DATA names.  Nothing is downloaded.  Imports numpy alone.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from aiga.core.errors import UsageError
from aiga.data.strokes import SIDE, inked, points

Source = Literal["auto", "mnist", "drawn"]
FILE = Path("mnist") / "mnist_small.npz"


class Images(NamedTuple):
    """Grey pictures in [0, 255], in no order, what they show, and where they come from."""

    train_x: UInt8[np.ndarray, "n 28 28"]
    train_y: UInt8[np.ndarray, " n"]
    test_x: UInt8[np.ndarray, "m 28 28"]
    test_y: UInt8[np.ndarray, " m"]
    source: str
    """`mnist` or `drawn`."""


def digits(source: Source = "auto") -> Images:
    """10,000 training and 10,000 test digits of MNIST, or 4,000 and 1,000 drawn ones.

    Args:
        source: `mnist` must be found, `drawn` are ours, `auto` is MNIST if it is found.
    """
    path = Path(os.environ.get("AIGA_DATA", "")) / FILE
    found = "AIGA_DATA" in os.environ and path.exists()
    if source == "mnist" and not found:
        raise UsageError(f"MNIST is not at {path}: set AIGA_DATA to the folder that has {FILE}, or use drawn digits.")
    return read(path) if found and source != "drawn" else draw()


@lru_cache(maxsize=1)
def read(path: Path) -> Images:
    """The file's pictures; those for training are by class there, and shuffled here."""
    with np.load(path) as file:
        order = np.random.default_rng(0).permutation(len(file["train_y"]))
        return Images(file["train_x"][order], file["train_y"][order], file["test_x"], file["test_y"], "mnist")


@lru_cache(maxsize=2)
def draw(train: int = 4_000, test: int = 1_000, seed: int = 0) -> Images:
    """Digits of our own, as many of each as can be: strokes that are turned, sheared, stretched, moved and bent."""
    rng = np.random.default_rng(seed)
    labels = [rng.permutation(np.arange(n) % 10).astype(np.uint8) for n in (train, test)]
    pictures = [drawn(rng, y) for y in labels]
    return Images(pictures[0], labels[0], pictures[1], labels[1], "drawn")


def drawn(rng: np.random.Generator, labels: UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 28 28"]:
    """One picture for each label."""
    ink = np.stack([points(strokes) for strokes in STROKES])
    return inked(rng, ink[labels])


STROKES = (
    (((0.0, -1.0), (-0.7, -0.9), (-0.7, 0.9), (0.0, 1.0), (0.7, 0.9), (0.7, -0.9), (0.0, -1.0)),),
    (((-0.25, -0.7), (0.1, -1.0), (0.1, 1.0)),),
    (((-0.6, -0.6), (-0.4, -1.0), (0.6, -1.0), (0.6, -0.2), (-0.6, 0.95), (-0.5, 1.0), (0.7, 0.95)),),
    (((-0.6, -0.9), (0.6, -1.1), (0.7, -0.1), (-0.1, -0.05), (0.8, 0.0), (0.7, 1.1), (-0.65, 0.9)),),
    (((-0.3, -1.0), (-0.7, 0.2), (-0.6, 0.25), (0.7, 0.2)), ((0.35, -0.4), (0.25, 1.0))),
    (((0.6, -1.0), (-0.4, -1.0), (-0.5, -0.2), (0.6, -0.4), (0.8, 0.8), (0.2, 1.1), (-0.6, 0.85)),),
    (((0.4, -1.0), (-0.6, -0.5), (-0.7, 0.9), (0.2, 1.1), (0.8, 0.4), (0.2, -0.1), (-0.6, 0.4)),),
    (((-0.7, -0.9), (-0.6, -1.0), (0.7, -1.0), (0.6, -0.8), (-0.1, 1.0)),),
    (
        ((0.0, -0.1), (-0.6, -0.2), (-0.5, -1.0), (0.5, -1.0), (0.6, -0.2), (0.0, -0.1)),
        ((0.0, -0.1), (-0.8, 0.1), (-0.6, 1.05), (0.6, 1.05), (0.8, 0.1), (0.0, -0.1)),
    ),
    (((0.5, -0.5), (0.1, -1.1), (-0.7, -0.8), (-0.6, 0.0), (0.2, 0.1), (0.6, -0.7), (0.5, 0.0), (0.3, 1.0)),),
)
"""Of each digit: corners of its strokes."""


def shrunk(pictures: UInt8[np.ndarray, "n 28 28"], side: int) -> Float[np.ndarray, "n side side"]:
    """The pictures in [0, 1] at a smaller size that divides 28: averages of square blocks."""
    block = SIDE // side
    blocks = pictures.reshape(-1, side, block, side, block).astype(np.float32)
    return blocks.mean(axis=(2, 4)) / 255
