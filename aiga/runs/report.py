"""A run as one page to read: options, figures, pictures, cost; as HTML, PDF or Markdown."""

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiga.core.errors import UsageError, require
from aiga.runs import catalogue, markdown, pages, printing
from aiga.runs.figures import ACCENT, FAINT, INK, Figure, Markup, drawable, style, thinned
from aiga.runs.pages import Document
from aiga.runs.record import Run

__all__ = ["ACCENT", "FAINT", "FORMATS", "INK", "Figure", "Markup", "style", "thinned", "write"]

FORMATS = ("html", "pdf", "md")
SHOWN = 200
"""Calls whose words are in the report; all are in the run's database."""


def write(
    directory: str | Path,
    figures: Sequence[Figure] | None = None,
    format: str = "html",
    out: str | Path | None = None,
) -> Path:
    """Write a run's report; where it is.

    Args:
        directory: The run directory.
        figures: What to show before what was run; default: the figures of its system, its births, its calls of models.
            (`aiga report` gives all that `aiga.inspect.views` has.)
        format: `html`, `pdf` (the same page, printed by the system's Chromium, Chrome or Edge) or `md` (beside a
            folder of pictures).
        out: The file; default: `report.FORMAT` in the run directory.
    """
    run = Run(directory)
    shown = [*_own(run), *stepping_stones(run), *conversations(run)] if figures is None else figures
    entry = next((e for e in catalogue.entries() if e.name == run.system), None)
    title = entry.title if entry else Path(run.system).stem
    document = Document(title, _headline(run), [*_once(shown), *_about(run)])
    return save(document, format, Path(out) if out is not None else run.directory / f"report.{format}")


def save(document: Document, format: str, path: Path) -> Path:
    """Write a document as one of `FORMATS`."""
    if format not in FORMATS:
        raise UsageError(f"there is no format `{format}`: give one of {', '.join(FORMATS)}.")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: give a file in a folder that exists.")
    if any(drawable(figure.content) for figure in document.figures):
        require("plotly", "report")
    try:
        if format == "md":
            markdown.write(document, path)
        elif format == "pdf":
            printing.write(document, path)
        else:
            path.write_text(pages.page(document), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{error.filename or path} cannot be written or read ({error.strerror}): mend that."
        ) from error
    return path


def stepping_stones(run: Run) -> list[Figure]:
    """The births of the run, and the line of ancestors of the best."""
    lineage = run.lineage("id", "fitness")
    known = np.where(np.isfinite(lineage["fitness"]), lineage["fitness"], -np.inf)
    if not np.isfinite(known).any():
        return []
    best = int(lineage["id"][known.argmax()])
    return [stones(lineage["id"], known, np.searchsorted(lineage["id"], run.ancestors(best)[::-1]))]


def stones(identities: np.ndarray, fitness: np.ndarray, line: np.ndarray) -> Figure:
    """Births by step and fitness, with the line of the best: its rows, from the first ancestor on."""
    graph = require("plotly.graph_objects", "report")
    sample = np.unique(np.linspace(0, identities.size - 1, 20_000).astype(int))
    figure = graph.Figure()
    grey, steps = {"size": 4, "color": FAINT, "opacity": 0.5}, identities >> 32
    for rows, name, look in (
        (sample, "births", {"mode": "markers", "marker": grey}),
        (line, "ancestors of the best", {"mode": "lines+markers", "line": {"color": ACCENT}}),
    ):
        names = identities[rows].astype(str).tolist()
        figure.add_scattergl(x=steps[rows], y=fitness[rows], customdata=names, name=name, **look)
    style(figure, height=380, xaxis_title="step of birth", yaxis_title="fitness")
    caption = (
        f"{identities.size:,} candidates entered the archive; the best of them stands at the end of a line of "
        f"{len(line):,} stepping stones."
    )
    return Figure("Stepping stones", caption, figure)


