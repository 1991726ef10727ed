"""A writer and a reader without any model: they stand in for both where none is used.

The writer copies sentences of its examples and swaps words for others of their kind, so what it writes resembles its
examples, as the continuations of a language model do; now and then it takes a sentence from a list, of which some are
beside the point.  The reader knows a grade for every word.  What it answers are probabilities as saturated as a
language model's: a steep sigmoid of the mean grade.  Neither knows any language, and nothing they say of each other
tells how good a language model is.
"""

import math
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from aiga.data.writing import Writing

COPIED, SWAPPED, BORROWED = 0.9, 0.25, 0.9
"""How often a sentence is an example's, a word is swapped, and the new word is an example's."""
LONGEST = 8
"""Sentences of a text."""
STEEP = 12.0
"""Of the reader's sigmoid over mean grades from -1 to 1: a grade of one half has probability 0.998."""
WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"[^.!?]+[.!?]*")


Grades = dict[str, float]
"""Of words, from -1 to 1."""


def graded(words: str) -> Grades:
    """From words and their grades, `word grade word grade ...`."""
    parts = words.split()
    return {word: float(grade) for word, grade in zip(parts[::2], parts[1::2], strict=True)}


class Prose(NamedTuple):
    """Sentences, and kinds of words that can stand for each other."""

    sentences: tuple[str, ...]
    kinds: tuple[Grades, ...]
    axes: tuple[str, ...]
    """Which axis the grades of each kind belong to; empty: none, for these are what the text is about."""


VEGETABLES = graded("carrots 0 spinach 0 lentils 0 beans 0 cabbage 0 broccoli 0 peas 0 leeks 0")
LIKING = graded("adore 1 love .8 enjoy .5 like .3 accept 0 avoid -.4 dislike -.6 hate -1")
TASTE = graded(
    "wonderful 1 delicious .8 pleasant .5 decent .2 ordinary 0 bland -.2 dull -.4 unpleasant -.6 awful -.8 revolting -1"
)
HABIT = graded("always 1 gladly .8 often .5 sometimes 0 rarely -.5 reluctantly -.7 never -1")
SPIES = graded("spy 0 agent 0 informer 0")
POLITICIANS = graded("politician 0 senator 0 minister 0")
MOOD = graded("bloody 1 dreadful .8 eerie .6 shadowy .3 quiet 0 gentle -.3 warm -.6 tender -.8 passionate -1")
THING = graded("corpse 1 scream .8 grave .6 fog .3 letter 0 song -.3 rose -.6 embrace -.8 kiss -1")
FATE = graded("triumphed 1 married .8 escaped .6 survived .3 waited 0 fled -.3 failed -.6 drowned -.8 perished -1")
FEELING = graded("overjoyed 1 hopeful .6 calm .3 uncertain 0 bitter -.4 ruined -.7 doomed -1")

OPINIONS = Prose(
    (
        "I accept eating carrots.",
        "Because broccoli is ordinary, I sometimes cook it.",
        "To me lentils are decent.",
        "I sometimes buy cabbage because it is bland.",
        "My friends like beans, and I avoid leeks.",
        "Spinach tastes dull.",
        "On Sundays peas are pleasant, so I often eat them.",
    ),
    (VEGETABLES, LIKING, TASTE, HABIT),
    ("", "sentiment", "sentiment", "sentiment"),
)
STORIES = Prose(
    (
        "The spy followed the senator through the quiet garden.",
        "At midnight the minister found the letter beside the shadowy lake.",
        "The agent kept the song that the politician had dropped.",
        "Nobody forgot the fog that the informer had seen.",
        "That gentle night the minister talked to the spy.",
        "In the end the agent waited, because the senator was uncertain.",
        "Years later the politician survived, calm to the last.",
        "The informer fled, and the minister felt bitter.",
        "A quiet voice told the agent of the letter.",
        "Everyone knew that the senator had survived.",
    ),
    (SPIES, POLITICIANS, MOOD, THING, FATE, FEELING),
    ("", "", "genre", "genre", "ending", "ending"),
)
ASIDES = (
    "The train was late again.",
    "Click the link below to read more.",
    "My brother has a new car.",
    "The next chapter begins on page nine.",
    "It rained for three days.",
    "Please leave a comment.",
)

