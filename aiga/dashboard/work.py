"""What the worker processes compute: everything that opens a run.

Functions take and give plain values, since they travel between processes; figures travel as the JSON of the page.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError
from aiga.dashboard import places, wire
from aiga.dashboard.conversations import Wanted, search
from aiga.runs import catalogue
from aiga.runs.figures import Markup
from aiga.runs.record import Run

SHOWN = 40
"""Metrics of a run that its row in the list knows."""
TELLING = re.compile("best|coverage|qd_score|score|fitness|solved|return")
"""Of a metric's name, what makes it worth a place in the list."""
SPARKS = 60
"""Values of the small curve in the list."""
SHORT = 300
"""Characters of a text in a list."""
PAGE = 20
"""Calls of a foundation model on a page."""
WORDS = 20_000
"""Characters of a prompt or a reply that are sent; the rest is in the run's database."""
LARGE_NUMBER = 2**53
"""JavaScript has no whole numbers beyond."""


def started() -> int:
    """The number of this process."""
    return os.getpid()


def summary(directory: str) -> dict[str, Any]:
    """A run as a row of the list.

    Raises:
        UsageError: What is there cannot be read as a run.
    """
    run = _opened(directory)
    try:
        told = run.summary()
        metrics = {_short(n): _value(v) for n, v in list(told["metrics"].items())[:SHOWN]}
        headlines = _headlines(told["metrics"])
        return {
            "system": _short(told["system"]),
            "title": _title(run),
            "status": _short(told["status"]),
            "reason": _short(run.reason),
            "seed": _value(told["seed"]),
            "steps": told["steps"],
            "seconds": told["seconds"],
            "progress": _progress(run, told),
            "cost": {name: float(value) for name, value in told["cost"].items()},
            "model": _short(told["model"] or ""),
            "sandbox": _short(told["sandbox"] or ""),
            "created": _short(run.manifest.get("created", "")),
            "options": {_short(n): _short(v) for n, v in list(told["options"].items())[:100]},
            "metrics": metrics,
            "headlines": [_short(name) for name in headlines],
            "spark": _spark(run, headlines, told["steps"]),
            "picture": places.newest_picture(run.directory),
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UsageError(f"{directory}/run.json is not that of a run ({type(error).__name__}: {error}).") from error


def page(directory: str, trusted: bool) -> bytes:
    """A run's page without its figures: facts, and the views that have something."""
    from aiga.inspect import views

    run = _opened(directory)
    told = summary(directory)
    facts = {name: run.manifest.get(name, "") for name in ("preset", "platform", "device", "versions", "limits")}
    shown = [{"name": name, "title": views.VIEWS[name].title, "slow": views.needs_jax(name)} for name in views.has(run)]
    refused = "" if trusted else _refusal(run)
    return wire.dumps(told | {"facts": facts, "views": shown, "refused": wire.cut(refused, 500)}).encode()


def themes() -> bytes:
    """The templates of figures, light and dark, and the ink that the dark replaces."""
    from aiga.runs import pages

    return wire.dumps(pages.themes()).encode()


def figures(directory: str, view: str, choices: Mapping[str, str], trusted: bool) -> bytes:
    """The figures of a view."""
    from aiga.inspect import views

    run = _opened(directory)
    if view not in views.VIEWS:
        raise UsageError(f"there is no view {view[:50]!r}; there are {', '.join(views.VIEWS)}.")
    if views.needs_jax(view):
        _check(run, trusted)
    found = views.figures(run, view, choices)
    if view == "models":  # the page has prompts and replies itself, all of them
        found = [figure for figure in found if not isinstance(figure.content, Markup)]
    return wire.figures(found, run.directory)


def individual(directory: str, name: str, trusted: bool) -> bytes:
    """What is known of one individual, and whether it can be simulated again."""
    from aiga.inspect import individuals, vine

    run = _opened(directory)
    shown = wire.figures(individuals.figures(run, name), run.directory).decode()
    again = (trusted or not _refusal(run)) and vine.replayable(run, name)
    return f'{{"figures":{shown},"replayable":{wire.dumps(again)}}}'.encode()


def replay(directory: str, name: str, trusted: bool) -> bytes:
    """An individual simulated again."""
    from aiga.inspect import vine

    run = _opened(directory)
    _check(run, trusted)
    return wire.figures(vine.replay(run, name), run.directory)


def comparison(directories: Sequence[str], choices: Mapping[str, str]) -> bytes:
    """Several runs side by side: their curves, what differs, and their last values."""
    from aiga.inspect import comparison

    runs = [_opened(directory) for directory in directories]
    names = [name for name in choices.get("names", "").split(",") if name]
    log = ("x" in choices.get("log", ""), "y" in choices.get("log", ""))
    looks = {"x": choices.get("x") or "step", "log": log, "bands": choices.get("bands") != "0"}
    return wire.figures(comparison.runs(runs, names or None, **looks), Path("/"))


def claim(folder: str) -> bytes:
    """The claims whose runs lie in a folder: treatment against control."""
    from aiga.inspect import comparison
    from aiga.runs import claims

    _dispensable()
    for place in claims.folders(folder):
        _check_claim(place)
    return wire.figures(comparison.figures([folder]), Path("/"))


def _check_claim(place: Path) -> None:
    """Refuse to open what is no plain file, or lies elsewhere."""
    if links := [path.name for path in place.iterdir() if path.is_symlink()]:
        raise UsageError(f"{place} holds a link, {links[0]!r}: it was not followed.")
    note = place / "claim.json"
    if not note.is_file() or note.stat().st_size > places.LONGEST_MANIFEST:
        raise UsageError(f"{note} is no plain file, or too long; it was not opened.")
    for path in place.iterdir():
        if path.is_dir() and (fault := places.faults(path)):
            raise UsageError(f"{path}: {fault}")


def calls(directory: str, text: str, outcome: str, start: int) -> bytes:
    """A page of what foundation models were asked and said."""
    found = search(_opened(directory), Wanted(text, outcome, start), PAGE, WORDS)
    return wire.dumps(found._asdict() | {"page": PAGE}).encode()


def _opened(directory: str) -> Run:
    """The run in a folder whose files are what they should be."""
    _dispensable()
    if fault := places.faults(Path(directory)):
        raise UsageError(fault)
    try:
        run = Run(directory)
        if not isinstance(run.system, str) or not isinstance(run.options, dict):
            raise UsageError(f"{directory}/run.json is not that of a run: its system or its options are missing.")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"{directory}/run.json is not that of a run ({type(error).__name__}).") from error
    return run


