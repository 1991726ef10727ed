"""Characters of many alphabets: Omniglot where it is at hand, else characters that we invent.

Omniglot (Lake, Salakhutdinov & Tenenbaum 2015, https://doi.org/10.1126/science.aab3050): 964 background and 659
evaluation characters, 20 drawings of each.  It is read from the folder that AIGA_DATA names: `omniglot/omniglot28.npz`,
or the two archives of its authors, `omniglot/images_background.zip` and `omniglot/images_evaluation.zip`.
"""

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from aiga.core.errors import UsageError, require
from aiga.data.files import DAMAGE, arrays, damaged, located, place
from aiga.data.strokes import SIDE, Hand, inked, invented, points

Source = Literal["auto", "omniglot", "drawn"]
FILE = "omniglot/omniglot28.npz"
ARCHIVES = ("omniglot/images_background.zip", "omniglot/images_evaluation.zip")
EACH = 20
"""Drawings of a character."""
COUNTS = 964, 659
"""Background and evaluation classes.  ANML's text says 963 and 660; its code takes the first 963 and the first 650."""
SPLIT = "870268009a04babaa53a8b490e49336b09df2eeed400d20a721a04d9d759b0b6"
"""SHA-256 of the names of both sets of classes in order, one a line."""
POINTS = 64
"""Points of a drawn character."""
NEAT = Hand(0.1, 0.13, 0.05, 1.2, (0.45, 0.65))


class Classes(NamedTuple):
    """Grey pictures by class: classes to learn from, and others that are seen only in tests.

    Paper is 255 and ink 0, as in ANML's and OML's code; MNIST's digits are the other way round.
    """

    train: UInt8[np.ndarray, "c each s s"]
    test: UInt8[np.ndarray, "e each s s"]
    source: str
    """`omniglot` or `drawn`."""


def characters(source: Source = "auto", side: int = SIDE) -> Classes:
    """Omniglot, or as many characters of our own.

    Args:
        source: `omniglot` must be found, `drawn` are ours, `auto` is Omniglot if it is found.
        side: Of the pictures: 28 in ANML and OML, 31 in differentiable plasticity.  All are made from 28, which is
            coarser than the originals' 105: 31 adds no detail.
    """
    if side < 1:
        raise UsageError(f"a picture's side is {side} pixels: give 1 or more; the data have {SIDE}.")
    paths = None if source == "drawn" else located(FILE) or located(*ARCHIVES)
    if source == "omniglot" and not paths:
        raise UsageError(
            f"Omniglot is not at {place(FILE)}: set AIGA_DATA to the folder that has it, or {' and '.join(ARCHIVES)}; "
            "or use drawn characters."
        )
    classes = read(paths) if paths else draw()
    return (
        classes
        if side == SIDE
        else classes._replace(train=resized(classes.train, side), test=resized(classes.test, side))
    )


def resized(pictures: UInt8[np.ndarray, "c each h w"], side: int) -> UInt8[np.ndarray, "c each side side"]:
    """The pictures at another size, smoothed where they shrink."""
    shape = pictures.shape[1], side, side
    resize = jax.jit(jax.vmap(lambda x: jnp.round(jax.image.resize(x.astype(jnp.float32), shape, "linear"))))
    parts = [
        np.asarray(resize(part)).astype(np.uint8) for part in np.array_split(pictures, max(len(pictures) // 64, 1))
    ]
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def read(paths: tuple[Path, ...]) -> Classes:
    """Omniglot from our file, or from its authors' two."""
    if len(paths) == 1:
        parts = arrays(paths[0], "background_x28", "background_names", "evaluation_x28", "evaluation_names")
    else:
        parts = [part for path in paths for part in unzipped(path)]
    background, first, evaluation, second = parts
    shapes = [(count, EACH, SIDE, SIDE) for count in COUNTS]
    if [background.shape, evaluation.shape] != shapes or {background.dtype, evaluation.dtype} != {np.dtype(np.uint8)}:
        raise damaged(paths[0].parent, f"has pictures {background.shape} and {evaluation.shape}, not {shapes} of bytes")
    if checksum(first, second) != SPLIT:
        raise damaged(paths[0].parent, "names other characters than Omniglot, or in another order")
    return Classes(background, evaluation, "omniglot")


def checksum(background: np.ndarray, evaluation: np.ndarray) -> str:
    """Of the split: SHA-256 of all names."""
    return hashlib.sha256("\n".join([*map(str, background), "", *map(str, evaluation)]).encode()).hexdigest()


def unzipped(path: Path) -> tuple[UInt8[np.ndarray, "c each 28 28"], np.ndarray]:
    """The pictures of an archive by name of their class, and the names; takes some seconds."""
    image = require("PIL.Image", "report")
    try:
        with zipfile.ZipFile(path) as file:
            drawings = sorted(name for name in file.namelist() if name.endswith(".png"))
            pictures = [shrunk(image.open(io.BytesIO(file.read(name)))) for name in drawings]
    except DAMAGE as error:
        raise damaged(path, f"is no whole archive of PNG pictures ({error})") from error
    names = ["/".join(name.split("/")[-3:-1]) for name in drawings]
    classes, counts = np.unique(names, return_counts=True)
    if len(counts) == 0 or (counts != EACH).any():
        raise damaged(path, f"has {len(drawings)} pictures, which are not {EACH} of each character")
    return np.stack(pictures).reshape(-1, EACH, SIDE, SIDE), classes


def shrunk(picture) -> UInt8[np.ndarray, "28 28"]:
    """An original at the size of ANML's and OML's code, by the same filter (Lanczos)."""
    image = require("PIL.Image", "report")
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), image.Resampling.LANCZOS))


@lru_cache(maxsize=2)
def draw(train: int = COUNTS[0], test: int = COUNTS[1], seed: int = 0) -> Classes:
    """Characters of our own, each drawn twenty times: strokes in random places, by a hand that strays."""
    rng = np.random.default_rng(seed)
    parts = [
        255 - inked(rng, np.repeat(points(invented(rng), POINTS)[None], EACH, axis=0), NEAT, None)
        for _ in range(train + test)
    ]
    return Classes(np.stack(parts[:train]), np.stack(parts[train:]), "drawn")
