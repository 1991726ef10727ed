"""Pictures of an exploration are made of real frames."""

import asyncio

import jax
import numpy as np
import pytest
from PIL import Image

import aiga
from aiga.envs.atari import Atari, MontezumaCell, montezuma_place
from aiga.envs.restorable import Explore, World
from aiga.inspect import expedition
from aiga.systems.go_explore import GoExplore

WORLD = World(Atari, ("montezuma_revenge", True))


@pytest.fixture(scope="module")
def explored():
    system = GoExplore(WORLD, Explore(MontezumaCell(), montezuma_place, repeat=10.0), batch=8)
    state = system.init(jax.random.key(0))
    return asyncio.run(system.step(jax.random.key(1), state))[0]


def test_the_map_shows_the_first_room_as_it_looks(explored, tmp_path):
    drawn = Image.open(expedition.room_map(tmp_path / "map.png", explored.archive, explored.entered, WORLD))
    assert drawn.size == (9 * expedition.TILE[0], 4 * expedition.TILE[1] + 36)
    corner = expedition._corner(1)
    room = np.asarray(drawn)[corner[1] : corner[1] + expedition.TILE[1], corner[0] : corner[0] + expedition.TILE[0]]
    unreached = np.asarray(drawn)[-150:-60, :150]
    assert room.std() > 3 * unreached.std(), "the room is drawn, the others are outlines"


def test_the_first_elite_stands_where_the_game_begins(explored):
    spot = expedition.stand(explored.archive, WORLD)[0]
    assert spot.place == 1
    assert abs(spot.x - 80) < 3
    assert abs(spot.y - 83) < 3


def test_the_pyramid_has_24_rooms_in_four_floors():
    corners = [expedition._corner(place) for place in range(48)]
    assert len(set(corners)) == 48
    assert corners[0] == (3 * expedition.TILE[0], 0)
    assert corners[23] == (8 * expedition.TILE[0], 3 * expedition.TILE[1])
    assert corners[24][1] == 4 * expedition.TILE[1], "the second level stands below the first"


def test_the_film_ends_with_the_last_frame_of_the_trajectory(tmp_path):
    actions = np.random.default_rng(0).integers(0, 18, 40).astype(np.uint8)
    path = expedition.film(tmp_path / "film.gif", WORLD, actions)
    with Image.open(path) as film:
        assert film.n_frames > 10
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB").resize((160, 210), Image.Resampling.NEAREST)).astype(int)
    env = Atari("montezuma_revenge", True)
    for action in actions.tolist():
        env.act(action)
    assert np.abs(last - env.picture()).mean() < 2


PRACTISING = """
import numpy as np

class Practising:
    def init(self, key):
        return (np.array(12),)

    def step(self, key, state):
        (start,) = state
        told = {"backward/start": int(start), "backward/success": 0.5, "backward/steps": 100 * (13 - int(start))}
        return (start - 1,), told

def make():
    return Practising()
"""


def test_the_start_point_and_the_share_of_matches_are_drawn_against_actions(tmp_path):
    (tmp_path / "practising.py").write_text(PRACTISING)
    run = aiga.run(str(tmp_path / "practising.py"), steps=3, out=tmp_path / "run")
    start, share = expedition.practice(run).content.data
    assert list(start.y) == [12, 11, 10]
    assert list(share.y) == [0.5] * 3
    assert np.allclose(start.x, [1e-4, 2e-4, 3e-4])


def test_parents_that_were_replaced_are_not_found(explored):
    rows = expedition.parents_alive(explored.archive)
    assert rows[0] == -1
    alive = rows >= 0
    assert alive.any()
    assert np.array_equal(explored.archive.id[rows[alive]], explored.archive.parent[: len(rows)][alive])
