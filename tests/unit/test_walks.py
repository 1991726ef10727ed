"""Walkers are drawn where their poses say, on the ground they walk on."""

from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from PIL import Image, ImageColor

from aiga.core.errors import UsageError
from aiga.envs.hills import RAYS, SIGHT, Hills, poses
from aiga.envs.links import HIP, LENGTH
from aiga.envs.terrain import CELLS, HEIGHT, STEP, Terrain, flat
from aiga.inspect import walks
from aiga.inspect.canvas import disc, rounded
from aiga.inspect.scenery import EARTH, SKY, Ground, profile, smooth

SVG = "{http://www.w3.org/2000/svg}"


def terrain(*corners):
    """Ground through the corners (x, y)."""
    x, y = np.array(corners, float).T
    return Terrain(x, y, np.zeros(CELLS, int))


FLAT = terrain((0, HEIGHT), (CELLS * STEP, HEIGHT))
PIT = terrain((0, 5), (20, 5), (20, 3), (25, 3), (25, 5), (93, 5))


def stood(x, y=HEIGHT + 2 * LENGTH - HIP):
    """A walker on straight legs whose hull is at x, y."""
    down = [0.0, HIP - 0.5 * LENGTH, HIP - 1.5 * LENGTH, HIP - 0.5 * LENGTH, HIP - 1.5 * LENGTH]
    return np.array([(x, y + d, 0.0) for d in down])


def walked(steps, speed=0.08):
    """Poses of a walker that is carried forward."""
    return np.stack([stood(5 + speed * t) for t in range(steps)])


def counted(svg):
    root = ElementTree.fromstring(svg)
    return len(root.findall(f"{SVG}polygon")), len(root.findall(f"{SVG}polyline"))


def test_a_moment_on_flat_ground_has_its_polygons_and_lines():
    land = 9 + 2 + 1 + 3  # three clouds of three, two ranges, the flag's cloth, three layers
    walker = 2 * 3 + 1 + 4  # legs of thigh, knee and shank; the near knee's pin; the hull, its belly, and an eye of two
    assert counted(walks.svg(FLAT, stood(10)[None])) == (land + walker, 3), "and the pole, the turf, a streak of light"


def test_rays_end_where_they_meet_the_ground():
    pose = stood(10)
    hits = (pose[0, 1] - HEIGHT) / np.cos(RAYS) <= SIGHT
    assert 0 < hits.sum() < 10
    without, seen = counted(walks.svg(FLAT, pose)), counted(walks.svg(FLAT, pose, rays=True))
    assert np.subtract(seen, without).tolist() == [hits.sum(), 10]


def test_a_trail_is_three_lines_and_a_label_is_written():
    svg = walks.svg(FLAT, walked(9), trail=True, label="a < b")
    assert counted(svg)[1] == 3 + 3
    assert [text.text for text in ElementTree.fromstring(svg).findall(f"{SVG}text")] == ["a < b"]


def test_hull_ground_and_pit_are_painted_where_they_are():
    found = np.stack([stood(17.0, 8.0)])
    [view] = walks.follow(Ground.of(PIT), found, (720, 330))
    picture = walks.frame(PIT, found)
    assert picture.size == (720, 330)

    def colour(x, y):
        [[column, row]] = view.pixels(np.array([(x, y)]))
        return picture.getpixel((int(column), int(row)))

    assert colour(17.0, 8.0) == ImageColor.getrgb(walks.ACCENT)
    assert colour(18.0, 4.7) == ImageColor.getrgb(EARTH[0])
    assert colour(18.0, 3.0) == ImageColor.getrgb(EARTH[2])
    earth = {ImageColor.getrgb(layer) for layer in EARTH}
    assert colour(22.0, 4.0) not in earth, "the pit is open"
    assert colour(22.0, 2.7) in earth, "and has a floor"
    assert picture.getpixel((1, 0)) == ImageColor.getrgb(SKY[0])


def test_the_camera_keeps_the_hull_in_the_left_half():
    found = walked(300)
    for view, pose in zip(walks.follow(Ground.of(FLAT), found, (560, 260)), found, strict=True):
        [[x, y]] = view.pixels(pose[:1, :2])
        assert 0.25 * 560 < x < 0.5 * 560
        assert 40 < y < 160


def test_a_film_shows_every_second_pose_and_the_last(tmp_path):
    path = walks.film(tmp_path / "walk.gif", FLAT, walked(42), size=(280, 130))
    with Image.open(path) as film:
        assert film.size == (280, 130)
        assert film.n_frames == 22
        durations = []
        for i in range(film.n_frames):
            film.seek(i)
            durations.append(film.info["duration"])
    assert durations == [40] * 21 + [1500]
    assert path.stat().st_size < 60_000


