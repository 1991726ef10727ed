"""Go-Explore in a Gymnasium environment of your own: a corridor with a trap that random actions do not get past."""

import asyncio

import gymnasium
import jax

from aiga.envs.restorable import Explore, Gymnasium, World
from aiga.systems.go_explore import GoExplore


class Corridor(gymnasium.Env):
    """Walk 60 squares to the right, for a point; every third square kills those who stand still on it."""

    action_space = gymnasium.spaces.Discrete(3)
    observation_space = gymnasium.spaces.Discrete(61)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.won = 0, False
        return self.position, {}

    def step(self, action):
        moved = int(action) - 1
        self.position = min(max(self.position + moved, 0), 60)
        won = self.position == 60 and not self.won  # the goal does not end the episode: what ends it is never a cell
        self.won = self.won or won
        return self.position, float(won), moved == 0 and self.position % 3 == 2, False, {}


def build() -> Gymnasium:
    return Gymnasium(Corridor())


def cell(env: Gymnasium) -> bytes:
    """Cells are positions; a cell's key is a few bytes."""
    return bytes([int(env.observation or 0)])


async def main(steps: int = 40) -> float:
    system = GoExplore(World(build), Explore(cell, steps=20, repeat=3.0), batch=10, frames_per_action=1)
    key, info = jax.random.key(0), {}
    state = system.init(key)
    for step in range(steps):
        state, info = await system.step(jax.random.fold_in(key, step), state)
    print(f"{info['score/best']:.0f} point after {info['score/length']} actions, {info['archive/cells']} cells")
    return info["score/best"]


if __name__ == "__main__":
    asyncio.run(main())
