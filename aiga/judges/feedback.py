"""How good a text is and where it belongs, by a model's answers: the AI feedback of QDAIF.

Bradley et al. (2023), https://arxiv.org/abs/2310.13032.
"""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np

from aiga.data import grammar
from aiga.data.writing import Axis, Writing
from aiga.fm.messages import FM, ModelFailed
from aiga.judges import rubric
from aiga.judges.rubric import Judgement


class Verdict(NamedTuple):
    """What a judge says of a text."""

    text: str
    quality: float
    """NaN: it failed."""
    place: tuple[float, ...]
    """On each axis, from 0 to 1."""
    how: str
    """How the model was asked."""
    failed: str = ""
    """Why."""


@dataclass(frozen=True)
class Feedback:
    """A judge of one kind of writing."""

    fm: FM
    writing: Writing
    fallback: Literal["votes", "rating"]
    votes: int

    async def __call__(self, text: str, seed: int) -> Verdict:
        """The quality of a text and its place on every axis; a failure of the model is a verdict too."""
        seeds = Random(seed)
        quality = self.quality(text, seeds.randrange(2**31))
        places = asyncio.gather(*(self._placed(text, axis, seeds.randrange(2**31)) for axis in self.writing.axes))
        try:
            said, axes = await asyncio.gather(quality, places)
        except ModelFailed as error:
            return self.failure(error, text)
        how = "+".join(sorted({said.how, *(how for _, how in axes)}))
        return Verdict(text, said.probability, tuple(place for place, _ in axes), how)

    def failure(self, error: ModelFailed, text: str = "") -> Verdict:
        nowhere = (float("nan"),) * len(self.writing.axes)
        return Verdict(text, float("nan"), nowhere, "", f"{error.kind}: {error}")

    async def quality(self, text: str, seed: int) -> Judgement:
        """The probability that a text is good, or, of a poem, its rating."""
        facts, task = (self.writing, "quality", text), "qdaif/quality"
        if self.writing.rewritten:
            return await rubric.rate(self.fm, self.writing.quality, seed=seed, task=task, text=text, facts=facts)
        asked = {"fallback": self.fallback, "votes": self.votes, "text": text, "facts": facts}
        return await rubric.yes(self.fm, self.writing.quality, seed=seed, task=task, **asked)

    async def _placed(self, text: str, axis: Axis, seed: int) -> tuple[float, str]:
        """The probability of the first of two answers, or the place of the likeliest of more; and how it was asked."""
        two = len(axis.options) == 2
        fallback, votes = (self.fallback, self.votes) if two else ("votes", 1)
        asked = {"fallback": fallback, "votes": votes, "text": text, "facts": (self.writing, axis.name, text)}
        choice = await rubric.choose(self.fm, axis.question, axis.options, seed=seed, task="qdaif/place", **asked)
        likeliest = int(np.argmax(choice.probabilities))
        return choice.probabilities[0] if two else (likeliest + 0.5) / len(axis.options), choice.how


def simulated(random: Random, facts: tuple[Writing, str, str]) -> Any:
    """The proposer that judges without a model."""
    del random
    writing, aspect, text = facts
    if aspect == "quality" and writing.rewritten:
        return rubric.Rating("by rhymes and words", grammar.rating(writing, text))
    return rubric.answered(grammar.read(writing, aspect, text))
