"""A random walk: the smallest system that a run can hold.

x <- x + noise
"""

import os
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aiga.core import trees
from aiga.core.errors import BudgetExceeded, UsageError
from aiga.core.lifts import maybe
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.pools import Serial
from aiga.runs.report import Figure

ABOUT = {"papers": (), "pillar": "", "needs": ()}


class Place(NamedTuple):
    """Where the walk is, and how many steps it took."""

    position: Any
    count: Any


def double(x: float) -> float:
    return 2 * x


class Wander:
    """Walks; can be told to sleep, to break, or to end at a step."""

    def __init__(self, pool, scale, sleep, breaks_at, ends_at, how):
        self.pool, self.scale, self.sleep, self.breaks_at, self.ends_at, self.how = (
            pool, scale, sleep, breaks_at, ends_at, how,
        )  # fmt: skip

    def init(self, key):
        return Place(jnp.zeros(3), np.zeros((), int))

    async def step(self, key, state):
        if int(state.count) + 1 == self.breaks_at:
            match self.how:
                case "error":
                    raise RuntimeError("the floor gave way")
                case "usage":
                    raise UsageError("the world wants a key: give --key.")
                case "budget":
                    raise BudgetExceeded
                case "kill":
                    os.kill(os.getpid(), 9)
        time.sleep(self.sleep)
        position = state.position + self.scale * jax.random.normal(key, (3,))
        place = Place(position, state.count + 1)
        doubled = await maybe(self.pool.submit(double, float(position[0])))
        birth = int(state.count)
        born = Born(
            id=trees.identities(birth, 2, np),
            parents=np.array([[[birth - 1, 0]], [[-1, -1]]]) if birth else np.full((2, 1, 2), -1),
            operator="walk",
            kept=np.array([2, 0]),
            fitness=np.array([doubled, 0.0]),
        )
        info = {
            "walk/far": jnp.abs(position).max(),
            "walk/x": position[0],
            "walk/doubled": doubled,
            "archive/size": birth + 1,
            "born": born,
        }
        return place, info | ({"run/finished": 1} if birth + 1 == self.ends_at else {})


def make(
    scale: float = 1.0,
    sleep: float = 0.0,
    breaks_at: int = 0,
    ends_at: int = 0,
    how: str = "error",
    shape: tuple[int, ...] = (),
    pool: Any = Serial(),  # noqa: B008
):
    """Wander.

    Args:
        scale: Length of a step.
        sleep: Seconds that a step takes at least.
        breaks_at: The step that fails, if any.
        ends_at: The step that ends the run, if any.
        how: The way in which it fails.
        shape: Unused.
        pool: Where numbers are doubled.
    """
    assert all(isinstance(n, int) for n in shape)
    return Wander(pool, scale, sleep, breaks_at, ends_at, how)


PAPER = {"scale": 2.0}
CLAIM = Claim(
    statement="Longer steps lead further.",
    source="nobody (2026), Fig. 0",
    metric="walk/far",
    treatment={"scale": 100.0},
    control={"scale": 0.01},
    others={"plain": {}},
    also=("walk/x",),
    steps=3,
)


def figures(run):
    """The walk's own figure, with a title that tries to be a script."""
    return [Figure("<script>alert(1)</script>", "a & b", [{"count": int(run.state.count)}])]
