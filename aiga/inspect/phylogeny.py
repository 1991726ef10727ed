"""What the report shows of agents that rewrite themselves: who came of whom, by which changes, and who was turned away.

Everything is read from a run: births are rows of its lineage, whose blobs are diffs; children that were not kept are
its rejections.  Systems add what only their state knows, such as how an agent did stage by stage.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import require
from aiga.core.texts import visible
from aiga.inspect import changes, family
from aiga.inspect.family import Lost, Member, name
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, INK, Figure, Markup, style
from aiga.runs.store import packed


class Measured(NamedTuple):
    """How an agent did, stage by stage."""

    tasks: int
    """How many it was given, all stages together."""
    stages: tuple[float, ...] = ()
    """Its mean score over all tasks so far, after each stage that it was given."""


Measures = Mapping[int, Measured]
"""By identity, as in the run's lineage."""


def figures(run: Run, measured: Measures | None = None, chosen: int | None = None) -> list[Figure]:
    """All that is here, in the order of the report.

    Args:
        run: The run.
        measured: How agents did, as far as the state knows.
        chosen: The agent whose line is marked; None: the one of the best score.
    """
    found: list[Figure] = [tree(run, measured, chosen), progress(run), stages(run, measured)]
    found += [best_lineage(run, measured, chosen), rejections(run), births(run, measured)]
    return [figure for figure in found if figure.content and figure.content != Markup("")]


def members(run: Run, measured: Measures | None = None) -> list[Member]:
    """Everyone in the archive, in the order of birth."""
    lineage, known = run.lineage(), measured or {}
    identities = lineage["id"].tolist()
    columns = (lineage[column].tolist() for column in ("parent", "step", "operator", "fitness", "blob"))
    tasks = [known[identity].tasks if identity in known else 0 for identity in identities]
    return list(map(Member, identities, *columns, tasks))


def lost(run: Run) -> list[Lost]:
    """The children that were not kept."""
    return [
        Lost(_packed(event["id"]), _packed(event.get("parent")), event["step"], event["reason"], event.get("blob"))
        for event in run.events("rejected")
    ]


def line(run: Run, chosen: int | None = None) -> list[int]:
    """The identities from the first agent to the chosen one, or to the best."""
    everyone = members(run)
    if not everyone:
        return []
    scores = [member.score for member in everyone]
    best = everyone[int(np.nanargmax(scores))].id if np.isfinite(scores).any() else everyone[0].id
    return run.ancestors(best if chosen is None else chosen)[::-1]


def tree(run: Run, measured: Measures | None = None, chosen: int | None = None) -> Figure:
    """The archive as a tree over the steps of the run."""
    everyone, gone, marked = members(run, measured), lost(run), line(run, chosen)
    if not everyone:
        return Figure("The archive as a tree", "", Markup(""))
    end = f"the line to {name(marked[-1])}, the {'best on search' if chosen is None else 'chosen one'}, is dark"
    sizes = "; the larger, the more tasks it was given" if measured else ""
    caption = (
        f"{len(everyone):,} agents of the archive, each at the step of its birth, and {len(gone):,} crosses, children "
        f"that were not kept, under their parents. The more orange, the better{sizes}; {end}. "
        "Hover over a mark for its score or for the reason."
    )
    return Figure("The archive as a tree", caption, Markup(family.drawn(everyone, gone, marked)))


def best_lineage(run: Run, measured: Measures | None = None, chosen: int | None = None) -> Figure:
    """The changes from the first agent to the best, one after the other, with the score before and after."""
    known = {member.id: member for member in members(run, measured)}
    steps = [_told(run, known[before], known[after]) for before, after in pairwise(line(run, chosen))]
    caption = "Each is a change to the agent before it, and its score is that of the agent that came of it."
    return Figure("The changes of the best line", caption if steps else "", Markup("".join(steps)))


def births(run: Run, measured: Measures | None = None) -> Figure:
    """Every change that was made, kept or not, to be opened one by one."""
    everyone = members(run, measured)
    known = {member.id: member for member in everyone}
    kept = [(m.step, m.id, _summary(m, known.get(m.parent)), m.blob) for m in everyone]
    gone = [(child.step, child.id, _reason(child), child.blob) for child in lost(run)]
    rows = [
        changes.folded(text, _changes(run, blob)) for _, _, text, blob in sorted([*kept, *gone], key=lambda r: r[:2])
    ]
    body = f"<details><summary>{len(rows):,} children, in the order of birth</summary>{''.join(rows)}</details>"
    return Figure("Every change", "", Markup(body if rows else ""))


