"""What there is to see of a run, by kind: the views that dashboard, report and notebook share.

A view gives figures from what a run recorded.  Only a system's own figures need jax, because they read its state.
"""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from aiga.core.errors import UsageError
from aiga.inspect import archives, clouds, curves, lineages
from aiga.runs import catalogue, report
from aiga.runs.record import Run
from aiga.runs.report import Figure

Choices = Mapping[str, str]
"""What a person chose, as in the query of an address; unknown names are ignored, wrong values are a UsageError."""
PICTURES = {".apng", ".avif", ".gif", ".jpeg", ".jpg", ".mp4", ".png", ".svg", ".webm", ".webp"}


class View(NamedTuple):
    """A kind of figures."""

    title: str
    figures: Callable[[Run, Choices], list[Figure]]
    present: Callable[[Run], bool]
    """Whether a run has something of the kind, without jax and without reading all of it."""
    jax: bool = False


def figures(run: Run, view: str, choices: Mapping[str, str] = {}) -> list[Figure]:
    """The figures of a view; none if the run has nothing of the kind."""
    if view not in VIEWS:
        raise UsageError(f"there is no view `{view}`; there are {', '.join(VIEWS)}.")
    return VIEWS[view].figures(run, choices)


def has(run: Run) -> list[str]:
    """The views in which a run has something; `own` also for a system that is a file, which is not opened here."""
    return [name for name, view in VIEWS.items() if view.present(run)]


def needs_jax(view: str) -> bool:
    """Whether the figures of a view must be made in a process that may import jax."""
    return VIEWS[view].jax


def foreign(run: Run) -> bool:
    """Whether the system is not of the catalogue: its own figures would execute a file that the run names."""
    return catalogue.page(run.system) != run.system.partition(":")[0] or not _source(run).is_file()


def _source(run: Run) -> Path:
    return catalogue.SYSTEMS / f"{catalogue.page(run.system)}.py"


def _own(run: Run, choices: Choices) -> list[Figure]:
    del choices
    module = catalogue.find(run.system)
    return list(module.figures(run)) if "figures" in vars(module) else []


def _has_own(run: Run) -> bool:
    if foreign(run):
        return True
    body = ast.parse(_source(run).read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "figures" for node in body)


def _curves(run: Run, choices: Choices) -> list[Figure]:
    """Choices: `names`, metrics with commas between; `x`, the axis; `log`, the logarithmic axes: x, y or xy."""
    names = [name for name in choices.get("names", "").split(",") if name]
    log = choices.get("log", "")
    if log not in ("", "x", "y", "xy"):
        raise UsageError(f"`log` is {log[:40]!r}: give x, y or xy, the axes that are to be logarithmic.")
    return curves.curves(run, names or None, x=choices.get("x", "step"), log=("x" in log, "y" in log))


def _has_curves(run: Run) -> bool:
    return any(name not in curves.CLOCK for name in run.changing())


def _gallery(run: Run, choices: Choices) -> list[Figure]:
    del choices
    return [Figure(path.stem.replace("_", " "), "", path) for path in _pictures(run)]


def _has_gallery(run: Run) -> bool:
    return bool(_pictures(run))


def _pictures(run: Run) -> list[Path]:
    """Pictures and films in the run's own folder of media; links are not followed."""
    if run.media.is_symlink() or not run.media.is_dir():
        return []
    return sorted(p for p in run.media.iterdir() if p.suffix.lower() in PICTURES and p.is_file() and not p.is_symlink())


def _models(run: Run, choices: Choices) -> list[Figure]:
    del choices
    return report.conversations(run)


def _has_models(run: Run) -> bool:
    return run.cost()["calls"] > 0


VIEWS: Mapping[str, View] = {
    "own": View("The system's own", _own, _has_own, jax=True),
    "curves": View("Curves", _curves, _has_curves),
    "archive": View("Archive", archives.figures, archives.present),
    "cloud": View("Cloud", clouds.figures, clouds.present),
    "lineage": View("Lineage", lineages.figures, lineages.present),
    "gallery": View("Gallery", _gallery, _has_gallery),
    "models": View("Models", _models, _has_models),
}
"""By name, in the order in which a report shows them."""
