"""A world on the host for policies: a line with wind, walked to its right end."""

import pickle

import numpy as np

from aiga.envs.playable import Outcome


class WindyWalk:
    """Steps left or right; the wind undoes some; the left end is death, and patience ends after `limit` steps."""

    actions = 2

    def __init__(self, length: int = 6, limit: int = 9, wind: float = 0.1) -> None:
        self.length, self.limit, self.wind = length, limit, wind
        self.x = self.age = 0

    def reset(self, rng: np.random.Generator, params: int | None) -> dict[str, np.ndarray]:
        self.x, self.age = int(rng.integers(1, (params or 1) + 1)), 0
        return self.seen()

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        self.age += 1
        if rng.random() >= self.wind:
            self.x += 2 * action - 1
        reward = 1.0 if self.x == self.length else 0.0
        return Outcome(self.seen(), reward, self.x in (0, self.length), self.age == self.limit)

    def save(self) -> bytes:
        return pickle.dumps((self.x, self.age))

    def restore(self, snapshot: bytes) -> None:
        self.x, self.age = pickle.loads(snapshot)

    def seen(self) -> dict[str, np.ndarray]:
        return {"place": np.eye(self.length + 1, dtype=np.float32)[self.x], "age": np.float32(self.age / self.limit)}


def age(env: WindyWalk, outcome: Outcome) -> dict[str, float]:
    return {"age": env.age, "reward": outcome.reward}
