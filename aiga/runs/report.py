"""A run as one self-contained web page: options, curves, pictures, archive, cost; it needs no network."""

import base64
import html
import json
import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import require
from aiga.runs import catalogue
from aiga.runs.record import Run

INK, ACCENT, FAINT = "#1f2933", "#d9480f", "#9aa5b1"
SHOWN = 200
"""Calls whose words are in the report; all are in the run's database."""


class Figure(NamedTuple):
    """Something to look at."""

    title: str
    caption: str
    content: Any
    """A plotly figure, the path of a picture or film, a table (a sequence of mappings), or `Markup`."""


class Markup(NamedTuple):
    """HTML as it is: what comes from outside was escaped before."""

    html: str


def write(directory: str | Path) -> Path:
    """Write `report.html` into a run directory, with the figures that its system adds."""
    plotly = require("plotly.offline", "report")
    run = Run(directory)
    figures = [*_own(run), *curves(run), *stepping_stones(run), *conversations(run)]
    body = "".join(_section(figure) for figure in [*figures, *_about(run)])
    entry = next((e for e in catalogue.entries() if e.name == run.system), None)
    page = PAGE.format(
        title=html.escape(entry.title if entry else Path(run.system).stem),
        line=html.escape(_headline(run)),
        plotly=plotly.get_plotlyjs(),
        body=body,
    )
    path = run.directory / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def curves(run: Run) -> list[Figure]:
    """Every numeric metric over the steps."""
    subplots = require("plotly.subplots", "report")
    latest = run.latest()
    names = [n for n, v in latest.items() if not isinstance(v, str) and n not in ("run/steps", "run/seconds")]
    if not names:
        return []
    columns = 3
    rows = -(-len(names) // columns)
    figure = subplots.make_subplots(rows, columns, subplot_titles=names, vertical_spacing=0.35 / rows)
    for i, name in enumerate(names):
        steps, values = thinned(*run.metric(name))
        line = {"color": ACCENT, "width": 1.5}
        figure.add_scatter(
            x=steps, y=values, line=line, mode="lines", name=name, row=i // columns + 1, col=i % columns + 1
        )
    style(figure, height=90 + 190 * rows, showlegend=False)
    figure.update_annotations(font_size=12)
    return [Figure("Curves", "Each metric against the step of the run.", figure)]


def stepping_stones(run: Run) -> list[Figure]:
    """The births of the run, and the line of ancestors of the best."""
    lineage = run.lineage()
    if not lineage["id"].size:
        return []
    best = int(lineage["id"][np.nanargmax(lineage["fitness"])])
    line = np.array(run.ancestors(best)[::-1])
    rows = np.searchsorted(lineage["id"], line)
    sample = np.unique(np.linspace(0, lineage["id"].size - 1, 20_000).astype(int))
    graph = require("plotly.graph_objects", "report")
    points = {"x": lineage["step"][sample], "y": lineage["fitness"][sample]}
    figure = graph.Figure()
    figure.add_scattergl(**points, mode="markers", marker={"size": 4, "color": FAINT, "opacity": 0.5}, name="births")
    figure.add_scatter(
        x=lineage["step"][rows],
        y=lineage["fitness"][rows],
        mode="lines+markers",
        line={"color": ACCENT},
        name="ancestors of the best",
    )
    style(figure, height=380, xaxis_title="step", yaxis_title="fitness")
    caption = (
        f"{lineage['id'].size:,} candidates entered the archive; the best of them stands at the end of a line of "
        f"{len(line):,} stepping stones."
    )
    return [Figure("Stepping stones", caption, figure)]


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


def style(figure: Any, **layout: Any) -> None:
    """Give a plotly figure the look of the house."""
    margin = {"l": 55, "r": 20, "t": 60, "b": 45}
    font = {"family": "system-ui, sans-serif", "size": 13, "color": INK}
    figure.update_layout(template="plotly_white", margin=margin, font=font, **layout)


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a series, the first and the last among them."""
    rows = np.unique(np.linspace(0, len(steps) - 1, most).astype(int)) if len(steps) else np.zeros(0, int)
    return steps[rows], values[rows]


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


def _section(figure: Figure) -> str:
    caption = f"<p>{html.escape(figure.caption)}</p>" if figure.caption else ""
    return f"<section><h2>{html.escape(figure.title)}</h2>{_content(figure)}{caption}</section>\n"


def _content(figure: Figure) -> str:
    if isinstance(figure.content, Path):
        return _embedded(figure.content, figure.title)
    if isinstance(figure.content, Markup):
        return figure.content.html
    if isinstance(figure.content, Sequence):
        return _table(figure.content)
    return figure.content.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})


def _embedded(path: Path, title: str) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind == "image/svg+xml":
        return path.read_text(encoding="utf-8")  # in the page itself: what its titles say is shown
    address = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    if kind.startswith("video/"):
        return f'<video controls loop muted src="{address}"></video>'
    return f'<img alt="{html.escape(title)}" src="{address}">'


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>nothing</p>"
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
  max-width: 1080px; margin: 0 auto; padding: 1.5rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin: 2.5rem 0 .5rem; font-size: 1.15rem; }}
.line, section > p {{ color: #52606d; }} section > p {{ max-width: 50rem; font-size: .95rem; }}
img, video {{ max-width: 100%; height: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
td, th {{ text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #e4e7eb;
  vertical-align: top; overflow-wrap: anywhere; }}
details {{ margin: .3rem 0; font-size: .9rem; }} summary {{ cursor: pointer; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f7fa; padding: .6rem .8rem; font-size: .82rem; }}
h4 {{ margin: .5rem 0 .2rem; }}
td:first-child {{ white-space: nowrap; overflow-wrap: normal; }}
</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1><p class="line">{line}</p>
{body}</body></html>
"""
