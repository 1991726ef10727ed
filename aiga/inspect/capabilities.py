"""What a subject can do and where it fails: clusters of the families it was tried on, as figures, tables and samples.

`samples` are lines of JSON with the fields of a `Sample` of Inspect (https://inspect.aisi.org.uk/datasets.html), which
its `json_dataset` reads: input, target, id, metadata.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from aiga.core.errors import require
from aiga.data.findings import DIFFICULTIES, Finding
from aiga.fm.messages import FM, Message, ModelFailed
from aiga.runs.report import ACCENT, INK, Figure, style

FEW = 30
"""Below so many families, a map is made of principal components: t-SNE has nothing to go by."""
MANY = 300
"""Up to so many, t-SNE is exact: faster, and without threads that wait for each other."""
SHOWN = 12
"""Rows of a table of single families."""
NAMED_BY = 30
"""Families of a cluster that a model is told, to name it."""
SUCCESS, FAILURE = "#2b8a3e", ACCENT
ALONE = -1
"""The group of those in no cluster."""


class Atlas(NamedTuple):
    """Families as points of a map, and the clusters they form."""

    points: Float[np.ndarray, "n 2"]
    group: Int[np.ndarray, " n"]
    """-1: in no cluster."""

    @property
    def groups(self) -> dict[int, list[int]]:
        """The rows of each cluster, largest first."""
        rows = {int(g): np.flatnonzero(self.group == g).tolist() for g in np.unique(self.group) if g != ALONE}
        return dict(sorted(rows.items(), key=lambda item: -len(item[1])))


def atlas(embeddings: Float[np.ndarray, "n d"], smallest: int) -> Atlas:
    """A map of embeddings by t-SNE, and its clusters of at least so many by HDBSCAN."""
    return Atlas(points := _laid_out(embeddings), _grouped(points, smallest))


def terms(findings: Sequence[Finding], rows: Sequence[int], most: int = 3) -> str:
    """The words that tell these families from the others: much more common among them."""
    words = [set(re.findall(r"[a-z]{3,}", f"{f.name} {f.capability}".lower().replace("_", " "))) for f in findings]
    inside, everywhere = Counter(w for row in rows for w in words[row]), Counter(w for one in words for w in one)
    excess = {word: n / len(rows) - everywhere[word] / len(findings) for word, n in inside.items()}
    best = sorted(excess, key=lambda word: (-excess[word], word))[:most]
    return ", ".join(best) or "of many kinds"


async def label(fm: FM, members: Sequence[Finding]) -> str:
    """A model's name for a cluster; empty if it gives none."""
    asked = "\n".join(f"{one.name}: {one.capability}" for one in members[:NAMED_BY])
    try:
        reply = await fm.generate([Message("user", LABEL + asked)], seed=0, task="acd/label")
    except ModelFailed:
        return ""
    return reply.text.strip().splitlines()[0][:80] if reply.text.strip() else ""


LABEL = """\
Here are task families that belong together. Name the ability that they share, in two to five words, and write nothing
else.

"""


def report(
    findings: Sequence[Finding],
    embeddings: Float[np.ndarray, "n d"],
    smallest: int,
    labels: Mapping[str, str] | None = None,
) -> list[Figure]:
    """The capability report: a map, and tables of clusters, failures, and what surprised.

    Args:
        findings: All families of the archive.
        embeddings: Theirs.
        smallest: Families that make a cluster.
        labels: Names of clusters, by their number; those without are named by their terms.
    """
    where = atlas(embeddings, smallest)
    named = {g: (labels or {}).get(str(g)) or terms(findings, rows) for g, rows in where.groups.items()}
    failed = sorted((f for f in findings if not f.success), key=lambda f: (f.difficulty, f.rate, f.name))
    hardest = sorted((f for f in findings if f.success), key=lambda f: (-f.difficulty, -f.rate, f.name))
    surprises = [f for f in findings if f.surprising]
    return [
        drawn(findings, where, named),
        Figure("Capabilities", _said(where, named), _clusters(findings, where, named)),
        Figure("The most difficult successes", "", _table(hardest)),
        Figure("The easiest failures", "", _table(failed)),
        Figure("Surprising", f"{len(surprises)} outcomes that the calibrated judge did not expect.", _table(surprises)),
    ]


