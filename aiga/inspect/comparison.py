"""Several runs side by side, and a claim's treatment against its control."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np

from aiga.core.errors import UsageError, require
from aiga.inspect import curves
from aiga.runs import claims
from aiga.runs.compare import compare
from aiga.runs.figures import ACCENT, COLOURS, FAINT, INK, Figure, style
from aiga.runs.record import Run

SHOWN = 12
"""Metrics whose last values are drawn, if no names are given."""
SPREAD = 0.22
"""How far from the middle of its row a dot may lie: rows."""


def figures(directories: Sequence[str | Path], names: Sequence[str] | None = None) -> list[Figure]:
    """What folders of runs and of claims say beside each other: each claim by itself, all other runs together."""
    found: list[Figure] = []
    single: list[Run] = []
    for directory in directories:
        folders = claims.folders(directory)
        for folder in folders:
            found += claim(folder)
        if not folders:
            single.append(Run(directory))
    if len(single) == 1 and not found:
        raise UsageError(f"{single[0].directory} is one run: give two or more, or the folder of a claim.")
    return found + (runs(single, names) if single else [])


def runs(several: Sequence[Run], names: Sequence[str] | None = None, **look: Any) -> list[Figure]:
    """Runs side by side: last values as dots, curves, and a table of what differs; seeds of the same are one group.

    Args:
        several: The runs.
        names: Metrics; default: those that differ.
        look: How the curves are drawn, as of `curves.curves`.
    """
    grouped = curves.groups(several)
    chosen = list(names) if names else _differing(several)[:SHOWN]
    found = [_ends(grouped, chosen)] if chosen and len(several) > 1 else []
    medians = "Of the runs that differ in their seed alone, the median." if len(grouped) < len(several) else ""
    summed = Figure("Side by side", medians, _side_by_side(grouped))
    return [*found, *curves.curves(several, names, **look), summed, Figure("Runs", "", _listed(grouped))]


def claim(folder: str | Path) -> list[Figure]:
    """What the finished runs of a claim say: every seed as a dot, medians, the effect and the verdict; then curves."""
    system, stated, arms = claims.read(folder)
    done = {arm: [run for run in members if run.status == "finished"] for arm, members in arms.items()}
    if not (done["treatment"] and done["control"]):
        told = f"{stated.statement} ({stated.source}) No run of treatment or control is finished."
        return [Figure(f"Claim of {system}: not yet known", told, _counts(arms))]
    result = claims.measured(folder)
    found = [_dots(result, stated, arms), _effect(result, stated)]
    if any(stated.metric in run.changing() for members in done.values() for run in members):
        drawn = curves.curves({arm: members for arm, members in done.items() if members}, [stated.metric])
        found.append(drawn[0]._replace(title=f"{stated.metric} over the runs"))
    return [*found, Figure("Every arm", "Medians, and the value of each seed.", list(_rows(result)))]


def verdict(result: claims.Result) -> str:
    """The verdict in a sentence."""
    low, high = result.interval
    return (
        f"The claim {'holds' if result.holds else 'does not hold'}: effect on {result.metric} {result.effect:,.4g}, "
        f"95 % interval {low:,.4g} to {high:,.4g}, bootstrapped over seeds."
    )


def _dots(result: claims.Result, stated: claims.Claim, arms: Mapping[str, Sequence[Run]]) -> Figure:
    """Every seed of every arm, and the medians."""
    values = {arm: table[result.metric] for arm, table in result.table.items()}
    colours = {arm: {"treatment": ACCENT, "control": COLOURS[1]}.get(arm, FAINT) for arm in values}
    figure = require("plotly.graph_objects", "report").Figure()
    for trace in _rows_of_dots(values, colours):
        figure.add_scatter(**trace)
    style(figure, height=110 + 56 * len(values), xaxis_title=result.metric, showlegend=False, margin_l=130)
    _named_rows(figure, list(values))
    going = sum(run.status != "finished" for members in arms.values() for run in members)
    left_out = f" {going} runs are not finished and not counted." if going else ""
    better = f"{'Higher' if result.better == 'higher' else 'Lower'} is better; a dot is a seed, a bar the median."
    condition = f" Precondition: {stated.precondition}" if stated.precondition else ""
    said = f"{result.claim} ({stated.source}) {verdict(result)} {better}{left_out}{condition}"
    title = f"Claim of {result.system}: {'holds' if result.holds else 'does not hold'}"
    return Figure(title, said, figure)


def _effect(result: claims.Result, stated: claims.Claim) -> Figure:
    """The effect and its interval against the margin that it must pass."""
    figure = require("plotly.graph_objects", "report").Figure()
    low, high = result.interval
    colour = ACCENT if result.holds else FAINT
    reach = {"type": "data", "array": [high - result.effect], "arrayminus": [result.effect - low], "thickness": 2}
    mark = {"color": colour, "size": 13, "symbol": "diamond"}
    figure.add_scatter(x=[result.effect], y=[0], error_x=reach, mode="markers", marker=mark, name="effect")
    figure.add_vline(x=stated.margin, line={"color": INK, "dash": "dot", "width": 1})
    places = [low, high, stated.margin, 0.0]
    room = 0.08 * (max(places) - min(places) or 1)
    style(figure, height=150, showlegend=False, margin_l=130, margin_t=10, xaxis_title=f"effect on {result.metric}")
    figure.update_xaxes(range=[min(places) - room, max(places) + room])
    figure.update_yaxes(tickvals=[0], ticktext=["effect"], range=[-1, 1], showgrid=False, zeroline=False)
    order = "treatment less control" if result.better == "higher" else "control less treatment"
    caption = (
        f"The difference of the means, {order}, and its 95 % interval. The claim holds if the whole interval "
        f"lies above {stated.margin:,.4g} (dotted)."
    )
    return Figure("Effect", caption, figure)


def _rows(result: claims.Result) -> Iterator[dict[str, str]]:
    for arm, table in result.table.items():
        for name, values in table.items():
            each = ", ".join(f"{value:,.4g}" for value in values)
            yield {"arm": arm, "metric": name, "median": f"{np.median(values):,.6g}", "seeds": each}


def _counts(arms: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "runs": len(members), "finished": sum(run.status == "finished" for run in members)}
        for arm, members in arms.items()
    ]


def _differing(several: Sequence[Run]) -> list[str]:
    """Numbers that all runs have and that differ at their end."""
    ends = [run.latest() for run in several]
    return [
        name
        for name, value in ends[0].items()
        if name not in curves.CLOCK
        and not isinstance(value, str)
        and all(isinstance(end.get(name), float) for end in ends)
        and len({end[name] for end in ends}) > 1
    ]


def _ends(grouped: Mapping[str, Sequence[Run]], names: Sequence[str]) -> Figure:
    """The last values of metrics, a panel each: a row for each group, a dot for each run."""
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    height = 34 * len(grouped) + 70
    subplots = require("plotly.subplots", "report")
    gap = min(0.9 / max(lines - 1, 1), 70 / (height * lines))
    titles = [escape(name, quote=False) for name in names]
    layout = {"subplot_titles": titles, "shared_yaxes": True, "vertical_spacing": gap, "horizontal_spacing": 0.04}
    figure = subplots.make_subplots(lines, columns, **layout)
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(grouped)}
    for i, name in enumerate(names):
        values = {label: [_end(run, name) for run in members] for label, members in grouped.items()}
        for trace in _rows_of_dots(values, colours):
            figure.add_scatter(**trace, row=i // columns + 1, col=i % columns + 1)
    longest = max(len(label) for label in grouped)
    style(figure, height=60 + height * lines, showlegend=False, margin_l=min(40 + 7 * longest, 300))
    figure.update_annotations(font_size=12)
    figure.update_xaxes(nticks=4)
    _named_rows(figure, list(grouped))
    return Figure(
        "Last values", "A dot is a run, a bar the median of the runs that differ in their seed alone.", figure
    )


def _end(run: Run, name: str) -> float:
    """The last value of a metric; NaN if it is no number."""
    value = run.latest().get(name)
    return value if isinstance(value, float) else np.nan


def _rows_of_dots(values: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A row of dots for each label and a bar at its median; dots are moved up and down so that none hides another."""
    for row, (label, some) in enumerate(values.items()):
        known = np.array([value for value in some if np.isfinite(value)])
        if not known.size:
            continue
        shift = SPREAD * np.linspace(-1, 1, known.size) if known.size > 1 else np.zeros(1)
        dots = {"color": colours[label], "size": 9, "opacity": 0.75}
        yield {"x": known, "y": row + shift, "mode": "markers", "marker": dots, "name": label}
        bar = {"color": colours[label], "width": 3}
        middle = float(np.median(known))
        yield {"x": [middle, middle], "y": [row - 0.36, row + 0.36], "mode": "lines", "line": bar, "name": "median"}


