"""Classes of grey pictures to carry what was learnt to: other characters, or something else than characters.

All are 28 x 28 with a light ground, as Omniglot's, twenty of each class, so that `data/fewshot` can number them.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from aiga.core.errors import UsageError
from aiga.data.fewshot import EACH, grouped
from aiga.data.images import Images, digits, objects
from aiga.data.omniglot import Source, characters
from aiga.data.strokes import SIDE
from aiga.data.textures import textures

Domain = Literal["characters", "digits", "textures", "cifar10", "cifar100"]


class Elsewhere(NamedTuple):
    """Classes to choose settings on, and classes to test with."""

    held: UInt8[np.ndarray, "h each 28 28"]
    """Of digits and CIFAR, other pictures of the same classes; of the others, other classes."""
    test: UInt8[np.ndarray, "c each 28 28"]
    source: str
    """`omniglot`, `drawn`, `mnist`, `textures`, `cifar10` or `cifar100`."""


def elsewhere(domain: Domain, classes: int, data: Source = "auto", *, after: int = 0) -> Elsewhere:
    """So many classes, or all if the domain has fewer.

    Args:
        domain: `characters` are Omniglot's evaluation classes; `cifar10` and `cifar100` must be found, `digits` are
            MNIST's if it is found, and textures are always ours.
        classes: Of each part.
        data: Where characters and digits come from.
        after: Background characters that were learnt from: those that follow are held.
    """
    if classes < 2:
        raise UsageError(f"{classes} classes were asked for: give 2 or more.")
    if domain == "characters":
        known = characters(data)
        held = known.train[after:] if len(known.train) - after >= classes else known.test
        return Elsewhere(held[:classes], known.test[:classes], known.source)
    if domain == "textures":
        made = textures(2 * classes, EACH)
        return Elsewhere(made[classes:], made[:classes], "textures")
    if domain == "digits":
        return _both(digits("drawn" if data == "drawn" else "auto"), classes)
    return _both(objects(domain), classes)


def _both(images: Images, classes: int) -> Elsewhere:
    """Pictures of the training set to choose on, and of the test set."""
    held, test = (
        _grey(grouped(x, y)[:classes]) for x, y in ((images.train_x, images.train_y), (images.test_x, images.test_y))
    )
    return Elsewhere(held, test, images.source)


def _grey(pictures: UInt8[np.ndarray, "c n h h *colours"]) -> UInt8[np.ndarray, "c n 28 28"]:
    """The mean of the colours of the middle 28 x 28 pixels, or digits with black ink on white."""
    if pictures.ndim == 4:
        return 255 - pictures
    edge = (pictures.shape[2] - SIDE) // 2
    return pictures[:, :, edge : edge + SIDE, edge : edge + SIDE].mean(axis=-1).round().astype(np.uint8)
