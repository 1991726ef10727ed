"""All that a run knows of one individual: facts, the line of its ancestors, its text, and what that changed."""

import base64
import difflib
import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError, require
from aiga.core.texts import visible
from aiga.inspect import changes, clouds, family
from aiga.inspect.clouds import Member
from aiga.runs.figures import ACCENT, FAINT, Figure, Markup, style
from aiga.runs.record import Run

CHILDREN = 500
"""That are drawn, and, of these, are named in the table."""
NAMED = 12
LETTERS = 40_000
"""Of a text that are shown."""
COMPARED = 3_000
"""Lines of a text whose difference to another is shown: the time that takes grows with their square."""
COLUMNS = "id, step, parent, others, (SELECT name FROM names WHERE names.id = operator), fitness, cell, replaced, blob"
PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Individual(NamedTuple):
    """A row of the lineage."""

    id: int
    step: int
    parent: int | None
    others: str | None
    operator: str | None
    fitness: float | None
    cell: int | None
    replaced: int | None
    blob: str | None


def figures(run: Run, name: str) -> list[Figure]:
    """What there is to see of an individual, by the name that points of figures carry."""
    if name.startswith("c"):
        return of_cloud(run, clouds.member(run, name))
    one = individual(run, name)
    parent = None if one.parent is None else _found(run, one.parent)
    shown = [Figure(f"Individual {family.name(one.id)}", "", facts(run, one)), ancestors(run, one)]
    return shown + ([of_blob(run, one, parent)] if one.blob else [])


def of_cloud(run: Run, member: Member) -> list[Figure]:
    """What is known of a pseudo-offspring, and the line of its parent."""
    rows = [{"": fact, "value": visible(_worded(value))} for fact, value in member.facts.items()]
    cloud = member.cloud
    parent = _found(run, cloud.about.parent if cloud.parents is None else int(cloud.parents[member.row]))
    line = [] if parent is None else [ancestors(run, parent)._replace(title="The line of its parent")]
    return [Figure(f"Pseudo-offspring {member.name}", "", rows), *line]


def individual(run: Run, name: str) -> Individual:
    """The individual of this name: birth step · 2³² + index, as digits."""
    known = name.isascii() and name.isdigit() and len(name) < 20 and int(name) < 1 << 63
    one = _found(run, int(name)) if known else None
    if one is None:
        raise UsageError(f"{run.directory} has no individual {name[:40]!r}: names are the `id` column of its lineage.")
    return one


def facts(run: Run, one: Individual) -> list[dict[str, str]]:
    """What is known of it, as the rows of a table."""
    children = run.query("SELECT id FROM lineage WHERE parent = ? ORDER BY id LIMIT ?", one.id, NAMED + 1)
    count = run.query("SELECT count(*) FROM lineage WHERE parent = ?", one.id)[0][0]
    by = run.query("SELECT id, step FROM lineage WHERE replaced = ? ORDER BY id LIMIT 1", one.id)
    told = {
        "born": f"at step {one.step:,}, by {one.operator or 'nobody knows what'}",
        "name": f"{family.name(one.id)} ({one.id})",
        "fitness": "failed or not known" if one.fitness is None else f"{one.fitness:.6g}",
        "cell": "" if one.cell is None else f"{one.cell:,}",
        "parents": ", ".join(map(family.name, _parents(one))) or "none",
        "children": f"{count:,}" + _listed([identity for (identity,) in children], count),
        "took the place of": "" if one.replaced is None else family.name(one.replaced),
        "replaced": f"by {family.name(by[0][0])} at step {by[0][1]:,}" if by else "",
    }
    return [{"": fact, "value": visible(value)} for fact, value in told.items() if value]


