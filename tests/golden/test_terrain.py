"""Courses are the upper envelopes of gymnasium's: its random numbers, given to our builder, make the same ground."""

import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs import terrain
from aiga.envs.terrain import CELLS, STEP, Choices

pytest.importorskip("Box2D")
walker = pytest.importorskip("gymnasium.envs.box2d.bipedal_walker")


class Tape:
    """Random numbers that gymnasium asks for while it builds, kept for the cells that they belong to."""

    def __init__(self, seed, game):
        self.source, self.game = np.random.default_rng(seed), game
        self.kept = {name: np.full(CELLS + 1, name != "bump", float) for name in Choices._fields}

    def uniform(self, low, high):
        return self._keep("bump", self.source.uniform(low, high), 0)

    def random(self):
        drawn = self.source.random()
        self._keep("rise", 1 if drawn > 0.5 else -1, 0)
        return drawn

    def integers(self, low, high):
        drawn = int(self.source.integers(low, high))
        here = self.kept["kind"][len(self.game.terrain_x) - 1]
        if (low, high) == (5, 10):
            self.kept["kind"][len(self.game.terrain_x)] = 0
            return self._keep("grass", drawn, 1)
        if (low, high) == (1, 4):
            return self._keep("kind", drawn, 1)
        if (low, high) == (1, 3):
            return self._keep("width", self._keep("height", drawn, 0), 0)
        if (low, high) == (4, 5):
            return self._keep("tread", drawn, 0)
        assert (low, high) == (3, 5)
        if here == 3:
            self._keep("hole", drawn - 1, 0)
            return drawn
        return self._keep("steps", drawn, 0)

    def _keep(self, name, drawn, ahead):
        self.kept[name][len(self.game.terrain_x) - 1 + ahead] = drawn
        return drawn


def built(seed, hardcore):
    """Gymnasium's game with its ground, and the random numbers in it."""
    game = walker.BipedalWalker(hardcore=hardcore)
    tape = Tape(seed, game)
    game._np_random = tape
    game._generate_terrain(hardcore)
    real = ("bump", "hole", "height", "rise")
    kept = (jnp.asarray(x[:CELLS], float if name in real else jnp.int32) for name, x in tape.kept.items())
    return game, Choices(*kept)


def envelope(game, x):
    """The highest of all boxes and edges at each `x`."""
    highest = np.interp(x, game.terrain_x, game.terrain_y)
    for body in game.terrain:
        corners = np.array(body.fixtures[0].shape.vertices)
        if len(corners) == 4:
            inside = (x >= corners[:, 0].min()) & (x <= corners[:, 0].max())
            highest = np.where(inside, np.maximum(highest, corners[:, 1].max()), highest)
    return highest


@pytest.mark.parametrize("hardcore", [True, False])
def test_the_ground_is_the_highest_of_what_gymnasium_lays(hardcore):
    for seed in range(8):
        game, drawn = built(seed, hardcore)
        ours = terrain.pieces(terrain.course(drawn, jnp.ones(()), ramped=True))
        x = STEP * (np.arange(199 * 10) + 0.5) / 10  # no walls there
        np.testing.assert_allclose(np.interp(x, *ours.T), envelope(game, x), atol=2e-4)
