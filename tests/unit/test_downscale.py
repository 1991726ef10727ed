"""The objective of dynamic cells by hand, and a search that improves it."""

import numpy as np
import pytest

from aiga.envs.downscale import SPLIT, Gallery, View, objective, propose, search
from aiga.envs.pixels import shrink


@pytest.fixture(scope="module")
def frames():
    """A bright square that wanders over a grey picture."""
    rng, pictures = np.random.default_rng(0), np.full((160, 60, 40), 90, np.uint8)
    for picture in pictures:
        r, c = rng.integers(50), rng.integers(30)
        picture[r : r + 10, c : c + 10] = 255
    return pictures


def test_the_objective_by_hand():
    assert objective(np.array([8])) == 0.0
    assert objective(np.array([8, 8])) == pytest.approx(1.0)  # T = 2
    assert objective(np.array([4, 4, 4, 4])) == pytest.approx(1 / np.sqrt(2))
    uneven = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    assert objective(np.array([4, 12])) == pytest.approx(uneven)


def test_a_gallery_counts_the_cells_that_frames_fall_into(frames):
    for view in (View(5, 4, 8), View(1, 1, 255), View(40, 60, 3)):
        keys = [shrink(frame, *view).tobytes() for frame in frames]
        expected = sorted(keys.count(key) for key in set(keys))
        assert sorted(Gallery(frames).counts(view).tolist()) == expected


def test_the_search_improves_the_objective_and_nears_the_wanted_number_of_cells(frames):
    coarse = Gallery(frames).counts(View(2, 2, 2))
    found = Gallery(frames).counts(search(np.random.default_rng(1), frames, View(2, 2, 2), 300))
    assert objective(found) > max(objective(coarse), 0.6)
    assert abs(len(found) - SPLIT * 160) < 10


def test_the_search_is_deterministic_and_never_gets_worse_than_where_it_began(frames):
    first = search(np.random.default_rng(1), frames, None, 100)
    assert first == search(np.random.default_rng(1), frames, None, 100)
    again = search(np.random.default_rng(2), frames, first, 50)
    assert objective(Gallery(frames).counts(again)) >= objective(Gallery(frames).counts(first))


def test_proposals_stay_within_the_picture():
    rng = np.random.default_rng(0)
    views = np.array([propose(rng, View(150, 200, 250), (210, 160)) for _ in range(500)])
    assert views.min(0).tolist()[:2] >= [1, 1]
    assert views[:, 2].min() >= 2
    assert (views.max(0) <= [160, 210, 255]).all()
