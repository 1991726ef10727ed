"""Labelled pictures: MNIST's digits and CIFAR's objects where they are at hand, else digits and textures that we draw.

Read from the folder that the environment variable AIGA_DATA names; nothing is downloaded.  MNIST (LeCun, Cortes &
Burges): the four IDX files of its authors in `mnist`, packed or not, or `mnist/mnist_small.npz`.  CIFAR-10 and
CIFAR-100 (Krizhevsky 2009): the folders that their binary versions unpack to, `cifar-10-batches-bin` and
`cifar-100-binary`.  The Python versions are pickles, which can run programs, and are refused.  Imports numpy alone.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from aiga.core.errors import UsageError
from aiga.data.files import arrays, content, damaged, idx, located, place
from aiga.data.strokes import SIDE, inked, points
from aiga.data.textures import coloured

Source = Literal["auto", "mnist", "drawn"]
Objects = Literal["auto", "cifar10", "cifar100", "textures"]
FILE = "mnist/mnist_small.npz"
IDX = (
    "mnist/train-images-idx3-ubyte",
    "mnist/train-labels-idx1-ubyte",
    "mnist/t10k-images-idx3-ubyte",
    "mnist/t10k-labels-idx1-ubyte",
)


class Images(NamedTuple):
    """Pictures in [0, 255], in no order, what they show, and where they come from."""

    train_x: UInt8[np.ndarray, "n *pixels"]
    train_y: UInt8[np.ndarray, " n"]
    test_x: UInt8[np.ndarray, "m *pixels"]
    test_y: UInt8[np.ndarray, " m"]
    source: str
    """`mnist` or `drawn`; `cifar10`, `cifar100` or `textures`."""


class Cifar(NamedTuple):
    """Files of records: `labels` bytes, of which the last is the class, then 32 x 32 bytes of each colour."""

    name: Literal["cifar10", "cifar100"]
    files: tuple[str, ...]
    """The last is the test set."""
    counts: tuple[int, ...]
    labels: int
    classes: int


CIFARS = (
    Cifar(
        "cifar10",
        tuple(f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")),
        (10_000,) * 6,
        labels=1,
        classes=10,
    ),
    Cifar("cifar100", ("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"), (50_000, 10_000), 2, 100),
)
PICKLED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def digits(source: Source = "auto") -> Images:
    """MNIST's grey digits, as many as its files have, or 4,000 for training and 1,000 for tests that we draw.

    Args:
        source: `mnist` must be found, `drawn` are ours, `auto` is MNIST if it is found.
    """
    paths = None if source == "drawn" else located(*IDX) or located(FILE)
    if source == "mnist" and not paths:
        raise UsageError(
            f"MNIST is not at {place(FILE)}: set AIGA_DATA to the folder that has {FILE} or MNIST's four IDX files in "
            "mnist, or use drawn digits."
        )
    return read(paths) if paths else draw()


def objects(source: Objects = "auto") -> Images:
    """CIFAR's coloured pictures, 32 x 32, or 4,000 for training and 1,000 for tests of ten textures that we make.

    Args:
        source: `cifar10` and `cifar100` must be found, `textures` are ours, `auto` is the first of CIFAR-10 and
            CIFAR-100 that is found.  The classes of CIFAR-100 are the fine ones.
    """
    for cifar in CIFARS:
        if source not in ("auto", cifar.name):
            continue
        paths = located(*cifar.files)
        if paths:
            return unpacked(cifar, paths)
        if place(PICKLED[cifar.name]).exists() and source != "textures":
            raise UsageError(
                f"{place(PICKLED[cifar.name])} holds pickles, which can run programs: get the binary version, which "
                f"unpacks to {Path(cifar.files[0]).parent}, or take the pickles away."
            )
        if source == cifar.name:
            raise UsageError(
                f"{cifar.name} is not at {place(cifar.files[0]).parent}: unpack its binary version in the folder that "
                "AIGA_DATA names, or use textures."
            )
    return woven()


@lru_cache(maxsize=1)
def read(paths: tuple[Path, ...]) -> Images:
    """MNIST; its training pictures may be by class in the file, and are shuffled here."""
    if len(paths) == 1:
        train_x, train_y, test_x, test_y = arrays(paths[0], "train_x", "train_y", "test_x", "test_y")
    else:
        train_x, train_y, test_x, test_y = (idx(path, 3 - 2 * (i % 2)) for i, path in enumerate(paths))
    for path, x, y in ((paths[0], train_x, train_y), (paths[-1], test_x, test_y)):
        if x.shape != (len(y), SIDE, SIDE) or {x.dtype, y.dtype} != {np.dtype(np.uint8)} or y.max(initial=0) > 9:
            raise damaged(path, f"has pictures {x.shape} for labels {y.shape}, not bytes (n, 28, 28) for n digits")
    order = np.random.default_rng(0).permutation(len(train_y))
    return Images(train_x[order], train_y[order], test_x, test_y, "mnist")


@lru_cache(maxsize=1)
def unpacked(cifar: Cifar, paths: tuple[Path, ...]) -> Images:
    """The pictures of CIFAR's binary files, in their order; every class must be as frequent as it should be."""
    parts = [records(cifar, path, count) for path, count in zip(paths, cifar.counts, strict=True)]
    train_x, train_y = (np.concatenate(of) for of in zip(*parts[:-1], strict=True))
    test_x, test_y = parts[-1]
    for path, y in ((paths[0], train_y), (paths[-1], test_y)):
        if (np.bincount(y, minlength=cifar.classes) != len(y) / cifar.classes).any():
            raise damaged(path.parent, f"has not the same number of each of {cifar.classes} classes")
    return Images(train_x, train_y, test_x, test_y, cifar.name)


def records(cifar: Cifar, path: Path, count: int) -> tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, " n"]]:
    """The pictures and labels of one file."""
    data, size = content(path), cifar.labels + 3 * 32 * 32
    if len(data) != count * size:
        raise damaged(path, f"has {len(data)} bytes where {count} pictures of {cifar.name} take {count * size}")
    rows = np.frombuffer(data, np.uint8).reshape(count, size)
    pictures = rows[:, cifar.labels :].reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures), rows[:, cifar.labels - 1].copy()


@lru_cache(maxsize=1)
def woven(train: int = 400, test: int = 100, classes: int = 10) -> Images:
    """Textures of our own: so many of each class, mixed."""
    pictures = coloured(classes, train + test)
    rng = np.random.default_rng(0)
    x, y = pictures[:, :train].reshape(-1, *pictures.shape[2:]), np.repeat(np.arange(classes, dtype=np.uint8), train)
    order = rng.permutation(len(y))
    return Images(
        x[order],
        y[order],
        pictures[:, train:].reshape(-1, *pictures.shape[2:]),
        np.repeat(np.arange(classes, dtype=np.uint8), test),
        "textures",
    )


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
