"""Area averages against fractions computed by hand."""

from fractions import Fraction

import numpy as np
import pytest

from aiga.envs.pixels import overlaps, shrink


@pytest.mark.parametrize(("width", "height", "depth"), [(11, 8, 8), (1, 1, 255), (160, 210, 2), (13, 7, 100)])
def test_the_average_is_exact_to_the_last_bit(width, height, depth):
    frame = np.random.default_rng(0).integers(256, size=(210, 160)).astype(np.uint8)
    rows, columns = overlaps(210, height).astype(int), overlaps(160, width).astype(int)
    sums = rows @ frame.astype(int) @ columns.T
    expected = sums * depth // (255 * 210 * 160)
    np.testing.assert_array_equal(shrink(frame, width, height, depth), expected)


def test_a_pixel_on_a_border_is_shared_by_area():
    np.testing.assert_array_equal(overlaps(3, 2), [[2, 1, 0], [0, 1, 2]])
    frame = np.array([[0, 90, 255]], np.uint8)
    assert shrink(frame, 2, 1, 255).tolist() == [[int(Fraction(90, 3)), int(Fraction(90 + 510, 3))]]


def test_white_is_a_level_of_its_own():
    assert shrink(np.full((4, 4), 255, np.uint8), 2, 2, 8).tolist() == [[8, 8], [8, 8]]
    assert shrink(np.full((4, 4), 254, np.uint8), 2, 2, 8).tolist() == [[7, 7], [7, 7]]
