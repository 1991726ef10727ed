"""Measures of who came of whom, for any run: depth, branching, surviving lineages, transfers.

The tree is that of first parents.  A parent that is not on record, such as a candidate no archive took in, counts as
none: its children are founders.  All is linear in the births, or that times the logarithm of the depth.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from aiga.inspect.family import name
from aiga.runs.figures import Figure
from aiga.runs.record import Run
from aiga.runs.store import packed

LINEAGES = 8
"""Surviving lineages in the table."""


class Tree(NamedTuple):
    """Births in the order of their identities, so that a parent's row is before its children's."""

    id: Int[np.ndarray, " n"]
    parent: Int[np.ndarray, " n"]
    """A row; -1: nobody."""
    fitness: Float[np.ndarray, " n"]
    cell: Int[np.ndarray, " n"]
    """-1: none."""
    alive: Bool[np.ndarray, " n"]
    """Neither replaced nor extinct."""
    depth: Int[np.ndarray, " n"]
    """First parents before it."""
    founder: Int[np.ndarray, " n"]
    """The row of the first of these, or its own."""

    @classmethod
    def of(
        cls,
        identities: Int[np.ndarray, " n"],
        parents: Int[np.ndarray, " n"],
        fitness: Float[np.ndarray, " n"],
        cell: Int[np.ndarray, " n"],
        alive: Bool[np.ndarray, " n"],
    ) -> "Tree":
        """The tree of births with these rising identities, and those of their first parents."""
        parent = parent_rows(identities, parents)
        return cls(identities, parent, fitness, cell, alive, *climbed(parent))


class Measures(NamedTuple):
    """What a tree is like; rows are those of the tree, -1 if there is none."""

    births: int
    founders: int
    """Births without a parent."""
    depth: int
    """Of the deepest: steps to its founder."""
    mean_depth: float
    parents: int
    """Births with children."""
    branching: float
    """Children of a parent, on average."""
    most_children: int
    prolific: int
    """The row of who has most."""
    alive: int
    lines: int
    """Founders with living descendants, or alive themselves."""
    stones: int
    """Births that are no longer alive and have living descendants: the stepping stones of what is there."""
    ancestor: int
    """The row of the latest common ancestor of all that live."""
    longest: int
    """The row of the deepest of those that live, the first of equals."""
    longest_depth: int
    switches: int
    """Births in another cell than their parent's."""


class Lineage(NamedTuple):
    """A founder and its descendants."""

    founder: int
    """Its row, as the next."""
    best: int
    births: int
    alive: int
    depth: int
    """Of the deepest that lives."""


def tree(run: Run) -> Tree:
    """The births of a run."""
    found = run.lineage("id", "parent", "fitness", "cell", "replaced")
    gone = [
        found["replaced"],
        np.array([_packed(e["id"]) for k in ("replaced", "extinct") for e in run.events(k)], int),
    ]
    alive = np.ones(found["id"].size, bool)
    for identities in gone:
        rows = rows_of(found["id"], identities)
        alive[rows[rows >= 0]] = False
    return Tree.of(found["id"], found["parent"], found["fitness"], found["cell"], alive)


