"""Analyses of runs, and their pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiga.inspect.frames import Loaded

__all__ = ["load"]


def load(directory: str | Path) -> "Loaded":
    """The run in a directory: a `Run`, with `frames` (tidy tables of pandas) and `figures()`; neither imports jax."""
    from aiga.inspect.frames import Loaded  # on first use: the modules here are many

    return Loaded(directory)
