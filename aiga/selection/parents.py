"""Which agents of an archive have children: good ones, and those that had few.

Darwin Gödel Machine (Zhang et al. 2025, https://arxiv.org/abs/2505.22954, appendix on parent selection) and
Hyperagents (Zhang et al. 2026):

    weight <- sigmoid(10 (score - midpoint)) * penalty(children)

The midpoint is 0.5 in the first, and the mean of the three best scores in the second.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

SHARPNESS = 10.0
CROWD = 8.0
"""Children at which the cubic penalty is 1/e."""

Penalty = Literal["inverse", "cubic"]
"""`inverse`: 1 / (1 + children), as both papers say; `cubic`: exp(-(children / 8)^3), as in the code of Hyperagents."""
Choice = Literal["sigmoid", "random", "best", "latest"]
"""By weight; all alike; the highest score, of equals the earliest; the last born."""


class Known(NamedTuple):
    """What is known of `n` agents, in order of birth."""

    scores: Float[np.ndarray, " n"]
    """From 0 to 1."""
    children: Int[np.ndarray, " n"]
    eligible: Bool[np.ndarray, " n"] | None = None
    """Who may be a parent; None, or none of them: everyone."""


def top(scores: Float[np.ndarray, " n"], best: int = 3) -> float:
    """The mean of the best scores: the midpoint of Hyperagents."""
    return float(np.sort(scores)[-best:].mean())


def weights(known: Known, midpoint: float = 0.5, penalty: Penalty = "inverse") -> Float[np.ndarray, " n"]:
    """What each agent weighs in the draw, adding up to 1."""
    scores, children = np.asarray(known.scores, float), np.asarray(known.children, float)
    good = 1 / (1 + np.exp(-SHARPNESS * (scores - midpoint)))
    rare = 1 / (1 + children) if penalty == "inverse" else np.exp(-((children / CROWD) ** 3))
    weight = np.where(allowed(known), good * rare, 0.0)
    if not weight.sum():  # so many children that the cubic penalty of each is zero in floating point
        weight = np.where(allowed(known), good, 0.0)
    return weight / weight.sum()


def allowed(known: Known) -> Bool[np.ndarray, " n"]:
    """Who may be a parent."""
    everyone = np.ones(len(known.scores), bool)
    if known.eligible is None or not np.any(known.eligible):
        return everyone
    return np.asarray(known.eligible, bool)


def chosen(
    by: Choice, known: Known, n: int, *, seed: int, midpoint: float = 0.5, penalty: Penalty = "inverse"
) -> Int[np.ndarray, " n"]:
    """The rows of `n` parents, drawn with replacement."""
    may = np.flatnonzero(allowed(known))
    if by == "best":
        return np.full(n, may[np.argmax(np.asarray(known.scores)[may])])
    if by == "latest":
        return np.full(n, may[-1])
    chance = np.random.default_rng(seed)
    if by == "random":
        return chance.choice(may, n)
    return chance.choice(len(known.scores), n, p=weights(known, midpoint, penalty))
