"""Pictures of textures of our own: stripes, checks, dots and patches, of which every class has one kind, way and size.

Two waves cross; what they make together is bent, cut off at a level, and lit unevenly.  Pictures of a class differ in
where the pattern lies, how it is turned, stretched, bent and lit.  Imports numpy alone.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it fill the circle evenly, however many there are."""
KINDS: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda a, b: a + 0 * b,
    lambda a, b: 1.4 * a * b,
    lambda a, b: a + b - 0.8,
    lambda a, b: np.abs(a + b) - 0.6,
    lambda a, b: np.maximum(a, b) - 0.5,
)
"""What two waves make: stripes, checks, dots, patches, a lattice."""


def textures(classes: int, each: int, side: int = 28, seed: int = 0) -> UInt8[np.ndarray, "classes each side side"]:
    """Grey pictures of so many textures, as many of each; the first classes are the same, however many there are."""
    rngs = np.random.default_rng(seed).spawn(classes)
    return np.stack([(255 * woven(rng, kind, each, side)).astype(np.uint8) for kind, rng in enumerate(rngs)])


def coloured(classes: int, each: int, side: int = 32, seed: int = 0) -> UInt8[np.ndarray, "classes each side side 3"]:
    """The same in colours: each class has two, and each picture others near them."""
    rngs = np.random.default_rng(seed).spawn(classes)
    return np.stack([dyed(rng, woven(rng, kind, each, side), kind) for kind, rng in enumerate(rngs)])


def woven(rng: Generator, kind: int, n: int, side: int) -> Float[np.ndarray, "n side side"]:
    """Pictures of one texture, in [0, 1]."""
    turn = np.pi * GOLDEN * kind + rng.normal(0, 0.12, n)
    waves = 2.5 + 4 * (kind * GOLDEN**2 % 1)
    first, second = waves * rng.normal(1, 0.06, (2, n)) * np.array([[1.0], [0.6 + 0.8 * (kind * 0.37 % 1)]])
    x, y = bent(rng, n, side)
    along = x * column(np.cos(turn)) + y * column(np.sin(turn))
    across = y * column(np.cos(turn)) - x * column(np.sin(turn))
    a, b = (
        np.cos(np.pi * column(count) * where + column(rng.uniform(0, 2 * np.pi, n)))
        for count, where in ((first, along), (second, across))
    )
    level = KINDS[kind % len(KINDS)](a, b)
    cut = 1 / (1 + np.exp(-4 * level))
    light = column(rng.uniform(0.7, 1, n)) + 0.15 * (column(rng.normal(0, 1, n)) * x + column(rng.normal(0, 1, n)) * y)
    return np.clip(light * (0.08 + 0.84 * cut) + rng.normal(0, 0.03, cut.shape), 0, 1)


def bent(
    rng: Generator, n: int, side: int
) -> tuple[Float[np.ndarray, "n side side"], Float[np.ndarray, "n side side"]]:
    """Where each pixel lies in a cloth that is not quite flat; x and y within [-1, 1]."""
    line = np.linspace(-1, 1, side)
    x, y = np.broadcast_to(line, (n, side, side)), np.broadcast_to(line[:, None], (n, side, side))
    size, phase = column(rng.normal(0, 0.05, (2, n))), column(rng.uniform(0, 2 * np.pi, (2, n)))
    return x + size[0] * np.sin(np.pi * y + phase[0]), y + size[1] * np.sin(np.pi * x + phase[1])


def dyed(rng: Generator, pictures: Float[np.ndarray, "n s s"], kind: int) -> UInt8[np.ndarray, "n s s 3"]:
    """The pictures between a dark and a light colour of the class."""
    hue = 2 * np.pi * (kind * GOLDEN + np.arange(3) / 3)
    dark, light = 0.3 + 0.25 * np.cos(hue), 0.7 + 0.25 * np.cos(hue + 2.1)
    near = rng.normal(0, 0.06, (2, len(pictures), 1, 1, 3))
    return (255 * np.clip(dark + near[0] + pictures[..., None] * (light + near[1] - dark), 0, 1)).astype(np.uint8)


def column(numbers: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 1 1"]:
    """One number for each picture."""
    return numbers[..., None, None]