def _named_rows(figure: Any, labels: Sequence[str]) -> None:
    short = [label if len(label) <= 40 else f"{label[:39]}…" for label in labels]
    ticks = {"tickvals": list(range(len(labels))), "ticktext": short, "range": [len(labels) - 0.4, -0.6]}
    figure.update_yaxes(**ticks, showgrid=False, zeroline=False)


def _side_by_side(grouped: Mapping[str, Sequence[Run]]) -> list[dict[str, str]]:
    """A row for each metric, a column for each group."""
    ends = {label: [run.latest() for run in members] for label, members in grouped.items()}
    names = dict.fromkeys(name for some in ends.values() for end in some for name in end)
    return [{"": name} | {unescape(label): _middle(some, name) for label, some in ends.items()} for name in names]


def _middle(ends: Sequence[Mapping[str, Any]], name: str) -> str:
    """The median of numbers; words as they are."""
    values = [end[name] for end in ends if name in end]
    if any(isinstance(value, str) for value in values):
        return ", ".join(dict.fromkeys(map(str, values)))
    return _told(float(np.median(values))) if values else ""


def _listed(grouped: Mapping[str, Sequence[Run]]) -> list[dict[str, str]]:
    """A row for each run."""
    rows = []
    for label, members in grouped.items():
        for row in compare([run.directory for run in members]):
            seconds = float(row.get("run/seconds", 0.0))
            seed = str(row["seed"]) if "seed" in row else str(members[0].manifest["seed"])
            lasted = f"{int(row.get('run/steps', 0)):,} steps, {seconds / 60:.1f} minutes"
            rows.append(
                {"run": row["run"], "group": unescape(label), "seed": seed, "status": row["status"], "lasted": lasted}
            )
    return rows


def _told(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