def drawn(findings: Sequence[Finding], where: Atlas, named: Mapping[int, str]) -> Figure:
    """The map, a point a family."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    for outcome, colour in ((True, SUCCESS), (False, FAILURE)):
        rows = [row for row, finding in enumerate(findings) if finding.success == outcome]
        ring = [2 if findings[row].surprising else 0 for row in rows]
        figure.add_scatter(
            x=where.points[rows, 0],
            y=where.points[rows, 1],
            mode="markers",
            name="success" if outcome else "failure",
            text=[f"{findings[row].name}: {findings[row].rate:.0%}" for row in rows],
            hoverinfo="text",
            marker={"color": colour, "size": 9, "opacity": 0.75, "line": {"color": INK, "width": ring}},
        )
    for group, rows in where.groups.items():
        x, y = where.points[rows].mean(axis=0)
        figure.add_annotation(x=x, y=y, text=named[group], showarrow=False, bgcolor="rgba(255,255,255,0.7)")
    axis = {"visible": False}
    style(figure, height=620, xaxis=axis, yaxis=axis)
    caption = "Families that are alike lie near each other; a ring marks a surprise. Distances far apart mean nothing."
    return Figure("Map of tasks", caption, figure)


def samples(findings: Sequence[Finding]) -> str:
    """Every task of every family as a line of JSON for Inspect.

    The target is the subject's submission where the family's own program called it a solution, else empty: to score
    others, run the program's `score`, in a sandbox.
    """
    rows = (_sample(finding, example) for finding in findings for example in finding.examples)
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def _sample(finding: Finding, example: Any) -> dict[str, Any]:
    known = ("name", "description", "capability", "difficulty", "rate", "success", "surprising", "program")
    return {
        "input": example.instructions,
        "target": example.submission if example.score >= 1 else "",
        "id": f"{finding.name}/{example.task}",
        "metadata": {name: getattr(finding, name) for name in known} | {"task": example.task, "score": example.score},
    }


def _laid_out(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    n, d = embeddings.shape
    if n < 3:
        return np.stack([np.arange(n, dtype=float), np.zeros(n)], axis=1)
    if n < FEW:
        from sklearn.decomposition import PCA

        return PCA(min(2, d), random_state=0).fit_transform(embeddings.astype(float))
    from sklearn.manifold import TSNE

    method = "exact" if n <= MANY else "barnes_hut"
    tsne = TSNE(2, perplexity=min(30, n / 4), init="pca", method=method, random_state=0)
    return tsne.fit_transform(embeddings).astype(float)


def _grouped(points: Float[np.ndarray, "n 2"], smallest: int) -> Int[np.ndarray, " n"]:
    if len(points) < 2 * smallest:
        return np.full(len(points), ALONE)
    from sklearn.cluster import HDBSCAN

    clustering = HDBSCAN(min_cluster_size=smallest, cluster_selection_method="leaf", copy=True)  # pyright: ignore[reportArgumentType]
    return clustering.fit_predict(points)


def _said(where: Atlas, named: Mapping[int, str]) -> str:
    alone = int((where.group == ALONE).sum())
    return f"{len(named)} clusters; {alone} families are in none."


def _clusters(findings: Sequence[Finding], where: Atlas, named: Mapping[int, str]) -> list[dict[str, Any]]:
    return [_cluster(named[group], [findings[row] for row in rows]) for group, rows in where.groups.items()]


def _cluster(label: str, members: Sequence[Finding]) -> dict[str, Any]:
    done = sorted((f for f in members if f.success), key=lambda f: -f.difficulty)
    failed = sorted((f for f in members if not f.success), key=lambda f: f.difficulty)
    return {
        "cluster": label,
        "families": len(members),
        "succeeded": f"{len(done) / len(members):.0%}",
        "can, for example": done[0].description if done else "",
        "cannot, for example": failed[0].description if failed else "",
    }


def _table(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [_row(finding) for finding in findings[:SHOWN]]


def _row(finding: Finding) -> dict[str, Any]:
    example = finding.examples[0] if finding.examples else None
    verdict = "" if example is None else "solved" if example.score >= 1 else "wrong"
    return {
        "family": finding.name,
        "tasks": finding.description,
        "for people": DIFFICULTIES[finding.difficulty - 1],
        "solved": f"{finding.rate:.0%}",
        "one submission": f"{example.submission[:60]} ({verdict})" if example else "",
    }