FORMS = {"haiku": 3, "sonnet": 14, "ballad": 8, "limerick": 5, "hymn": 6}
"""Lines of a poem."""
TONES = {
    "happy": (("merry", "golden", "sunny"), ("garden", "morning", "laughter"), ("dances", "glitters")),
    "dark": (("bitter", "broken", "hollow"), ("winter", "mirror", "coffin"), ("trembles", "crumbles")),
    "mysterious": (("hidden", "silver", "nameless"), ("doorway", "shadow", "stranger"), ("opens", "beckons")),
    "romantic": (("gentle", "tender", "blushing"), ("lover", "rosebud", "heartbeat"), ("whispers", "lingers")),
    "reflective": (("quiet", "ancient", "patient"), ("river", "mountain", "forest"), ("ponders", "wanders", "listens")),
}
PARTS = tuple(tuple(word for tone in TONES.values() for word in tone[part]) for part in range(3))
RHYMES = (
    ("at night", "in light", "so bright"),
    ("by day", "away", "in grey"),
    ("to me", "the sea", "so free"),
    ("at dawn", "till gone", "on the lawn"),
)


def write(random: Random, writing: Writing, examples: Sequence[str], target: Sequence[str] = ()) -> str:
    """Another text like its examples; or the first of them, rewritten towards the target's form and tone."""
    if writing.rewritten:
        return _poem(random, list(examples), target)
    grammar = OPINIONS if writing.name == "opinions" else STORIES
    copied = [sentence for example in examples for sentence in sentences(example)]
    lengths = [len(sentences(example)) for example in examples] or [3]
    length = min(max(random.choice(lengths) + random.choice((-1, 0, 0, 1)), 1), LONGEST)
    borrowed = [[w for w in _words(" ".join(examples)) if w in kind] for kind in grammar.kinds]
    text = []
    for sentence in random.sample(copied, min(length, len(copied))) + [""] * (length - len(copied)):
        if not sentence or random.random() > COPIED:
            sentence = random.choice(grammar.sentences + ASIDES)
        text.append(_swapped(random, sentence, grammar, borrowed))
    return " ".join(text)


def read(writing: Writing, aspect: str, text: str) -> dict[str, float]:
    """The probabilities of the answers to a question about a text: its quality, or one of its axes."""
    if aspect == "quality":
        p = _sigmoid(STEEP * (_merit(writing, text) - 0.75))
        return {"yes": p, "no": 1 - p}
    options = next(axis.options for axis in writing.axes if axis.name == aspect)
    if writing.rewritten:
        return _shares(_likeness(aspect, text))
    p = _sigmoid(STEEP * _grade(writing, aspect, text))
    return dict(zip(options, (p, 1 - p), strict=True))


def rating(writing: Writing, text: str) -> int:
    """The reader's rating from 1 to 10."""
    return 1 + round(9 * _merit(writing, text))


def place(writing: Writing, text: str) -> list[float]:
    """Where a text stands on each axis before the reader's sigmoid, from 0 to 1."""
    return [(_grade(writing, axis.name, text) + 1) / 2 for axis in writing.axes]