def rows_of(ids: Int[np.ndarray, " n"], wanted: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """The row of each in rising identities; -1 where it is not among them."""
    if not ids.size:
        return np.full(wanted.size, -1)
    row = np.minimum(np.searchsorted(ids, wanted), ids.size - 1)
    return np.where(ids[row] == wanted, row, -1)


def parent_rows(ids: Int[np.ndarray, " n"], parents: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The row of each parent; nobody is born of one who is not born before."""
    row = rows_of(ids, parents)
    return np.where(row < np.arange(ids.size), row, -1)


def climbed(parent: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The depth and the founder of each row, by jumps that double: to the parent, its grandparent, and so on."""
    hop, depth = np.where(parent < 0, np.arange(parent.size), parent), (parent >= 0).astype(np.int64)
    while True:
        to = hop[hop]  # founders stay where they are
        if np.array_equal(to, hop):
            return depth, hop
        depth += depth[hop]
        hop = to


def living(parent: Int[np.ndarray, " n"], alive: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """How many of a row's descendants and itself live; a plain loop, since a tree may be one long line."""
    count, above = alive.astype(int).tolist(), parent.tolist()
    for row in range(len(above) - 1, -1, -1):
        if above[row] >= 0:
            count[above[row]] += count[row]
    return np.array(count, np.int64)


def measured(found: Tree) -> Measures:
    """The measures of a tree with at least one birth."""
    depth, count = found.depth, living(found.parent, found.alive)
    born = found.parent >= 0
    children = np.bincount(found.parent[born], minlength=born.size)
    parents, survivors = int((children > 0).sum()), np.flatnonzero(found.alive)
    longest = int(survivors[depth[survivors].argmax()]) if survivors.size else -1
    common = np.flatnonzero(count == survivors.size) if survivors.size else survivors
    cells = found.cell[born], found.cell[found.parent[born]]
    return Measures(
        births=born.size,
        founders=int((~born).sum()),
        depth=int(depth.max()),
        mean_depth=float(depth.mean()),
        parents=parents,
        branching=float(children.sum() / parents) if parents else 0.0,
        most_children=int(children.max()),
        prolific=int(children.argmax()) if parents else -1,
        alive=survivors.size,
        lines=np.unique(found.founder[survivors]).size,
        stones=int(((count > 0) & ~found.alive).sum()),
        ancestor=int(common[depth[common].argmax()]) if common.size else -1,
        longest=longest,
        longest_depth=int(depth[longest]) if longest >= 0 else 0,
        switches=int(((cells[0] != cells[1]) & (cells[0] >= 0) & (cells[1] >= 0)).sum()),
    )


def lineages(found: Tree, most: int = LINEAGES) -> list[Lineage]:
    """The founders with most living descendants, themselves counted, most first."""
    depth, founder = found.depth, found.founder
    births, alive = (np.bincount(founder[rows], minlength=founder.size) for rows in (slice(None), found.alive))
    best, deepest = _last_of(founder, found.fitness), _last_of(founder[found.alive], depth[found.alive])
    chosen = np.argsort(-alive, kind="stable")[:most]
    chosen = chosen[alive[chosen] > 0].tolist()
    reached = depth[found.alive]
    return [
        Lineage(row, best.get(row, -1), int(births[row]), int(alive[row]), int(reached[deepest[row]])) for row in chosen
    ]


def figures(run: Run, found: Tree) -> list[Figure]:
    """The measures of a run, and its longest surviving lineages, as tables."""
    if not found.id.size:
        return []
    rows = [{"measure": measure, "value": value} for measure, value in _told(run, found, measured(found)).items()]
    surviving = [_row(found, lineage) for lineage in lineages(found)]
    caption = "Of first parents. Alive: neither replaced by another nor extinct when the run was read."
    told = "A founder and all that came of it; those with most alive first. Depth is that of the deepest alive."
    return [Figure("Ancestry", caption, rows), Figure("Surviving lineages", told, surviving)]


def _told(run: Run, found: Tree, seen: Measures) -> dict[str, str]:
    moved = run.query("SELECT count(*) FROM events WHERE kind = 'transferred'")[0][0]
    told = {
        "births": f"{seen.births:,}",
        "founders": f"{seen.founders:,}, of which {seen.lines:,} have living descendants or live",
        "depth": f"{seen.depth:,} at most, {seen.mean_depth:,.1f} on average",
        "children of a parent": f"{seen.branching:,.2f} on average, {seen.most_children:,} at most "
        f"({_called(found, seen.prolific)})",
        "parents": f"{seen.parents:,} of {seen.births:,} births ({seen.parents / seen.births:.0%})",
        "alive": f"{seen.alive:,}",
        "stepping stones": f"{seen.stones:,} that are gone and have living descendants",
        "latest common ancestor of all alive": _called(found, seen.ancestor),
        "longest living line": f"{seen.longest_depth:,} steps, to {_called(found, seen.longest)}",
    }
    if (found.cell >= 0).any():
        children = max(seen.births - seen.founders, 1)
        told["born in another cell than the parent's"] = (
            f"{seen.switches:,} ({seen.switches / children:.0%} of children)"
        )
    return told | ({"transfers": f"{moved:,}"} if moved else {})


def _row(found: Tree, lineage: Lineage) -> dict[str, str]:
    best = f"{found.fitness[lineage.best]:.4g} ({_called(found, lineage.best)})" if lineage.best >= 0 else ""
    return {
        "founder": _called(found, lineage.founder),
        "births": f"{lineage.births:,}",
        "alive": f"{lineage.alive:,}",
        "depth": f"{lineage.depth:,}",
        "best fitness": best,
    }


def _called(found: Tree, row: int) -> str:
    return name(int(found.id[row])) if row >= 0 else "none"


def _last_of(group: Int[np.ndarray, " n"], value: np.ndarray) -> dict[int, int]:
    """The place of the greatest value of each group, the first of equals; NaN is no value."""
    places = np.flatnonzero(~np.isnan(value))
    ranked = places[np.lexsort((-places, value[places], group[places]))]
    last = np.flatnonzero(np.diff(group[ranked], append=-1))
    return dict(zip(group[ranked[last]].tolist(), ranked[last].tolist(), strict=True))


def _packed(identity: Any) -> int:
    return int(packed(np.asarray(identity)))