def _dispensable() -> None:
    """When the machine runs out of memory, this process is to go first."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _check(run: Run, trusted: bool) -> None:
    """Refuse what would execute code that is not ours, or write where a link leads."""
    if refusal := "" if trusted else _refusal(run):
        raise UsageError(refusal)
    if fault := places.faults(run.directory, writing=True):
        raise UsageError(fault)


def _refusal(run: Run) -> str:
    """Why the system's own code is not run; empty if it is of the catalogue."""
    from aiga.inspect import views

    if not views.foreign(run):
        return ""
    return (
        f"the system of this run, {run.system!r}, is not of aiga's catalogue, and its own figures and replays would "
        "run its code: start `aiga dashboard --trust` if you trust it."
    )


def _progress(run: Run, told: Mapping[str, Any]) -> float | None:
    """How much of the run is done, by the limit that is nearest; None: it has no limit."""
    limits = run.manifest.get("limits") or {}
    parts = []
    if limits.get("steps"):
        parts.append(told["steps"] / limits["steps"])
    if limits.get("minutes"):
        parts.append(told["seconds"] / (60 * limits["minutes"]))
    return min(1.0, max(parts)) if parts else None


def _headlines(metrics: Mapping[str, Any]) -> list[str]:
    """The metrics that say most: what is called so, then the others, the run's own counts aside."""
    numbers = [name for name, v in metrics.items() if not isinstance(v, str) and not name.startswith("run/")]
    return sorted(numbers, key=lambda name: not TELLING.search(name))[:3]


def _spark(run: Run, names: Sequence[str], steps: int) -> Sequence[float]:
    """Values, from the first step to the last, of the first of the metrics that changes."""
    query = (
        "WITH RECURSIVE at(step) AS (SELECT 0 UNION ALL SELECT step + ? FROM at WHERE step + ? < ?) SELECT "
        "(SELECT value FROM metrics WHERE name = (SELECT id FROM names WHERE name = ?) AND metrics.step >= at.step "
        "ORDER BY metrics.step LIMIT 1) FROM at"
    )
    apart = max(1, steps // SPARKS)
    for name in names:
        found = [value for (value,) in run.query(query, apart, apart, min(steps, 10**9), name)]
        values = [value for value in found if isinstance(value, (int, float)) and math.isfinite(value)]
        if len(set(values)) > 1:
            return values
    return []


def _title(run: Run) -> str:
    name = run.system
    if os.sep in name or name.endswith(".py"):
        return name.rpartition(os.sep)[2][:SHORT]
    return _titles().get(name, name)[:SHORT]


@cache
def _titles() -> dict[str, str]:
    return {entry.name: entry.title for entry in catalogue.entries()}


def _value(value: Any) -> Any:
    """A number as one, if JavaScript has it; everything else as a short text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGE_NUMBER):
        return value
    return _short(value)


def _short(value: Any) -> str:
    return wire.cut(str(value), SHORT)