def labelled(writing: Writing, n: int) -> list[tuple[str, bool]]:
    """Texts made to be good or bad, in turn: on the subject; or full of asides and repetitions.  Always the same."""
    random, found = Random(writing.name), []
    for i in range(n):
        good = i % 2 == 0
        if writing.rewritten:
            lines = [_line(random, "reflective", rhyme) for rhyme in (0, 0, 1, 1)]
            found.append(("\n".join(lines if good else [lines[0]] * 2 + random.sample(ASIDES, 2)), good))
            continue
        grammar = OPINIONS if writing.name == "opinions" else STORIES
        kept = random.sample(grammar.sentences, 3 if good else 1)
        beside = [] if good else random.sample(ASIDES, 1 + i // 2 % 2) + kept * (i // 4 % 2)
        text = [_swapped(random, sentence, grammar, [[] for _ in grammar.kinds]) for sentence in kept + beside]
        found.append((" ".join(text), good))
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [found.strip() for found in SENTENCE.findall(text) if found.strip()]


def _words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def _swapped(random: Random, sentence: str, grammar: Prose, borrowed: Sequence[Sequence[str]]) -> str:
    def swap(match: re.Match[str]) -> str:
        word = match[0]
        kind = next((i for i, kind in enumerate(grammar.kinds) if word.lower() in kind), None)
        if kind is None or random.random() > SWAPPED:
            return word
        known = borrowed[kind] if borrowed[kind] and random.random() < BORROWED else list(grammar.kinds[kind])
        new = random.choice(known)
        return new.capitalize() if word[0].isupper() else new

    return WORD.sub(swap, sentence)


def _grade(writing: Writing, axis: str, text: str) -> float:
    """The mean grade of the words that count for an axis; 0 without any."""
    grammar = OPINIONS if writing.name == "opinions" else STORIES
    grades = {w: g for kind, of in zip(grammar.kinds, grammar.axes, strict=True) if of == axis for w, g in kind.items()}
    found = [grades[word] for word in _words(text) if word in grades]
    return sum(found) / len(found) if found else 0.0


def _merit(writing: Writing, text: str) -> float:
    """From 0 to 1: on the subject, without repetition, long enough, with a reason; of poems, rhymed and varied."""
    if writing.rewritten:
        return _craft(text.splitlines())
    grammar = OPINIONS if writing.name == "opinions" else STORIES
    subjects = [kind for kind, axis in zip(grammar.kinds, grammar.axes, strict=True) if not axis]
    parts = [_words(sentence) for sentence in sentences(text)]
    if not parts:
        return 0.0
    said = {word for words in parts for word in words}
    near = sum(any(word in kind for word in words for kind in subjects) for words in parts) / len(parts)
    whole = sum(any(word in said for word in kind) for kind in subjects) / len(subjects)
    shapes = {tuple(next((i for i, k in enumerate(grammar.kinds) if w in k), w) for w in words) for words in parts}
    reason = float("because" in said)
    return near * whole * len(shapes) / len(parts) * (0.8 + 0.1 * reason + 0.1 * min(len(parts), 3) / 3)


def _craft(lines: Sequence[str]) -> float:
    ends = [line.split()[-1] if line.split() else "" for line in lines]
    families = [
        next((i for i, rhyme in enumerate(RHYMES) if any(e.split()[-1] == end for e in rhyme)), -1) for end in ends
    ]
    rhymed = sum(f >= 0 and families.count(f) > 1 for f in families) / max(len(lines), 1)
    varied = len(set(_words(" ".join(lines)))) / max(len(_words(" ".join(lines))), 1)
    return 0.6 * rhymed + 0.4 * min(1.0, varied / 0.8)


def _poem(random: Random, examples: Sequence[str], target: Sequence[str]) -> str:
    source = examples[0].splitlines() if examples else []
    form, tone = target or (random.choice(list(FORMS)), random.choice(list(TONES)))
    length = FORMS[form] if not source or random.random() < 0.7 else len(source)
    rhyme = random.randrange(len(RHYMES))
    lines = []
    for i in range(length):
        if i < len(source) and random.random() < 0.6:
            lines.append(_toned(random, source[i], tone))
        else:
            rhyme = rhyme if i % 2 and random.random() < 0.6 else random.randrange(len(RHYMES))
            lines.append(_line(random, tone if random.random() < 0.8 else random.choice(list(TONES)), rhyme))
    return "\n".join(lines)


def _line(random: Random, tone: str, rhyme: int) -> str:
    adjective, noun, verb = (random.choice(words) for words in TONES[tone])
    return f"The {adjective} {noun} {verb} {random.choice(RHYMES[rhyme])}"


def _toned(random: Random, line: str, tone: str) -> str:
    """A line with some of its words in another tone."""

    def swap(match: re.Match[str]) -> str:
        part = next((i for i, words in enumerate(PARTS) if match[0] in words), None)
        return match[0] if part is None or random.random() > 0.7 else random.choice(TONES[tone][part])

    return WORD.sub(swap, line)


def _likeness(aspect: str, text: str) -> dict[str, float]:
    """A score for every form or tone."""
    if aspect == "genre":
        return {form: -2.0 * abs(len(text.splitlines()) - lines) for form, lines in FORMS.items()}
    words = _words(text)
    counts = {tone: sum(word in part for word in words for part in parts) for tone, parts in TONES.items()}
    return {tone: 3.0 * count for tone, count in counts.items()}


def _shares(scores: Mapping[str, float]) -> dict[str, float]:
    most = max(scores.values())
    weights = {name: math.exp(score - most) for name, score in scores.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