def rejections(run: Run) -> Figure:
    """Why children were not kept, and what the gate said."""
    gone = lost(run)
    kinds = Counter(kind(child.reason) for child in gone)
    total = len(gone) + len(members(run))
    rows = [
        {
            "why": visible(why),
            "children": f"{count:,}",
            "of all": f"{count / total:.0%}",
            "": "█" * max(1, round(30 * count / total)),
            "the last": visible(next(child.reason for child in reversed(gone) if kind(child.reason) == why))[:300],
        }
        for why, count in kinds.most_common()
    ]
    allowed, denied = (Counter(event["by"] for event in run.events(said)) for said in ("approved", "denied"))
    gate = [f"{by} allowed {allowed[by]:,} and denied {denied[by]:,}" for by in sorted({*allowed, *denied})]
    caption = f"{len(gone):,} of {total:,} agents were not kept." + f" At the gate, {'; '.join(gate)}." * bool(gate)
    return Figure("Children that were not kept", caption, rows)


def progress(run: Run) -> Figure:
    """Scores over the births: each agent's, the best so far, and the mean of the archive so far."""
    everyone = [member for member in members(run) if np.isfinite(member.score)]
    if not everyone:
        return Figure("Scores over the births", "", [])
    graph = require("plotly.graph_objects", "report")
    scores, number = np.array([member.score for member in everyone]), np.arange(1, len(everyone) + 1)
    figure = graph.Figure()
    marker, names = {"color": FAINT, "size": 6}, [name(member.id) for member in everyone]
    figure.add_scatter(x=number, y=scores, mode="markers", marker=marker, text=names, name="agents")
    best, mean = np.maximum.accumulate(scores), np.cumsum(scores) / number
    figure.add_scatter(x=number, y=best, mode="lines", line={"color": ACCENT, "shape": "hv"}, name="best so far")
    figure.add_scatter(x=number, y=mean, mode="lines", line={"color": INK, "dash": "dot"}, name="mean of the archive")
    style(figure, height=380, xaxis_title="birth", yaxis_title="score")
    caption = "The score of each agent on the tasks of search that it was given."
    return Figure("Scores over the births", caption, figure)


def stages(run: Run, measured: Measures | None = None) -> Figure:
    """How agents did in each stage of the evaluation."""
    known = [measured[member.id] for member in members(run) if member.id in (measured or {})] if measured else []
    deepest = max((len(found.stages) for found in known), default=0)
    rows = []
    for stage in range(deepest):
        given = [found for found in known if len(found.stages) > stage]
        scores = [found.stages[stage] for found in given]
        last = [found.tasks for found in given if len(found.stages) == stage + 1]
        rows.append(
            {
                "stage": stage + 1,
                "tasks": f"{max(last):,}" if last else "",
                "agents": f"{len(given):,}",
                "ended here": f"{len(last):,}",
                "mean score": f"{np.mean(scores):.3f}",
                "best score": f"{np.max(scores):.3f}",
            }
        )
    caption = "A score counts the tasks of all stages so far; who reached what a stage asks for is given the next."
    return Figure("Scores by stage of the evaluation", caption, rows)


def kind(reason: str) -> str:
    """What reasons have in common: what stands before the first colon; of the rules, also the rule."""
    parts = reason.split(": ")
    return ": ".join(parts[: 2 if parts[0] == "denied by rules" else 1])


def _told(run: Run, before: Member, after: Member) -> str:
    return changes.folded(_summary(after, before), _changes(run, after.blob), opened=True)


def _summary(member: Member, parent: Member | None) -> str:
    tasks = f" on {member.tasks:,} tasks" if member.tasks else ""
    if parent is None:
        return f"{name(member.id)} · {member.kind} · score {member.score:.3f}{tasks}"
    score = f"score {parent.score:.3f} → {member.score:.3f} ({member.score - parent.score:+.3f}){tasks}"
    return f"{name(parent.id)} → {name(member.id)} · {member.kind} · {score}"


def _reason(child: Lost) -> str:
    of = f"{name(child.parent)} → " if child.parent >= 0 else ""
    return f"{of}{name(child.id)} · not kept · {child.reason[:300]}"


def _changes(run: Run, blob: str | None) -> str:
    return run.blob(blob).decode(errors="replace") if blob else ""


def _packed(identity: Any) -> int:
    return -1 if identity is None else int(packed(np.asarray(identity)))
