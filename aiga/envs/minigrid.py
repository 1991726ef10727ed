"""MiniGrid's worlds for policies on the host: rooms, keys and doors seen from where the agent stands.

The worlds are those of Chevalier-Boisvert et al. (2023), https://arxiv.org/abs/2306.13831 (Apache-2.0, the optional
extra `minigrid`).
"""

import os

import numpy as np
from jaxtyping import UInt8

from aiga.core.errors import UsageError, require
from aiga.envs.playable import Outcome, PlayableGymnasium

VIEW = 7
"""Cells across what the agent sees."""
KINDS = (11, 6, 3)
"""How many objects, colours and states of doors there are."""
FEATURES = VIEW**2 * sum(KINDS) + 4


class MiniGrid:
    """A world by its name, such as `MiniGrid-DoorKey-5x5-v0`; every episode has another layout.

    An observation is `FEATURES` zeros and ones: object, colour and state of each cell in view, the agent in the middle
    of the last row and looking ahead, then its direction.  It depends on the mission not at all.  The reward is
    1 - 0.9 times the share of the time limit that was used, when the goal is reached.
    """

    def __init__(self, name: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        require("minigrid", "minigrid")
        gymnasium = require("gymnasium", "minigrid")
        if not name.startswith("MiniGrid-") or name not in gymnasium.registry:
            raise UsageError(f"MiniGrid has no world `{name}`; names are like `MiniGrid-DoorKey-5x5-v0`.")
        self.world = PlayableGymnasium(gymnasium.make(name, disable_env_checker=True))
        self.actions = self.world.actions

    def reset(self, rng: np.random.Generator, params: object) -> UInt8[np.ndarray, " f"]:
        """Begin an episode; `params` are not looked at."""
        del params
        return features(self.world.reset(rng, None))

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        outcome = self.world.step(rng, action)
        return outcome._replace(observation=features(outcome.observation))

    def save(self) -> bytes:
        return self.world.save()

    def restore(self, snapshot: bytes) -> None:
        self.world.restore(snapshot)


def features(observation: dict) -> UInt8[np.ndarray, " f"]:
    """What is seen, as zeros and ones."""
    parts = [_EYES[kind][observation["image"][..., channel]].ravel() for channel, kind in enumerate(KINDS)]
    return np.concatenate([*parts, _EYES[4][observation["direction"]]])


_EYES = {size: np.eye(size, dtype=np.uint8) for size in (*KINDS, 4)}