def ancestors(run: Run, one: Individual) -> Figure:
    """The line of first parents that leads to it, and its children, each to be clicked."""
    line = run.ancestors(one.id)[::-1]
    young = run.query("SELECT id, fitness FROM lineage WHERE parent = ? ORDER BY id LIMIT ?", one.id, CHILDREN)
    fitness = dict(_fitness(run, line))
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    born = [(identity, _number(value)) for identity, value in young]
    figure.add_scatter(**_points(born), mode="markers", marker={"color": FAINT, "size": 6}, name="children")
    figure.add_scatter(
        **_points([(identity, _number(fitness.get(identity))) for identity in line]),
        mode="lines+markers",
        line={"color": ACCENT, "width": 1.5},
        marker={"color": ACCENT, "size": [5] * (len(line) - 1) + [11]},
        name="its line",
    )
    style(figure, height=300, xaxis_title="step of birth", yaxis_title="fitness", showlegend=bool(born))
    figure.update_layout(legend={"orientation": "h", "y": 1.12, "x": 0}, margin={"t": 30})
    steps = len(line) - 1
    caption = f"{steps:,} first parents before it, and {len(born):,} of its children." if steps or born else ""
    return Figure("Its line", caption, figure)


def of_blob(run: Run, one: Individual, parent: Individual | None) -> Figure:
    """Its text, and how it differs from its parent's; or its picture."""
    assert one.blob is not None
    data = run.blob(one.blob)
    kind = next((kind for magic, kind in PICTURES.items() if data.startswith(magic)), None)
    if kind:
        address = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        return Figure("Its picture", "", Markup(f'<img alt="" src="{address}">'))
    text = data.decode(errors="replace")
    if text.startswith("diff --git "):
        return Figure("How it differs from its parent", "", Markup(changes.coloured(text)))
    before = run.blob(parent.blob).decode(errors="replace") if parent and parent.blob else None
    changed = "" if before is None else changes.folded("Changes to its parent's", difference(before, text), opened=True)
    words = f"<details{' open' * (not changed)}><summary>{len(text):,} letters</summary>{_words(text)}</details>"
    return Figure("Its text", "", Markup(changed + words))


def difference(before: str, after: str) -> str:
    """What changed from one text to another, as a diff; texts of many lines are compared as far as `COMPARED`."""
    old, new = (text.splitlines()[:COMPARED] for text in (before, after))
    lines = list(difflib.unified_diff(old, new, "parent", "child", lineterm=""))
    return "\n".join(lines) if lines else "(no line differs)"


def _found(run: Run, identity: int) -> Individual | None:
    rows = run.query(f"SELECT {COLUMNS} FROM lineage WHERE id = ?", identity)
    if not rows:
        return None
    one = Individual._make(rows[0])
    numbers = (one.parent, one.fitness, one.cell, one.replaced)
    if not isinstance(one.step, int) or not all(n is None or isinstance(n, (int, float)) for n in numbers):
        raise UsageError(f"{run.directory}/run.sqlite is damaged (individual {identity}): restore a copy of it.")
    return one


def _parents(one: Individual) -> list[int]:
    """The first, and then the others."""
    try:
        others = [int(other) for other in json.loads(one.others or "[]")]
    except (TypeError, ValueError) as error:
        raise UsageError(f"the parents of individual {one.id} cannot be read: restore a copy of the run.") from error
    return ([] if one.parent is None else [one.parent]) + others


def _listed(identities: Sequence[int], count: int) -> str:
    named = ", ".join(map(family.name, identities[:NAMED]))
    return f": {named}{', …' * (count > NAMED)}" if named else ""


def _fitness(run: Run, line: Sequence[int]) -> list[tuple[int, float | None]]:
    parts = [line[i : i + CHILDREN] for i in range(0, len(line), CHILDREN)]
    query = "SELECT id, fitness FROM lineage WHERE id IN ({})"
    return [
        (int(identity), value)
        for part in parts
        for identity, value in run.query(query.format(", ".join("?" * len(part))), *part)
    ]


def _points(born: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Places of individuals, to be clicked."""
    return {
        "x": [identity >> 32 for identity, _ in born],
        "y": np.array([value for _, value in born]),
        "customdata": [str(identity) for identity, _ in born],
        "text": [family.name(identity) for identity, _ in born],
        "hovertemplate": "%{text}<br>fitness %{y:.4g}<extra></extra>",
    }


def _worded(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_worded, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _words(text: str) -> str:
    cut = f"\n({len(text) - LETTERS:,} more letters)" if len(text) > LETTERS else ""
    return f"<pre>{escape(visible(text[:LETTERS]))}{cut}</pre>"
