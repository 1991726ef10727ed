"""Has a slow program run in the sandbox, one a step."""

from typing import Any, NamedTuple

import numpy as np

ABOUT = {"papers": (), "pillar": "", "needs": ()}
PROGRAM = """
import time
def main(x):
    time.sleep(1)
    return 2 * x
"""


class Sum(NamedTuple):
    """How many programs ran, and the sum of what they said."""

    count: Any
    total: Any


class Sleeper:
    """Sums what the programs say; one that says nothing counts as a thousand."""

    def __init__(self, sandbox):
        self.sandbox = sandbox

    def init(self, key):
        del key
        return Sum(np.zeros((), int), np.zeros((), int))

    async def step(self, key, state):
        del key
        result = await self.sandbox.call(PROGRAM, arguments=[int(state.count)])
        total = state.total + (1000 if result.value is None else result.value)
        return Sum(state.count + 1, total), {"toy/outcome": result.outcome}


def make(*, sandbox=None):
    """Sleep."""
    return Sleeper(sandbox)


PAPER: dict[str, Any] = {}
