import numpy as np
import pytest

from aiga.envs.tiles import GAMES, Tiles


def memory(**cells):
    ram = np.zeros(128, np.uint8)
    for address, value in cells.items():
        ram[int(address[1:])] = value
    return ram


def test_montezuma_has_a_grid_for_each_of_its_24_rooms():
    tiles = GAMES["montezuma_revenge"]
    assert tiles.shape == (24, 14, 10)
    assert tiles.locate(memory(_42=77, _43=235, _3=1)) == (1, (320 - 235) // 16, 77 // 16)


def test_seaquest_is_one_room_whose_depth_grows_downwards():
    tiles = GAMES["seaquest"]
    assert tiles.shape == (1, 14, 10)
    shallow, deep = (tiles.locate(memory(_70=76, _97=depth)) for depth in (13, 108))
    assert shallow == (0, 3, 4)
    assert deep == (0, 9, 4)


@pytest.mark.parametrize(("x", "y", "expected"), [(255, 0, (0, 0, 1)), (0, 255, (0, 2, 0))])
def test_off_the_screen_is_the_nearest_tile(x, y, expected):
    assert Tiles(x=0, y=1, top=90, down=1, room=None, rooms=1, side=80).locate(memory(_0=x, _1=y)) == expected
