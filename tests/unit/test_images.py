import gzip
import pickle

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.images import CIFARS, FILE, IDX, digits, draw, objects, records, shrunk, unpacked
from aiga.data.strokes import points
from aiga.data.textures import textures


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


def packed(array):
    """Bytes as an IDX file."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def idx_files(tmp_path, monkeypatch):
    """MNIST's own four files with thirty and ten pictures, one of them not packed."""
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    for i, name in enumerate(IDX):
        n = 30 if i < 2 else 10
        array = rng.integers(0, 256, (n, 28, 28)) if i % 2 == 0 else np.arange(n) % 10
        data = packed(array.astype(np.uint8))
        if i:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    return tmp_path


def test_mnist_is_read_from_its_authors_own_files(idx_files):
    images = digits()
    assert images.source == "mnist"
    assert (images.train_x.shape, images.test_x.shape) == ((30, 28, 28), (10, 28, 28))
    assert np.bincount(images.train_y).tolist() == [3] * 10
    assert images.test_y.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (IDX[0], packed(np.zeros((30, 28, 28), np.uint8))[:-1], "has 23519 bytes for 30 x 28 x 28 numbers"),
        (IDX[0], b"<html>not found</html>", "does not begin as an IDX file of bytes in 3 dimensions does"),
        (IDX[0], packed(np.zeros((30, 32, 32), np.uint8)), "has pictures"),
        (IDX[0], packed(np.zeros((29, 28, 28), np.uint8)), "has pictures"),
        (IDX[1] + ".gz", gzip.compress(packed(np.full(30, 10, np.uint8)), mtime=0), "has pictures"),
        (IDX[2] + ".gz", gzip.compress(packed(np.zeros((10, 28, 28), np.uint8)), mtime=0)[:-9], "cannot be read"),
        (IDX[2] + ".gz", b"", "cannot be read|does not begin"),
        (IDX[3] + ".gz", None, "lacks t10k-labels-idx1-ubyte: put all of"),
    ],
)
def test_a_damaged_or_missing_file_of_mnist_is_one_sentence(idx_files, name, data, sentence):
    (idx_files / name).unlink()
    if data is not None:
        (idx_files / name).write_bytes(data)
    with pytest.raises(UsageError, match=sentence) as error:
        digits()
    assert "\n" not in str(error.value)
    assert digits("drawn").source == "drawn"


@pytest.mark.parametrize("kept", [0, 100, 1_000])
def test_a_cut_npz_file_is_one_sentence(folder, kept):
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[:kept])
    with pytest.raises(UsageError, match=r"no whole \.npz file with the arrays train_x"):
        digits()


def test_an_npz_file_with_a_pickle_or_without_an_array_is_one_sentence(folder):
    for arrays in ({"train_x": np.array([{}], object)}, {"train_y": np.zeros(3)}):
        np.savez(folder / FILE, **arrays)
        with pytest.raises(UsageError, match=r"no whole \.npz file"):
            digits()


def test_changed_bytes_of_an_npz_file_are_noticed(folder):
    data = bytearray((folder / FILE).read_bytes())
    data[5_000] ^= 1
    (folder / FILE).write_bytes(data)
    with pytest.raises(UsageError, match="CRC"):
        digits()


def small(name):
    """A CIFAR of two files of training pictures with one of each class, and one test file."""
    cifar = next(cifar for cifar in CIFARS if cifar.name == name)
    return cifar._replace(files=(*cifar.files[:1], *cifar.files[-1:]), counts=(2 * cifar.classes, cifar.classes))


def write_cifar(cifar, folder):
    paths = tuple(folder / name for name in cifar.files)
    paths[0].parent.mkdir()
    for path, count in zip(paths, cifar.counts, strict=True):
        rows = np.zeros((count, cifar.labels + 3072), np.uint8)
        rows[:, cifar.labels - 1] = np.arange(count) % cifar.classes
        rows[:, cifar.labels :] = rows[:, cifar.labels - 1, None]
        rows[:, cifar.labels], rows[:, cifar.labels + 1], rows[:, cifar.labels + 1024] = 200, 201, 202
        path.write_bytes(rows.tobytes())
    return paths


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_from_its_binary_files(tmp_path, name):
    cifar = small(name)
    images = unpacked(cifar, write_cifar(cifar, tmp_path))
    assert images.source == name
    assert (images.train_x.shape, images.test_x.shape) == (
        (2 * cifar.classes, 32, 32, 3),
        (cifar.classes, 32, 32, 3),
    )
    assert (images.train_x[:, 5, 5, 2] == images.train_y).all(), "pictures keep their labels"
    assert images.train_x[3, 0, :2, :2].tolist() == [[200, 202], [201, 3]], "rows, columns, colours"


def test_cifar_files_of_another_size_or_without_some_class_are_one_sentence(tmp_path):
    cifar = small("cifar10")
    paths = write_cifar(cifar, tmp_path)
    data = bytearray(paths[0].read_bytes())
    data[0] = 1
    paths[0].write_bytes(data)
    with pytest.raises(UsageError, match="has not the same number of each of 10 classes"):
        unpacked(cifar, paths)
    paths[0].write_bytes(data[:-1])
    with pytest.raises(UsageError, match="has 61459 bytes where 20 pictures of cifar10 take 61460"):
        records(cifar, paths[0], 20)


def test_a_part_of_cifar_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").write_bytes(b"")
    with pytest.raises(UsageError, match=r"lacks data_batch_2\.bin, .*test_batch\.bin"):
        objects()


def test_pickles_of_cifar_are_refused_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({}))
    for source in ("auto", "cifar10"):
        with pytest.raises(UsageError, match="get the binary version"):
            objects(source)
    assert objects("textures").source == "textures"


def test_without_cifar_there_are_textures_and_they_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    images = objects()
    assert images.source == "textures"
    assert (images.train_x.shape, images.test_x.shape) == ((4_000, 32, 32, 3), (1_000, 32, 32, 3))
    assert np.bincount(images.train_y).tolist() == [400] * 10
    assert np.bincount(images.test_y).tolist() == [100] * 10
    for source in ("cifar10", "cifar100"):
        with pytest.raises(UsageError, match=f"{source} is not at"):
            objects(source)


def test_textures_are_the_same_every_time_and_however_many_there_are():
    few, many, other = textures(2, 5), textures(4, 5), textures(2, 5, seed=1)
    assert few.shape == (2, 5, 28, 28)
    assert (few == many[:2]).all()
    assert (few != other).any()


def test_textures_are_known_by_their_waves_but_not_by_their_pixels():
    """The strengths of waves do not depend on where a pattern lies.  Each picture has the class of its nearest."""
    pictures = textures(20, 20).astype(np.float64)
    waves = np.log1p(np.abs(np.fft.fft2(pictures - pictures.mean(axis=(2, 3), keepdims=True))))
    right = []
    for x in (waves, pictures):
        known, asked = x[:, :10].reshape(200, -1), x[:, 10:].reshape(200, -1)
        distance = (known**2).sum(axis=1) - 2 * asked @ known.T
        right.append((distance.argmin(axis=1) // 10 == np.arange(200) // 10).mean())
    assert right[0] > 0.75
    assert right[1] < right[0] - 0.1
