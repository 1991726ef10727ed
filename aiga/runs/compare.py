"""Several runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiga.runs.record import Run


def compare(directories: Sequence[str | Path]) -> list[dict[str, Any]]:
    """A row for each run: where it is, what differs in what was asked, and the last value of every metric."""
    runs = [Run(directory) for directory in directories]
    asked = [{"system": run.system, "seed": run.manifest["seed"], **run.options} for run in runs]
    names = dict.fromkeys(name for options in asked for name in options)
    differing = [name for name in names if len({repr(options.get(name)) for options in asked}) > 1]
    return [
        {"run": str(run.directory), "status": run.status}
        | {name: options.get(name, "default") for name in differing}
        | run.latest()
        for run, options in zip(runs, asked, strict=True)
    ]
