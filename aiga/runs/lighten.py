"""Figures with as many points as an eye can tell apart, so that a page of them opens at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiga.runs.figures import Figure, drawable

MOST = 20_000
"""Points of one cloud."""
FRAMES = 40
"""Of a figure that plays."""


def lightened(figure: Figure) -> Figure:
    """A figure with its large clouds and its many frames thinned evenly; its caption says so."""
    if not drawable(figure.content):
        return figure
    clouds = [trace for trace in figure.content.data if _cloud(trace) and len(trace.x) > MOST]
    frames = figure.content.frames or ()
    if not clouds and len(frames) <= FRAMES:
        return figure
    content = type(figure.content)(figure.content)
    told = []
    for trace in content.data:
        if _cloud(trace) and len(trace.x) > MOST:
            told.append(f"{MOST:,} of {len(trace.x):,} points are shown")
            trace.update(_sampled(trace.to_plotly_json(), len(trace.x)))
    if len(frames) > FRAMES:
        told.append(f"{FRAMES} of {len(frames):,} moments are shown")
        _fewer(content)
    caption = f"{figure.caption} ({'; '.join(dict.fromkeys(told))}, evenly chosen.)".strip()
    return figure._replace(caption=caption, content=content)


def _cloud(trace: Any) -> bool:
    """Whether the points of a trace stand for themselves: lines would be torn."""
    return trace.type in ("scatter", "scattergl") and trace.mode == "markers" and trace.x is not None


def _sampled(value: Any, length: int) -> Any:
    """Every value of a trace that has an entry for each point, with evenly chosen ones."""
    if isinstance(value, Mapping):
        return {name: _sampled(part, length) for name, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple) and len(value) == length:
        rows = _rows(length, MOST)
        return value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows]
    return value


def _fewer(content: Any) -> None:
    """Leave some frames, the first and the last among them, and the steps of sliders that lead to them."""
    rows = _rows(len(content.frames), FRAMES)
    content.frames = [content.frames[row] for row in rows]
    for slider in content.layout.sliders or ():
        if slider.steps and len(slider.steps) > rows[-1]:
            slider.steps = [slider.steps[row] for row in rows]
            slider.active = None if slider.active is None else len(rows) - 1


def _rows(length: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, most).astype(int))
