"""How well an agent is built upon: growth over its descendants, and improvement within a number of them.

Zhang et al. (2026), "Hyperagents": the agent whose descendants grew most is the one that is carried to other domains,
because what it is worth as a starting point and what it scores itself are two things.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aiga.agents.descent import chain, rebuilt
from aiga.agents.domain import Files
from aiga.archives.lineage import Lineage
from aiga.core.texts import Texts

GAMMA = 0.6
"""What a generation of distance leaves of a gain."""
DESCENDANTS = 3
"""An agent with fewer has no growth."""
NOBODY = -1


def growth(
    scores: Sequence[float], parents: Sequence[int], *, gamma: float = GAMMA, least: int = DESCENDANTS
) -> list[float]:
    """Each agent's mean, over its descendants, of their gain on it, times gamma for every generation between them.

    Args:
        scores: Of the agents, in order of birth.
        parents: Each agent's parent, an index below its own; -1: none.
        gamma: From 0 to 1.
        least: Descendants; an agent with fewer has NaN.
    """
    gains: list[list[float]] = [[] for _ in scores]
    for index, score in enumerate(scores):
        ancestor, distance = parents[index], 1
        while ancestor != NOBODY:
            gains[ancestor].append((score - scores[ancestor]) * gamma**distance)
            ancestor, distance = parents[ancestor], distance + 1
    return [float(np.mean(found)) if len(found) >= max(least, 1) else float("nan") for found in gains]


def fertile(scores: Sequence[float], parents: Sequence[int], whole: Sequence[bool] | None = None) -> int | None:
    """The agent with the most growth, the earliest of equals; None: no agent has descendants enough.

    Who was evaluated in part is not chosen, if `whole` is given: its low score would make much growth of little.
    """
    found = np.array(growth(scores, parents))
    found = found if whole is None else np.where(whole, found, np.nan)
    return None if np.isnan(found).all() else int(np.nanargmax(found))


class Carried(NamedTuple):
    """A program on its way to another domain."""

    files: Files
    identity: tuple[int, int]
    """Its name in the archive that it was taken from."""
    growth: float
    """NaN: no program had descendants enough, and this is the best."""


def carried(archive: Lineage, texts: Texts) -> Carried:
    """The program of an archive that is to be carried to another domain."""
    size, whole = int(archive.size), entire(archive)
    scores, parents = np.asarray(archive.fitness)[:size].tolist(), ancestry(archive)
    row = fertile(scores, parents, whole)
    best = int(np.argmax(np.where(whole, scores, -np.inf))) if row is None else row
    birth, index = np.asarray(archive.identity)[best].tolist()
    return Carried(program(archive, best, texts), (birth, index), growth(scores, parents)[best])


def entire(archive: Lineage) -> list[bool]:
    """Who was evaluated in full: the last number of whose descriptor is not NaN."""
    return (~np.isnan(np.asarray(archive.descriptor)[: int(archive.size), -1])).tolist()


def ancestry(archive: Lineage) -> list[int]:
    """The row of each agent's first parent; -1: nobody."""
    size = int(archive.size)
    rows = {tuple(identity): row for row, identity in enumerate(np.asarray(archive.identity)[:size].tolist())}
    return [rows.get(tuple(parent), NOBODY) for parent in np.asarray(archive.parents)[:size, 0].tolist()]


def program(archive: Lineage, row: int, texts: Texts) -> Files:
    """The files of a row, where the first agent too is a diff: one to nothing."""
    names = archive.genomes["changes"]
    changes = [texts.get(names[ancestor]) for ancestor in chain(archive, row)]
    return rebuilt({}, changes, np.asarray(archive.genomes["files"][row]))


def improvement(choice: Sequence[float], scores: Sequence[float], k: int) -> float:
    """imp@k: what the best of the first `k` agents after the initial one scores beyond it; 0 where none is better.

    The best by `choice`.  The paper takes the best on the test itself, `choice` equal to `scores`, which flatters.

    Args:
        choice: What agents are chosen by, the initial one first, then in order of birth; NaN: not to be chosen.
        scores: What they are compared by.
        k: Agents that were generated, kept or not.
    """
    chosen = int(np.nanargmax(choice[: k + 1]))
    return float(scores[chosen] - scores[0])