def test_a_long_film_is_sped_up(tmp_path):
    path = walks.film(tmp_path / "walk.gif", FLAT, walked(100), size=(140, 66), most=10)
    with Image.open(path) as film:
        assert film.n_frames == 11, "every tenth pose and the last"


def test_a_film_begins_and_ends_as_its_frames_look(tmp_path):
    found = walked(30)
    path = walks.film(tmp_path / "walk.gif", FLAT, found, size=(280, 130))
    with Image.open(path) as film:
        for number, at in ((0, 0), (film.n_frames - 1, -1)):
            film.seek(number)
            shown = np.asarray(film.convert("RGB")).astype(int)
            drawn = np.asarray(walks.frame(FLAT, found, at=at, size=(280, 130)))
            assert np.abs(shown - drawn).mean() < 3


def test_poses_end_where_they_are_no_longer_numbers():
    found = walked(10)
    found[6:] = np.nan
    assert walks.checked(found).shape == (6, 5, 3)
    assert walks.checked(found[0]).shape == (1, 5, 3)


@pytest.mark.parametrize("poses", [np.zeros((0, 5, 3)), np.zeros((4, 3)), np.full((2, 5, 3), np.nan)])
def test_what_is_no_pose_is_refused(poses):
    with pytest.raises(UsageError, match="Poses are finite numbers of shape"):
        walks.svg(FLAT, poses)


def test_a_strip_shows_the_walker_every_few_metres_and_at_its_end():
    found = walked(176, speed=0.1)  # from 5 to 22.5: beyond 8, 12, 16 and 20
    svg = walks.strip(FLAT, found, apart=4.0)
    assert svg.count(walks.WHITE) == 5
    assert walks.strip(FLAT).count(walks.WHITE) == 0


def test_a_profile_shows_a_wall_as_high_as_it_is_and_fills_its_box():
    wall = terrain((0, 5), (50, 5), (50, 10), (60, 10), (60, 5), (93, 5))
    points = profile(wall, (100.0, 50.0))
    assert points[0].tolist() == [0, 50]
    assert points[-1].tolist() == [100, 50]
    top, floor = points[:, 1].min(), points[1, 1]
    assert np.isclose(floor - top, 0.6 * 50), "five metres: the least that is shown"
    assert np.isclose(points[3, 0], 50 / (CELLS * STEP) * 100)
    assert np.ptp(profile(FLAT, (100.0, 50.0))[1:-1, 1]) == 0
    assert counted(walks.thumbnail(wall)) == (2, 0)


def test_deep_layers_do_not_follow_a_pit():
    ground = Ground.of(PIT)
    for depth, layer in zip((0.55, 1.5), ground.strata, strict=True):
        outside = layer[(layer[:, 0] < 19) | (layer[:, 0] > 26)]
        np.testing.assert_allclose(outside[:, 1], 5 - depth, atol=1e-6)
        inside = layer[(layer[:, 0] > 20) & (layer[:, 0] < 25)]
        np.testing.assert_allclose(inside[:, 1], 3)


def test_corners_are_rounded_within_the_outline():
    square = np.array([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)])
    round_ = rounded(square, 0.5, steps=3)
    assert len(round_) == 12
    assert round_[:3].tolist() == [[0, 0.5], [0.125, 0.125], [0.5, 0]]
    assert np.ptp(rounded(square, 99.0), axis=0).tolist() == [2, 2], "at most half a side"
    np.testing.assert_allclose(np.hypot(*disc(0.0, 0.0, 3.0).T), 3)


def test_smoothing_keeps_constants_and_calms_the_rest():
    assert np.allclose(smooth(np.full(9, 2.0), 3), 2)
    spike = smooth(np.eye(1, 41, 20)[0], 4)
    assert spike.argmax() == 20
    assert spike.max() < 0.2
    assert np.isclose(spike.sum(), 1)


def test_a_walker_of_the_hills_stands_on_the_ground_when_it_begins():
    found = np.asarray(jax.jit(lambda key: poses(Hills().reset(key, flat())[0]))(jax.random.key(0)))
    assert found.shape == (5, 3)
    for shank in (2, 4):
        [[_, foot]] = walks.feet(found[None, shank])
        assert abs(foot - HEIGHT) < 0.12
    assert counted(walks.svg(flat(), found))[0] > 20