def conversations(run: Run) -> list[Figure]:
    """What foundation models were asked: a table by task and outcome, and prompts and replies word for word."""
    calls = list(run.calls())
    if not calls:
        return []
    failed = sum(call["outcome"] != "ok" for call in calls)
    caption = (
        f"{len(calls):,} requests, of which {failed:,} brought no usable reply; repeated ones are counted each time. "
        "Dollars are list prices; a model without one counts nothing."
    )
    table = Figure("Calls of the foundation model", caption, list(_summed(calls)))
    chosen = calls if len(calls) <= SHOWN else calls[: SHOWN // 2] + calls[-SHOWN // 2 :]
    said = "".join(_conversation(call) for call in chosen)
    note = "" if len(chosen) == len(calls) else f"The first and the last {SHOWN // 2}. "
    note += f"All of them as JSON lines: aiga fm export {run.directory}"
    return [table, Figure("Prompts and replies", note, Markup(said))]


def _once(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Figures, without pictures that were shown before."""
    seen = set()
    for figure in figures:
        if not isinstance(figure.content, Path):
            yield figure
        elif figure.content.resolve() not in seen:
            seen.add(figure.content.resolve())
            yield figure


def _own(run: Run) -> Iterable[Figure]:
    """The figures that the system's own file adds."""
    module = catalogue.find(run.system)
    return module.figures(run) if "figures" in vars(module) else ()


def _summed(calls: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    kinds = sorted({(call["task"], call["model"], call["outcome"]) for call in calls})
    for kind in kinds:
        rows = [call for call in calls if (call["task"], call["model"], call["outcome"]) == kind]
        total = {name: sum(row[name] for row in rows) for name in ("tokens_in", "tokens_out", "usd", "seconds")}
        yield {
            **dict(zip(("task", "model", "outcome"), kind, strict=True)),
            "requests": f"{len(rows):,}",
            "tokens in": f"{total['tokens_in']:,}",
            "tokens out": f"{total['tokens_out']:,}",
            "dollars": f"{total['usd']:,.4f}",
            "mean seconds": f"{total['seconds'] / len(rows):,.2f}",
        }


def _conversation(call: Mapping[str, Any]) -> str:
    summary = f"{call['task'] or 'a call'} · {call['outcome']} · {call['tokens_in']:,} + {call['tokens_out']:,} tokens"
    parts = "".join(f"<h4>{name}</h4><pre>{html.escape(_words(call[name]))}</pre>" for name in ("request", "reply"))
    return f"<details><summary>{html.escape(summary)}</summary>{parts}</details>"


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def _headline(run: Run) -> str:
    summary = run.summary()
    minutes = f"{summary['seconds'] / 60:.1f} minutes"
    ended = summary["status"] + (f" ({run.reason})" if run.status == "budget" and run.reason else "")
    return f"{ended} after {summary['steps']:,} steps and {minutes}, seed {summary['seed']}"


def _about(run: Run) -> list[Figure]:
    cost = run.cost()
    model = run.manifest["model"] or "no foundation model was used"
    facts = {
        "system": run.system,
        "options": json.dumps(run.options) if run.options else "defaults",
        "preset": run.manifest.get("preset", ""),
        "seed": run.manifest["seed"],
        "model": model,
        "cost": f"{cost['usd']:.2f} dollars, {cost['tokens']:,.0f} tokens, {cost['calls']:,.0f} calls",
        "sandbox": run.manifest["sandbox"] or "no model-written code was run",
        "made with": ", ".join(f"{name} {version}" for name, version in run.manifest.get("versions", {}).items()),
        "on": f"{run.manifest.get('platform', '')}, {run.manifest.get('device', '')}",
    }
    rows = [{"": name, "value": value} for name, value in facts.items()]
    last = [{"metric": name, "last value": _number(value)} for name, value in run.latest().items()]
    return [Figure("What was run", "", rows), Figure("Last values", "", last)]


def _number(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"
