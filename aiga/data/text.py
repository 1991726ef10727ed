"""Text to predict, word by word or character by character: a file where one is at hand, else one that a grammar writes.

Read from the folder that AIGA_DATA names; nothing is downloaded.  A text of one's own: `text/train.txt`,
`text/valid.txt` and `text/test.txt`, or `text/input.txt` alone.  The Penn Treebank as language models use it (Mikolov
et al. 2010): `ptb/ptb.train.txt`, `ptb/ptb.valid.txt` and `ptb/ptb.test.txt`.  Plays of Shakespeare:
`tinyshakespeare/input.txt`.  A text of one file is cut at ends of lines: 90 % to train, 5 % to validate, 5 % to test.
"""

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int32

from aiga.core.errors import UsageError
from aiga.data import grammar
from aiga.data.files import content, damaged, located, place
from aiga.data.writing import OPINIONS, STORIES

Source = Literal["auto", "own", "penn", "shakespeare", "generated"]
Level = Literal["words", "characters"]
FILES: dict[str, tuple[tuple[str, ...], ...]] = {
    "own": (("text/train.txt", "text/valid.txt", "text/test.txt"), ("text/input.txt",)),
    "penn": (("ptb/ptb.train.txt", "ptb/ptb.valid.txt", "ptb/ptb.test.txt"),),
    "shakespeare": (("tinyshakespeare/input.txt",),),
}
"""In the order in which they are looked for."""
UNKNOWN, END = "<unk>", "<eos>"
"""Anything that the vocabulary lacks, which is number 0; and the end of a line, where words are predicted."""
WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
SHARES = 0.9, 0.95
"""Where a text of one file is cut."""
TEXTS = 4_000
"""That the grammar writes: about 140,000 words."""
REWRITTEN = 4
"""How often each is, so that its words repeat."""


class Corpus(NamedTuple):
    """A text as numbers, in three parts that follow each other, and what each number stands for."""

    train: Int32[np.ndarray, " n"]
    valid: Int32[np.ndarray, " v"]
    test: Int32[np.ndarray, " t"]
    vocabulary: tuple[str, ...]
    source: str
    """`own`, `penn`, `shakespeare` or `generated`."""


class Windows(NamedTuple):
    """Pieces of a text for truncated back-propagation: each row goes on in the next window where it ended in this."""

    inputs: Int32[np.ndarray, "w b t"]
    targets: Int32[np.ndarray, "w b t"]
    """What follows each input."""


def corpus(source: Source = "auto", level: Level = "words", most: int = 10_000) -> Corpus:
    """A text and its vocabulary.

    Args:
        source: `generated` is ours; `auto` is the first that is found of one's own, Penn Treebank and Shakespeare, else
            ours; the others must be found.
        level: Words are in small letters, without spaces, and lines end with a word of their own.
        most: Entries of the vocabulary, the most frequent of the training part.
    """
    if most < 2:
        raise UsageError(f"a vocabulary of {most} was asked for: give 2 or more.")
    known = [source] if source in FILES else list(FILES) if source == "auto" else []
    found = ((name, located(*names)) for name in known for names in FILES[name])
    name, paths = next(((name, paths) for name, paths in found if paths), ("generated", None))
    if source in FILES and not paths:
        raise UsageError(
            f"{place(FILES[source][-1][0])} is missing: set AIGA_DATA to the folder with it, or take generated text."
        )
    parts = [split(part, name, level) for part in (read(paths) if paths else cut(written(TEXTS)))]
    vocabulary = entries(parts[0], most)
    number = {entry: i for i, entry in enumerate(vocabulary)}
    train, valid, test = (np.array([number.get(entry, 0) for entry in part], np.int32) for part in parts)
    return Corpus(train, valid, test, vocabulary, name)


def windows(text: Int32[np.ndarray, " n"], batch: int, time: int) -> Windows:
    """The text as so many rows beside each other, in windows of so many steps; what is left over is dropped."""
    rows = (len(text) - 1) // batch if batch > 0 else 0
    count = rows // time if time > 0 else 0
    if count < 1:
        raise UsageError(
            f"a text of {len(text)} symbols was to be cut into {batch} rows of windows of {time} steps: give positive "
            f"numbers whose product is below {len(text)}."
        )
    inputs, targets = (
        text[start : start + batch * rows].reshape(batch, rows)[:, : count * time].reshape(batch, count, time)
        for start in (0, 1)
    )
    return Windows(inputs.swapaxes(0, 1), targets.swapaxes(0, 1))


def split(text: str, source: str, level: Level) -> list[str]:
    """The words or characters of a text; those of Penn Treebank have spaces between them already."""
    if level == "characters":
        return list(text)
    lines = text.split("\n")
    words = [line.split() if source == "penn" else WORD.findall(line.lower()) for line in lines if line.strip()]
    return [word for line in words for word in [*line, END]]


def entries(part: list[str], most: int) -> tuple[str, ...]:
    """The unknown, then the most frequent; those as frequent as each other in the order of their letters."""
    counts = Counter(part)
    del counts[UNKNOWN]
    return (UNKNOWN, *sorted(counts, key=lambda entry: (-counts[entry], entry))[: most - 1])


@lru_cache(maxsize=1)
def read(paths: tuple[Path, ...]) -> tuple[str, ...]:
    """The parts of a text in UTF-8."""
    parts = []
    for path in paths:
        try:
            parts.append(content(path).decode().replace("\r\n", "\n"))
        except UnicodeDecodeError as error:
            raise damaged(path, f"is no text in UTF-8 ({error})") from error
        if not parts[-1].strip():
            raise damaged(path, "is empty")
    cuts = tuple(parts) if len(parts) > 1 else cut(parts[0])
    if not all(cuts):
        raise UsageError(f"{paths[0]} is too short to be cut into three parts: give it twenty lines or more.")
    return cuts


def cut(text: str) -> tuple[str, str, str]:
    """The three parts of a text, each of whole lines."""
    first, second = (text.find("\n", int(share * len(text))) + 1 or len(text) for share in SHARES)
    return text[:first], text[first:second], text[second:]


@lru_cache(maxsize=1)
def written(texts: int, seed: int = 0) -> str:
    """Opinions and stories in turn, one a line; each holds to some words, as texts do that are about something."""
    random = Random(seed)
    prose = ((OPINIONS, grammar.OPINIONS), (STORIES, grammar.STORIES))
    known = [
        (writing, [*of.sentences, *(s for example in writing.examples for s in grammar.sentences(example))])
        for writing, of in prose
    ]
    lines = []
    for i in range(texts):
        writing, sentences = known[i % 2]
        draft = " ".join(random.sample(sentences, 4))
        for _ in range(REWRITTEN):
            draft = grammar.write(random, writing, [draft])
        lines.append(draft.strip())
    return "\n".join(lines) + "\n"
