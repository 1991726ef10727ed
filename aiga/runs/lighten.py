"""Figures with as many points as an eye can tell apart, so that a page of them opens at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiga.runs.figures import Figure, drawable

MOST = 20_000
"""Points of one cloud."""
FRAMES = (10, 40)
"""The fewest and the most of a figure that plays."""
PLAYED = 3_000_000
"""Letters of JSON that its frames may take, if there are not too few."""


def lightened(figure: Figure) -> Figure:
    """A figure with its large clouds and its many frames thinned evenly; its caption says so."""
    if not drawable(figure.content):
        return figure
    clouds = [trace for trace in figure.content.data if _cloud(trace) and len(trace.x) > MOST]
    frames = figure.content.frames or ()
    most = _frames(frames)
    if not clouds and len(frames) <= most:
        return figure
    content = type(figure.content)(figure.content)
    told = []
    for trace in content.data:
        if _cloud(trace) and len(trace.x) > MOST:
            told.append(f"{MOST:,} of {len(trace.x):,} points are shown")
            trace.update(_sampled(trace.to_plotly_json(), len(trace.x)))
    if len(frames) > most:
        told.append(f"{most} of {len(frames):,} moments are shown")
        _fewer(content, most)
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


def _frames(frames: Sequence[Any]) -> int:
    """How many frames are kept."""
    fewest, most = FRAMES
    return max(fewest, min(most, PLAYED // len(frames[-1].to_json()))) if len(frames) > fewest else most


def _fewer(content: Any, most: int) -> None:
    """Leave some frames, the first and the last among them, and the steps of sliders that lead to them."""
    rows = _rows(len(content.frames), most)
    content.frames = [content.frames[row] for row in rows]
    for slider in content.layout.sliders or ():
        if slider.steps and len(slider.steps) > rows[-1]:
            slider.steps = [slider.steps[row] for row in rows]
            slider.active = int(np.abs(rows - (slider.active or 0)).argmin())


def _rows(length: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, most).astype(int))
