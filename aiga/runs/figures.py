"""Something to look at, and the look of the house: what reports, dashboard and notebooks show."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

INK, ACCENT, FAINT = "#1f2933", "#d9480f", "#9aa5b1"
COLOURS = (ACCENT, "#1c7ed6", "#2f9e44", "#ae3ec9", "#f08c00", "#0c8599", "#e64980", "#6741d9", "#868e96", "#74b816")
"""Of lines that are told apart; each is legible on white and on black."""


class Figure(NamedTuple):
    """Something to look at."""

    title: str
    caption: str
    content: Any
    """A plotly figure, the path of a picture or film, a table (a sequence of mappings), or `Markup`."""


class Markup(NamedTuple):
    """HTML as it is: what comes from outside was escaped before."""

    html: str


def drawable(content: Any) -> bool:
    """Whether the content of a figure is one of plotly's."""
    return not isinstance(content, Path | Markup | Sequence)


def style(figure: Any, **layout: Any) -> None:
    """Give a plotly figure the look of the house."""
    margin = {"l": 55, "r": 20, "t": 40, "b": 45}
    font = {"family": "system-ui, sans-serif", "size": 13, "color": INK}
    figure.update_layout(template="plotly_white", margin=margin, font=font, **layout)


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a series, evenly, the first and the last among them.

    Series of the same steps keep the same ones; a line alone is better served by `outline`.
    """
    rows = np.unique(np.linspace(0, len(steps) - 1, most).astype(int)) if len(steps) else np.zeros(0, int)
    return steps[rows], values[rows]


def outline(values: np.ndarray, most: int = 2_000) -> np.ndarray:
    """The rows of at most `most` points that keep the look of a line: the extremes of each stretch, and the ends.

    NaN is a gap and no extreme.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), (most - 2) // 2 + 1).astype(int)
    low, high = (np.where(np.isnan(values), worst, values) for worst in (np.inf, -np.inf))
    extremes = [a + place for a, b in pairwise(edges) for place in (low[a:b].argmin(), high[a:b].argmax())]
    return np.unique([0, *extremes, len(values) - 1])
