"""A pool of texts that examples are taken from: the controls of QDAIF, which keep no cells.

Bradley et al. (2023), https://arxiv.org/abs/2310.13032.  What is admitted, and what is offered, is a rule:

    everything  admits all and offers all
    best        admits all and offers the 100 of the highest fitness
    unlike      admits what is good and shares few words, in their order, with each of the last 100; offers those
    novel       admits what lies far from its neighbours among all places so far; offers the last 100
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

Rule = Literal["everything", "best", "unlike", "novel"]
SIZE = 100
ALIKE, GOOD = 0.7, 0.8
"""`unlike`: what the ROUGE-L score with each must be below, and what fitness must be above."""
NOVEL, NEIGHBOURS = 0.05, 15
"""`novel`: the first threshold, and how many places the mean distance is taken to."""
PATIENCE = (2, 20)
"""After more admissions, or rejections, in a row, the threshold rises, or falls, by a twentieth."""
FIRST = 3
"""So many are always admitted."""


class Pool(NamedTuple):
    """Texts in order of admission, as host arrays."""

    text: UInt8[np.ndarray, "m 16"]
    """Names."""
    identity: Int[np.ndarray, "m 2"]
    fitness: Float[np.ndarray, " m"]
    place: Float[np.ndarray, "m d"]
    threshold: Float[np.ndarray, ""]
    streak: Int[np.ndarray, ""]
    """Of `novel`: admissions in a row, or, negative, rejections."""

    @classmethod
    def empty(cls, dimensions: int) -> "Pool":
        return cls(
            np.zeros((0, 16), np.uint8),
            np.zeros((0, 2), np.int32),
            np.zeros(0, np.float32),
            np.zeros((0, dimensions), np.float32),
            np.array(NOVEL, np.float32),
            np.zeros((), np.int32),
        )

    @property
    def size(self) -> int:
        return len(self.text)

    def offered(self, rule: Rule) -> list[int]:
        """The rows that examples are taken from."""
        if rule == "everything":
            return list(range(self.size))
        rows = np.argsort(self.fitness, kind="stable") if rule == "best" else np.arange(self.size)
        return rows[-SIZE:].tolist()

    def offer(self, rule: Rule, row: "Row", read: Callable[[np.ndarray], str]) -> "Pool":
        """The pool after the offer of a text; `read` gives the text of a name."""
        pool, welcome = self, True
        if rule == "novel" and self.size >= FIRST:
            pool, welcome = self._novel(row)
        if rule == "unlike" and self.size >= FIRST:
            text = read(row.text)
            welcome = row.fitness > GOOD and all(rouge_l(text, read(name)) < ALIKE for name in self.text[-SIZE:])
        return pool._with(row) if welcome else pool

    def _with(self, row: "Row") -> "Pool":
        return self._replace(
            text=np.concatenate([self.text, row.text[None]]),
            identity=np.concatenate([self.identity, np.array([row.identity], np.int32)]),
            fitness=np.append(self.fitness, np.float32(row.fitness)),
            place=np.concatenate([self.place, row.place[None]]),
        )

    def _novel(self, row: "Row") -> tuple["Pool", bool]:
        """Whether a place is far from the others, and the pool with the threshold that follows."""
        distance = np.sort(np.linalg.norm(self.place - row.place, axis=1))[:NEIGHBOURS].mean()
        novel, streak = bool(distance > self.threshold), int(self.streak)
        streak = max(streak, 0) + 1 if novel else min(streak, 0) - 1
        factor = 1.05 if streak > PATIENCE[0] else 0.95 if streak < -PATIENCE[1] else 1.0
        threshold = np.array(self.threshold * np.float32(factor), np.float32)
        return self._replace(threshold=threshold, streak=np.array(streak if factor == 1 else 0, np.int32)), novel


class Row(NamedTuple):
    """A text that is offered."""

    text: UInt8[np.ndarray, "16"]
    identity: tuple[int, ...]
    fitness: float
    place: Float[np.ndarray, " d"]


def rouge_l(a: str, b: str) -> float:
    """The F-measure of the longest common subsequence of words: Lin (2004), https://aclanthology.org/W04-1013.

    Its length is found a word of `b` at a time, with a bit for every word of `a`.
    """
    first, second = a.lower().split(), b.lower().split()
    if not first or not second:
        return 0.0
    masks: dict[str, int] = {}
    for i, word in enumerate(first):
        masks[word] = masks.get(word, 0) | 1 << i
    row = whole = (1 << len(first)) - 1
    for word in second:
        met = row & masks.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return 2 * (len(first) - row.bit_count()) / (len(first) + len(second))
