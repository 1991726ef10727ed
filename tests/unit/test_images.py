import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.images import FILE, digits, draw, shrunk
from aiga.data.strokes import points


def accuracy(images):
    """Of the linear classifier with the least squares, on the test set."""
    x, t = (np.c_[x.reshape(len(x), -1) / 255.0, np.ones(len(x))] for x in (images.train_x, images.test_x))
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ np.eye(10)[images.train_y])
    return ((t @ weights).argmax(axis=1) == images.test_y).mean()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with forty pictures, by class: each is as grey as its digit says."""
    y = np.repeat(np.arange(10, dtype=np.uint8), 4)
    x = np.broadcast_to(y[:, None, None], (40, 28, 28))
    (tmp_path / FILE).parent.mkdir()
    np.savez(tmp_path / FILE, train_x=x, train_y=y, test_x=x[:10], test_y=y[:10])
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    return tmp_path


def test_mnist_is_read_from_the_data_folder_and_its_classes_are_mixed(folder):
    images = digits()
    assert images.source == "mnist"
    assert images.train_x.shape == (40, 28, 28)
    assert (images.train_x[:, 0, 0] == images.train_y).all(), "pictures keep their labels"
    assert np.bincount(images.train_y).tolist() == [4] * 10
    assert len(set(images.train_y[:8].tolist())) > 3


def test_without_the_data_folder_digits_are_drawn_and_say_so(monkeypatch, tmp_path):
    monkeypatch.delenv("AIGA_DATA", raising=False)
    assert digits().source == "drawn"
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    assert digits().source == "drawn"
    with pytest.raises(UsageError, match="set AIGA_DATA"):
        digits("mnist")


def test_drawn_digits_can_be_asked_for_where_mnist_is(folder):
    assert digits("drawn").source == "drawn"


def test_drawn_digits_are_the_same_every_time_and_others_for_another_seed():
    one, again, other = draw(40, 10), draw.__wrapped__(40, 10), draw(40, 10, seed=1)
    assert (one.train_x == again.train_x).all()
    assert (one.train_x != other.train_x).any()


def test_drawn_digits_are_balanced_and_all_different():
    images = draw()
    assert np.bincount(images.train_y).tolist() == [400] * 10
    assert np.bincount(images.test_y).tolist() == [100] * 10
    rows = np.concatenate([images.train_x, images.test_x]).reshape(5_000, -1)
    assert len(np.unique(rows, axis=0)) == 5_000


def test_drawn_digits_can_be_learnt_but_not_by_heart():
    images = draw()
    assert 0.85 < accuracy(images) < 0.99
    shuffled = images._replace(train_y=np.random.default_rng(0).permutation(images.train_y))
    assert accuracy(shuffled) < 0.2


def test_points_on_a_stroke_are_evenly_spread():
    np.testing.assert_allclose(points((((0.0, 0.0), (1.0, 0.0)),), 4), [[0.125, 0], [0.375, 0], [0.625, 0], [0.875, 0]])


def test_smaller_pictures_are_averages_in_the_unit_interval():
    picture = np.zeros((1, 28, 28), np.uint8)
    picture[0, :2, :2] = [[255, 0], [0, 255]]
    small = shrunk(picture, 14)
    assert small.shape == (1, 14, 14)
    assert small[0, 0, 0] == 0.5
    assert small.sum() == 0.5
