"""Go-Explore: what cells, saving and the archive add to the cost of the emulator.

The whole step of the system, in one process, against ale-py stepping the same actions from the same states; the two
take turns in the same run.  CPU-seconds, median of five after a warm-up.
"""

import asyncio
import statistics
import time
from typing import Any, Literal, cast

import jax
import numpy as np
from measure import row

from aiga.core.errors import require
from aiga.envs.atari import Atari
from aiga.envs.restorable import Rollout, Start, explore_many, opened
from aiga.runs.pools import Serial
from aiga.systems.go_explore import GoExplore, make

WARM_UP, TURNS = 3, 5


def rows() -> list[dict[str, Any]]:
    require("ale_py", "atari")
    return [_row("pixels"), _row("domain")]


def _row(cells: Literal["pixels", "domain"]) -> dict[str, Any]:
    system = cast(GoExplore, make(cells=cells).stages[0].system)
    key, spy = jax.random.key(0), _Spy(system)
    state, ours, alone = system.init(key), [], []
    for turn in range(WARM_UP + TURNS):
        spy.forget()
        began = time.process_time()
        state, _ = asyncio.run(system.step(jax.random.fold_in(key, turn), state))
        looped = time.process_time() - began
        frames = system.frames_per_action * sum(len(rollout.actions) for rollout in spy.rollouts)
        if turn >= WARM_UP:
            ours.append(frames / looped)
            alone.append(frames / _alone(system, spy))
    name, peer = f"frames per CPU-second, {cells} cells", "ale-py stepping alone, same actions"
    found = row("go_explore", name, "frames/CPU-s", statistics.median(ours), statistics.median(alone), peer)
    return found | {"ratio": round(statistics.median(np.divide(ours, alone)), 3)}  # each turn against its own


class _Spy:
    """Remembers what a step explored: stands in for its pool."""

    def __init__(self, system: GoExplore) -> None:
        self.pool, system.pool = Serial(), self
        self.starts: list[Start] = []
        self.rollouts: list[Rollout] = []

    def submit(self, fn: Any, *args: Any) -> Any:
        future = self.pool.submit(fn, *args)
        if fn is explore_many:
            self.starts += args[3]
            self.rollouts += future.result()
        return future

    def forget(self) -> None:
        self.starts, self.rollouts = [], []


def _alone(system: GoExplore, spy: _Spy) -> float:
    """CPU-seconds of the emulator for the same actions."""
    env = cast(Atari, opened(system.world))
    began = time.process_time()
    for start, rollout in zip(spy.starts, spy.rollouts, strict=True):
        env.restore(start.snapshot)
        act, codes = env.ale.act, env.codes
        for action in rollout.actions.tolist():
            act(codes[action])
    return time.process_time() - began


if __name__ == "__main__":
    import json
    import sys

    json.dump(rows(), sys.stdout, indent=1)
