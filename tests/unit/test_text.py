import hashlib
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.grammar import VEGETABLES
from aiga.data.text import END, FILES, UNKNOWN, corpus, cut, windows, written

REAL = Path(os.environ.get("AIGA_DATA", "nowhere")) / FILES["shakespeare"][0][0]
real = pytest.mark.skipif(not REAL.exists(), reason="AIGA_DATA has no Shakespeare")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    return tmp_path


def write(folder, source, *texts, form=0):
    for name, text in zip(FILES[source][form], texts, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def said(text, part):
    return [text.vocabulary[i] for i in part]


@real
def test_shakespeare_has_its_characters_and_its_checksum():
    data = REAL.read_bytes()
    assert len(data) == 1_115_394
    assert hashlib.sha256(data).hexdigest() == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    text = corpus("shakespeare", "characters")
    assert text.source == "shakespeare"
    assert len(text.vocabulary) == 66, "65 and the unknown"
    assert "".join(c for part in text[:3] for c in said(text, part)) == data.decode()
    assert (len(text.train), len(text.valid), len(text.test)) == (1_003_856, 55_780, 55_758)


@real
def test_words_of_shakespeare_fill_a_vocabulary():
    text = corpus("shakespeare")
    assert len(text.vocabulary) == 10_000
    assert said(text, text.train[:9]) == ["first", "citizen", ":", END, "before", "we", "proceed", "any", "further"]
    assert 0 < (text.test == 0).mean() < 0.06


def test_without_data_a_grammar_writes_and_says_so(folder, monkeypatch):
    monkeypatch.setattr("aiga.data.text.TEXTS", 150)
    text = corpus()
    assert text.source == "generated"
    assert 120 < len(text.vocabulary) < 200
    assert 4_000 < len(text.train) < 6_000
    assert min(len(text.valid), len(text.test)) > 200
    for source in FILES:
        with pytest.raises(UsageError, match="set AIGA_DATA to the folder with it"):
            corpus(source)


def test_generated_text_is_the_same_every_time_and_other_for_another_seed():
    one, again, other = (written.__wrapped__(20, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert written.__wrapped__(10, 0) == "".join(one.splitlines(keepends=True)[:10])


def test_vegetables_repeat_within_a_generated_text_more_than_between_texts():
    texts = [[w.strip(".,").lower() for w in line.split()] for line in written.__wrapped__(100, 0).splitlines()[::2]]
    named = [found for text in texts if len(found := [w for w in text if w in VEGETABLES]) > 1]
    within = np.mean([one == other for found in named for one, other in pairwise(found)])
    between = np.mean([one == other for a, b in pairwise(named) for one in a for other in b])
    assert within > 1.4 * between > 0


def test_ones_own_text_comes_first_and_is_cut_at_the_ends_of_lines(folder):
    write(folder, "penn", *["a\n"] * 3)
    write(folder, "own", "".join(f"Line {i}.\n" for i in range(10, 50)), form=1)
    text = corpus()
    assert text.source == "own"
    assert [said(text, part)[0] for part in text[:3]] == ["line"] * 3
    assert [said(text, part)[-1] for part in text[:3]] == [END] * 3
    assert [len(part) // 4 for part in text[:3]] == [37, 2, 1]


def test_ones_own_parts_are_taken_as_they_are(folder):
    write(folder, "own", "It's one, two.\r\n\r\nOne!\n", "two three\n", "one\n")
    text = corpus("own")
    assert text.vocabulary == (UNKNOWN, END, "one", "!", ",", ".", "it's", "two")
    assert said(text, text.train) == ["it's", "one", ",", "two", ".", END, "one", "!", END]
    assert said(text, text.valid) == ["two", UNKNOWN, END], "what training lacks is unknown"
    letters = corpus("own", "characters")
    assert "".join(said(letters, letters.train)) == "It's one, two.\n\nOne!\n"


def test_words_of_penn_treebank_are_those_between_spaces(folder):
    write(folder, "penn", " mr. <unk> is n't N \n u.s. \n", " mr. N \n", " N <unk> zz \n")
    text = corpus("penn")
    assert text.source == "penn"
    assert said(text, text.train) == ["mr.", UNKNOWN, "is", "n't", "N", END, "u.s.", END]
    assert said(text, text.test) == ["N", UNKNOWN, UNKNOWN, END]
    assert text.vocabulary.count(UNKNOWN) == 1


def test_a_vocabulary_keeps_the_most_frequent(folder):
    write(folder, "own", "b b a a c\n", "a\n", "a\n")
    assert corpus("own", most=3).vocabulary == (UNKNOWN, "a", "b")
    with pytest.raises(UsageError, match="give 2 or more"):
        corpus("own", most=1)


def test_missing_empty_and_binary_files_are_one_sentence(folder):
    write(folder, "own", "a\n", b"\xff\xfe", "a\n")
    with pytest.raises(UsageError, match=r"valid\.txt is no text in UTF-8") as error:
        corpus()
    assert "\n" not in str(error.value)
    (folder / "text" / "valid.txt").unlink()
    with pytest.raises(UsageError, match=r"lacks valid\.txt"):
        corpus()
    write(folder, "own", "a\n", " \n", "b\n")
    with pytest.raises(UsageError, match=r"valid\.txt is empty"):
        corpus()


def test_a_text_too_short_for_three_parts_is_one_sentence(folder):
    write(folder, "own", "only one line\n", form=1)
    with pytest.raises(UsageError, match="too short"):
        corpus()


def test_parts_of_a_text_are_the_whole_text():
    text = "".join(f"{i}\n" for i in range(1_000))
    assert "".join(cut(text)) == text
    assert all(part.endswith("\n") for part in cut(text))


def test_rows_of_windows_go_on_where_they_ended():
    inputs, targets = windows(np.arange(23, dtype=np.int32), 2, 5)
    assert inputs.tolist() == [
        [[0, 1, 2, 3, 4], [11, 12, 13, 14, 15]],
        [[5, 6, 7, 8, 9], [16, 17, 18, 19, 20]],
    ]
    assert (targets == inputs + 1).all()


def test_windows_that_a_text_cannot_fill_are_one_sentence():
    assert windows(np.arange(11, dtype=np.int32), 2, 5).inputs.shape == (1, 2, 5)
    for batch, time in ((2, 6), (0, 5), (2, 0), (-1, 5)):
        with pytest.raises(UsageError, match="a text of 11 symbols"):
            windows(np.arange(11, dtype=np.int32), batch, time)
