"""What the report shows of a search for agents: curves, a table of accuracies, who came of whom, the chosen program."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import require
from aiga.core.texts import hexadecimal
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, INK, Figure, style


class Agent(NamedTuple):
    """One of the archive."""

    name: str
    thought: str
    code: str
    step: int
    parents: tuple[str, ...]
    search: tuple[float, float, float]
    """Accuracy, and its interval; likewise the next two, NaN where it was not evaluated."""
    select: tuple[float, float, float]
    report: tuple[float, float, float]
    calls: float


def agents(run: Run) -> list[Agent]:
    """The archive of a finished or unfinished run, in order of birth."""
    state, lineage = run.state, run.lineage()
    archive, found = state.archive, []
    steps = dict(zip((lineage["id"] >> 32).tolist(), lineage["step"].tolist(), strict=True))
    births = np.asarray(archive.identity)[:, 0].tolist()

    def text(part: str, row: int) -> str:
        return run.blob(hexadecimal(np.asarray(archive.genomes[part][row]))).decode()

    for row in range(int(archive.size)):
        rows = [births.index(birth) for birth in np.asarray(archive.parents)[row, :, 0].tolist() if birth >= 0]
        low, high, calls = np.asarray(archive.descriptor)[row].tolist()
        found.append(
            Agent(
                *(text(part, row) for part in ("name", "thought", "code")),
                step=steps[births[row]],
                parents=tuple(text("name", parent) for parent in rows),
                search=(float(archive.fitness[row]), low, high),
                select=tuple(np.asarray(state.select)[row].tolist()),
                report=tuple(np.asarray(state.report)[row].tolist()),
                calls=calls,
            )
        )
    return found


def figures(run: Run) -> list[Figure]:
    """The search, and, once one is chosen, its table and its program."""
    everyone = agents(run)
    chosen = int(run.state.chosen)
    found = [_search(everyone, chosen)]
    if chosen >= 0:
        found.append(_reported(everyone, everyone[chosen]))
        caption = f"{everyone[chosen].name}: {everyone[chosen].thought}"
        found.append(Figure("The chosen agent", caption, program(run.media, everyone[chosen].code)))
    rows = [
        {
            "agent": agent.name,
            "builds on": "; ".join(agent.parents),
            "thought": agent.thought,
            "search": percent(agent.search),
            "texts a task": f"{agent.calls:.1f}",
        }
        for agent in everyone
    ]
    return [*found, Figure("The archive", "In order of birth; accuracy on `search` with its 95 % interval.", rows)]


def percent(accuracy: Sequence[float]) -> str:
    """An accuracy and its interval."""
    return f"{accuracy[0]:.1%} ({accuracy[1]:.1%} to {accuracy[2]:.1%})"


def _search(everyone: Sequence[Agent], chosen: int) -> Figure:
    graph = require("plotly.graph_objects", "report")
    steps, search = [a.step for a in everyone], [a.search[0] for a in everyone]
    figure = graph.Figure()
    figure.add_scatter(
        x=steps, y=search, mode="markers", marker={"color": FAINT}, text=[a.name for a in everyone], name="search"
    )
    best = np.maximum.accumulate(search) if search else []
    figure.add_scatter(x=steps, y=best, mode="lines", line={"color": FAINT, "shape": "hv"}, name="best on search")
    select = [a for a in everyone if not np.isnan(a.select[0])]
    marker = {"color": INK, "symbol": "diamond"}
    figure.add_scatter(
        x=[a.step for a in select],
        y=[a.select[0] for a in select],
        mode="markers",
        marker=marker,
        text=[a.name for a in select],
        name="select",
    )
    if chosen >= 0:
        one = everyone[chosen]
        bars = {"array": [one.report[2] - one.report[0]], "arrayminus": [one.report[0] - one.report[1]]}
        star = {"color": ACCENT, "symbol": "star", "size": 12}
        figure.add_scatter(
            x=[one.step], y=[one.report[0]], error_y=bars, mode="markers", marker=star, name="the chosen one on report"
        )
    style(figure, height=420, xaxis_title="step", yaxis_title="accuracy")
    caption = (
        "Every agent on the tasks of search, the finalists on those of select, and the one that was best there on "
        "those of report. The best of many on a split looks better there than it is."
    )
    return Figure("Accuracy", caption, figure)


def _reported(everyone: Sequence[Agent], chosen: Agent) -> Figure:
    reported = [a for a in everyone if not np.isnan(a.report[0])]
    rows = [
        {
            "agent": agent.name + (" (chosen)" if agent is chosen else ""),
            "report": percent(agent.report),
            "select": percent(agent.select),
            "texts a task": f"{agent.calls:.1f}",
        }
        for agent in sorted(reported, key=lambda a: -a.report[0])
    ]
    claimed, found = chosen.select[0], chosen.report[0]
    caption = (
        "Accuracy with its 95 % interval. Only report says how good an agent is: select chose among them. The paper's "
        "headline is the best of the archive on the split that chose it; that way would claim here "
        f"{claimed:.1%}, where {found:.1%} is found."
    )
    return Figure("The chosen agent beside the seeds", caption, rows)


def program(folder: Path, code: str) -> Path:
    """A program as a picture that can be read and searched."""
    lines = code.rstrip().splitlines()
    width = 20 + 8 * max(map(len, lines), default=1)
    rows: list[Any] = [
        f'<text x="10" y="{20 + 17 * i}" xml:space="preserve">{escape(line)}</text>' for i, line in enumerate(lines)
    ]
    height = 20 + 17 * len(lines)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="max-width: {width}px">'
    style = f'<rect width="{width}" height="{height}" fill="#f5f7fa"/><g font-family="monospace" font-size="13">'
    folder.mkdir(exist_ok=True)
    path = folder / "agent.svg"
    path.write_text("\n".join([head, style, *rows, "</g></svg>"]), encoding="utf-8")
    return path
