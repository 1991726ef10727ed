"""How well an agent is built upon: growth over its descendants, and improvement within a number of them.

Zhang et al. (2026), "Hyperagents": the agent whose descendants grew most is the one that is carried to other domains,
because what it is worth as a starting point and what it scores itself are two things.
"""

from collections.abc import Sequence

import numpy as np

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


def fertile(
    scores: Sequence[float], parents: Sequence[int], *, gamma: float = GAMMA, least: int = DESCENDANTS
) -> int | None:
    """The agent with the most growth, the earliest of equals; None: no agent has descendants enough."""
    found = growth(scores, parents, gamma=gamma, least=least)
    return None if np.isnan(found).all() else int(np.nanargmax(found))


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
