"""A run as tidy frames of pandas, a row an observation, and as figures: for notebooks."""

from typing import Any

import numpy as np

from aiga.core.errors import require
from aiga.inspect import ancestry, views
from aiga.runs.figures import Figure
from aiga.runs.record import Run

INTEGERS = ("parent", "cell", "replaced", "noise", "sign")
"""Columns of the lineage with missing values; a sign is missing where there is no noise."""


class Loaded(Run):
    """A run directory as a value, with its tables as frames and its figures; what `aiga.load` gives."""

    @property
    def frames(self) -> "Frames":
        """The tables of the run."""
        return Frames(self)

    def figures(self, view: str | None = None, **choices: str) -> list[Figure]:
        """The figures of a view, or those of all views that need no jax; `figure.content` is what to look at.

        Args:
            view: One of `aiga.inspect.views.VIEWS`.
            choices: Those of the view, such as `names="archive/size,archive/best"` and `log="y"` of `curves`.
        """
        names = [name for name in views.has(self) if not views.needs_jax(name)] if view is None else [view]
        return [figure for name in names for figure in views.figures(self, name, choices)]


class Frames:
    """The tables of a run.  Each call reads the run anew, so that a run that goes on can be followed."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def metrics(self) -> Any:
        """step, name, value, and `text` where what was recorded is no number (`value` is NaN there)."""
        pandas = require("pandas", "report")
        query = (
            "SELECT step, names.name, value FROM metrics JOIN names ON names.id = metrics.name ORDER BY names.id, step"
        )
        frame = pandas.DataFrame(self._run.query(query), columns=["step", "name", "value"])
        text = frame["value"].map(lambda value: isinstance(value, str)).astype(bool)
        frame["text"] = frame["value"].where(text, None)
        frame["value"] = frame["value"].mask(text, np.nan).astype(float)
        frame["name"] = frame["name"].astype("category")
        return frame

    def wide(self) -> Any:
        """The metrics that are numbers, a column each, by step."""
        frame = self.metrics()
        numbers = frame[frame["text"].isna()]
        return numbers.pivot(index="step", columns="name", values="value").rename_axis(columns=None)

    def lineage(self) -> Any:
        """A row for each birth; who has no parent, cell, ... has none (NA); `alive`: neither replaced nor extinct.

        `name` is the identity as the figures carry it.
        """
        pandas = require("pandas", "report")
        frame = pandas.DataFrame(self._run.lineage())
        gone = {column: frame["noise" if column == "sign" else column] < 0 for column in INTEGERS}
        for column, missing in gone.items():
            frame[column] = frame[column].astype("Int64").mask(missing)
        frame["operator"] = frame["operator"].astype("category")
        frame.insert(0, "name", frame["id"].astype(str))
        tree = ancestry.tree(self._run)
        return frame.assign(alive=frame["id"].isin(tree.id[tree.alive]))

    def elites(self) -> Any:
        """The rows of the lineage that are alive."""
        frame = self.lineage()
        return frame[frame["alive"]].drop(columns="alive").reset_index(drop=True)

    def events(self) -> Any:
        """What happened, in order: step, time, kind, and a column for each field of any of them."""
        pandas = require("pandas", "report")
        rows = list(self._run.events())
        return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=["step", "time", "kind"])

    def calls(self) -> Any:
        """Every attempt of every call of a foundation model, in order, with prompt, reply and cost."""
        return require("pandas", "report").DataFrame(list(self._run.calls()))
