"""Population systems, small enough to be run again and again, and what a few steps of them come to."""

import asyncio
import random
from typing import Any

import jax

from aiga.envs.restorable import Explore, World
from aiga.systems import poet
from aiga.systems.go_explore import GoExplore
from tests.unit.grid_world import GridWorld, Square, quarter

STEPS = {"go_explore": 4, "poet": 2}
POET = {
    "horizon": 20, "episodes": 2, "hidden": 4, "pairs": 4, "batch": 8, "children": 2, "capacity": 3, "mutate_every": 2,
    "transfer_every": 2, "table": 2**14, "start": "scratch", "criterion": (-1000.0, 1000.0), "reproduce": -1000.0,
}  # fmt: skip
SYSTEMS = {
    "go_explore": lambda pool: GoExplore(
        World(GridWorld), Explore(Square(), quarter, steps=12, repeat=2.0), batch=40, pool=pool
    ),
    "poet": lambda pool: poet.make(pool=pool, **POET),
}


def final_state(name: str, pool: Any, seed: int = 0) -> list[Any]:
    """The leaves of the state after some steps on this pool."""
    system: Any = SYSTEMS[name](pool)

    async def go() -> Any:
        state = system.init(jax.random.key(seed))
        for step in range(STEPS[name]):
            state, _ = await system.step(jax.random.fold_in(jax.random.key(seed), step + 1), state)
        return state

    return jax.tree.leaves(jax.device_get(asyncio.run(go())))


class Killing:
    """A local pool one of whose workers is killed from time to time, as it is given a task."""

    def __init__(self, pool: Any, every: int) -> None:
        self.pool, self.every, self.tasks, self.kills = pool, every, 0, 0
        self.chance = random.Random(0)

    def submit(self, *call: Any) -> Any:
        self.tasks += 1
        if self.tasks % self.every == 0 and self.pool._crew:
            self.chance.choice(list(self.pool._crew)).process.kill()
            self.kills += 1
        return self.pool.submit(*call)
