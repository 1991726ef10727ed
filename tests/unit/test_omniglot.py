import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.omniglot import (
    ARCHIVES,
    COUNTS,
    FILE,
    SPLIT,
    characters,
    checksum,
    draw,
    read,
    resized,
    shrunk,
    unzipped,
)

REAL = Path(os.environ.get("AIGA_DATA", "nowhere")) / FILE
real = pytest.mark.skipif(not REAL.exists(), reason="AIGA_DATA has no Omniglot")
PIXELS = (
    "e530259da819da5c3e1f317397ba27e7a19666beeee4061377e1a1f6266b0acb",
    "e8f4e050572d0036ad7e121c0e53bedfbb4988e5eb745e0feac0e8484f61c863",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "omniglot").mkdir()
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    return tmp_path


def png(rng):
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(rng.random((105, 105)) > 0.1).save(file, "png")
    return file.getvalue()


def archive(path, drawings):
    """Two characters of one alphabet, in Omniglot's folders."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for character in ("character02", "character01"):
            for i in range(drawings):
                file.writestr(f"images_background/Greek/{character}/{i + 1:04d}_01.png", png(rng))


@real
def test_omniglot_has_its_classes_and_its_pixels():
    classes = characters()
    assert classes.source == "omniglot"
    assert classes.train.shape == (964, 20, 28, 28)
    assert classes.test.shape == (659, 20, 28, 28)
    assert tuple(hashlib.sha256(x.tobytes()).hexdigest() for x in (classes.train, classes.test)) == PIXELS
    assert classes.train[..., 0, 0].mean() > 250, "paper is bright"


@real
def test_the_split_of_omniglot_is_fixed_and_no_character_is_in_both_parts():
    with np.load(REAL) as file:
        background, evaluation = file["background_names"], file["evaluation_names"]
    assert checksum(background, evaluation) == SPLIT
    assert checksum(background[::-1], evaluation) != SPLIT
    assert len({*background, *evaluation}) == sum(COUNTS)
    assert not {name.split("/")[0] for name in background} & {name.split("/")[0] for name in evaluation}


@real
def test_originals_shrink_to_the_pictures_of_our_file():
    """Lake's one-shot runs show characters of the evaluation set; drawings of 105 pixels become ours to the bit."""
    image = pytest.importorskip("PIL.Image")
    known = {x.tobytes() for x in characters().test.reshape(-1, 28, 28)}
    with zipfile.ZipFile(REAL.with_name("all_runs.zip")) as file:
        names = [name for name in file.namelist() if name.endswith(".png")][::40]
        assert len(names) == 20
        assert all(shrunk(image.open(io.BytesIO(file.read(name)))).tobytes() in known for name in names)


def test_without_omniglot_characters_are_drawn_and_say_so(folder):
    classes = characters()
    assert classes.source == "drawn"
    assert (len(classes.train), len(classes.test)) == COUNTS
    with pytest.raises(UsageError, match="set AIGA_DATA to the folder that has it"):
        characters("omniglot")


def test_drawn_characters_are_the_same_every_time_and_others_for_another_seed():
    one, again, other = draw(3, 2), draw.__wrapped__(3, 2), draw(3, 2, seed=1)
    assert (one.train == again.train).all()
    assert (one.test == again.test).all()
    assert (one.train != other.train).any()


def test_drawn_characters_are_known_by_their_nearest_drawing():
    """As Omniglot: far above chance, 0.005, by pixels alone, and far from certain."""
    x = (255.0 - draw(200, 1).train).reshape(200, 20, -1)
    known, asked = x[:, :10].reshape(2_000, -1), x[:, 10]
    distance = (known**2).sum(axis=1) - 2 * asked @ known.T
    assert 0.3 < (distance.argmin(axis=1) // 10 == np.arange(200)).mean() < 0.95
    assert len(np.unique(x.reshape(4_000, -1), axis=0)) == 4_000
    assert (draw(200, 1).train[..., 0, :] > 200).mean() > 0.98, "paper is bright and the ink stays within"


def test_a_file_of_other_shapes_or_other_names_is_one_sentence(folder):
    names = [np.array([f"Greek/character{i:04d}" for i in range(count)]) for count in COUNTS]
    for counts, sentence in (((3, 2), r"has pictures \(3, 20, 28, 28\)"), (COUNTS, "names other characters")):
        x = [np.zeros((count, 20, 28, 28), np.uint8) for count in counts]
        file = {"background_x28": x[0], "background_names": names[0], "evaluation_x28": x[1]}
        np.savez_compressed(folder / FILE, **file, evaluation_names=names[1])
        read.cache_clear()
        with pytest.raises(UsageError, match=sentence) as error:
            characters()
        assert "\n" not in str(error.value)
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-100])
    with pytest.raises(UsageError, match=r"no whole \.npz file"):
        characters()


def test_archives_are_read_by_class(folder):
    archive(folder / ARCHIVES[0], 20)
    pictures, names = unzipped(folder / ARCHIVES[0])
    assert pictures.shape == (2, 20, 28, 28)
    assert names.tolist() == ["Greek/character01", "Greek/character02"]


def test_an_archive_alone_or_cut_or_with_a_drawing_too_few_is_one_sentence(folder):
    archive(folder / ARCHIVES[0], 19)
    with pytest.raises(UsageError, match=r"lacks images_evaluation\.zip"):
        characters()
    with pytest.raises(UsageError, match="has 38 pictures, which are not 20 of each character"):
        unzipped(folder / ARCHIVES[0])
    (folder / ARCHIVES[0]).write_bytes((folder / ARCHIVES[0]).read_bytes()[:-50])
    with pytest.raises(UsageError, match="is no whole archive of PNG pictures"):
        unzipped(folder / ARCHIVES[0])


def test_other_sizes_keep_what_is_shown():
    x = draw(3, 2).train
    assert resized(x, 31).shape == (3, 20, 31, 31)
    assert resized(x, 14).mean() == pytest.approx(x.mean(), abs=1)
    assert (resized(x, 28) == x).all()
    with pytest.raises(UsageError, match="give 1 or more"):
        characters("drawn", side=0)
